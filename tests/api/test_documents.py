"""Documents over HTTP: hits and citations name page and box or lines, pages are pictures, uploads are taken."""

from __future__ import annotations

import io

import httpx
import pytest
from PIL import Image
from support.documents import lines, pdf
from support.service_world import World

RENT = "The rent is 1,240 pounds a month."
NOTICE = "Notice must be given in writing two months before."


@pytest.fixture
def lease(world: World) -> int:
    return world.document("lease.pdf", [["Lease agreement", "between two people"], [RENT, NOTICE]])


def test_a_hit_names_the_page_and_the_box_of_the_words_that_match(client: httpx.Client, lease: int) -> None:
    answer = client.post("/v1/search", json={"text": "rent pounds"}).json()
    hit = answer["hits"][0]
    assert (hit["asset"]["id"], hit["asset"]["kind"], hit["asset"]["pages"]) == (str(lease), "document", 2)
    moment = hit["moments"][0]
    assert (moment["page"], moment["signal"], moment["lines"]) == (2, "text", None)
    assert moment["box"] == [0.1, 0.0, 0.9, 0.05]  # of the first line alone, which holds the words


def test_a_passage_of_a_text_file_names_its_lines(world: World, client: httpx.Client) -> None:
    world.text_file("notes.txt", 7, ["The plumber comes", "on Thursday at nine"])
    moment = client.post("/v1/search", json={"text": "plumber thursday"}).json()["hits"][0]["moments"][0]
    assert (moment["lines"], moment["page"], moment["box"]) == ([7, 8], None, None)


def test_an_answer_cites_page_and_box(client: httpx.Client, lease: int) -> None:
    answer = client.post("/v1/answers", json={"question": "What does the lease say about notice in writing?"}).json()
    assert answer["found"], answer
    citation = answer["citations"][0]
    assert (citation["asset_id"], citation["page"]) == (str(lease), 2)
    assert citation["quote"] in f"{RENT} {NOTICE}"
    assert citation["box"]


def test_documents_can_be_asked_for_alone_and_by_their_pages(world: World, client: httpx.Client, lease: int) -> None:
    world.picture("a.png", "red", words="rent")
    world.document("short.pdf", [["rent"]])
    answer = client.post("/v1/search", json={"text": "rent kind:document pages>1"}).json()["hits"]
    assert [hit["asset"]["id"] for hit in answer] == [str(lease)]
    assert client.get("/v1/facets").json()["kinds"][0] == {"value": "document", "count": 2}


def test_pages_are_pictures_of_the_size_asked_for(client: httpx.Client, lease: int) -> None:
    for path in (f"/v1/assets/{lease}/pages/2?size=512", f"/v1/assets/{lease}/thumbnail"):
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        assert max(Image.open(io.BytesIO(answer.content)).size) == 512
    first, second = (client.get(f"/v1/assets/{lease}/pages/{page}").content for page in (1, 2))
    assert first != second
    for page in ("0", "3", "-1", "x"):
        assert client.get(f"/v1/assets/{lease}/pages/{page}").status_code in (400, 404)


def test_segments_of_pages_have_pictures_and_words_without_one_have_none(
    world: World, client: httpx.Client, lease: int
) -> None:
    segments = client.get(f"/v1/assets/{lease}/segments").json()["items"]
    assert [(segment["signal"], segment["page"]) for segment in segments] == [
        ("page", 1),
        ("text", 1),
        ("page", 2),
        ("text", 2),
    ]
    pictures = [client.get(f"/v1/segments/{segment['id']}/thumbnail").content for segment in segments]
    assert pictures[0] == pictures[1] != pictures[2]
    notes = world.text_file("notes.txt", 1, ["words"])
    answer = client.get(f"/v1/assets/{notes}/thumbnail")
    assert (answer.status_code, "has no picture" in answer.text) == (404, True)


def test_documents_can_be_uploaded_and_other_files_can_not(client: httpx.Client) -> None:
    for name, data in (("a.pdf", pdf([lines("words")])), ("b.txt", b"words to keep"), ("c.md", b"# words")):
        assert client.post("/v1/assets", files={"file": (name, data)}).status_code == 201, name
    for name, data in (("d.py", b"print('words')"), ("e.zip", b"PK\3\4"), ("f", b"words")):
        assert client.post("/v1/assets", files={"file": (name, data)}).status_code == 415, name


def test_a_pdf_can_be_shown_by_browsers_and_text_can_not_be_run(world: World, client: httpx.Client, lease: int) -> None:
    shown = client.get(f"/v1/assets/{lease}/content")
    assert shown.headers["content-type"] == "application/pdf"
    assert "sandbox" not in shown.headers["content-security-policy"]
    notes = world.text_file("notes.md", 1, ["<script>alert(1)</script>"])
    text = client.get(f"/v1/assets/{notes}/content")
    assert text.headers["content-type"].startswith("text/plain")
    assert "sandbox" in text.headers["content-security-policy"]
