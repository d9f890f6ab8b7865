"""Searching over HTTP, as programs and the page see it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.service_world import World

from search.catalog import captions, queue


def find(client: httpx.Client, **body: object) -> dict[str, Any]:
    answer = client.post("/v1/search", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def names(result: dict[str, Any]) -> list[str]:
    return [Path(hit["asset"]["path"]).name for hit in result["hits"]]


@pytest.fixture
def colours(world: World) -> World:
    world.picture("rose.png", "red")
    world.picture("leaf.png", "green")
    world.picture("sea.png", "blue")
    return world


def test_text_finds_the_picture_that_it_describes(colours: World, client: httpx.Client) -> None:
    assert names(find(client, text="green", limit=1)) == ["leaf.png"]


def test_a_hit_has_the_form_of_the_contract(colours: World, client: httpx.Client) -> None:
    result = find(client, text="blue", limit=1)
    assert set(result) >= {"query", "hits", "matched", "confident", "next_cursor", "space", "took_seconds"}
    (hit,) = result["hits"]
    assert set(hit["asset"]) >= {"id", "path", "kind", "width", "height", "duration_seconds", "captured_at"}
    assert 0 <= hit["relevance"] <= 1
    moment = hit["moments"][0]
    assert moment["signal"] == "image"
    assert moment["start_seconds"] is None
    assert moment["thumbnail"] == f"/v1/segments/{moment['segment_id']}/thumbnail"


def test_hits_and_details_carry_the_caption_or_null_where_none_was_made(world: World, client: httpx.Client) -> None:
    seen, unseen, blank = (world.picture(f"{name}.png", "red") for name in ("rose", "poppy", "wall"))
    with world.database.write() as connection:
        claims = queue.claims_of(captions.claim_without_caption(connection, "test", 10, 60))
        captions.write_captions(connection, claims, {seen: "A red rose.", blank: ""})
    wanted = {str(seen): "A red rose.", str(unseen): None, str(blank): None}  # "" is a look that told nothing
    assert {hit["asset"]["id"]: hit["asset"]["caption"] for hit in find(client, text="red")["hits"]} == wanted
    assert {id_: client.get(f"/v1/assets/{id_}").json()["caption"] for id_ in wanted} == wanted


def test_an_uploaded_picture_finds_pictures_like_it(colours: World, client: httpx.Client) -> None:
    picture = (colours.media / "rose.png").read_bytes()
    answer = client.post("/v1/search", files={"image": ("query.png", picture)}, data={"query": '{"limit": 1}'})
    assert answer.status_code == 200, answer.text
    assert names(answer.json()) == ["rose.png"]
    assert not list((colours.settings.home / "incoming").iterdir()), "the upload was left behind"


def test_a_data_url_does_the_same(colours: World, client: httpx.Client) -> None:
    encoded = base64.b64encode((colours.media / "sea.png").read_bytes()).decode()
    assert names(find(client, images=[f"data:image/png;base64,{encoded}"], limit=1)) == ["sea.png"]


def test_a_known_asset_finds_its_like_and_not_itself(colours: World, client: httpx.Client) -> None:
    twin = colours.picture("rose2.png", "red")
    found = names(find(client, images=[str(twin)]))
    assert found[0] == "rose.png"
    assert "rose2.png" not in found


def test_filters_narrow_the_search(colours: World, client: httpx.Client) -> None:
    assert names(find(client, text="red", filters={"path": ["sea.*"]})) == ["sea.png"]
    assert names(find(client, text="red", filters={"kind": ["audio"]})) == []


def test_a_new_picture_is_found_as_soon_as_the_catalogue_has_it(colours: World, client: httpx.Client) -> None:
    assert "new.png" not in names(find(client, text="red", fold_copies=False))
    colours.picture("new.png", "red")
    assert "new.png" in names(find(client, text="red", fold_copies=False))


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"txt": "red"}, "txt"),
        ({"text": "red", "limit": 0}, "limit"),
        ({"text": "red", "limit": 100000}, "limit"),
        ({"text": "red " * 2000}, "max_query_characters"),
        ({"text": '"open'}, "quote"),
        ({"images": ["http://example.org/a.jpg"]}, "URL"),
        ({"images": ["data:image/png;base64,@@"]}, "base64"),
        ({"text": "red", "filters": {"kind": ["smell"]}}, "smell"),
        ({"text": "red", "filters": {"after": "soon"}}, "soon"),
    ],
)
def test_a_query_that_makes_no_sense_is_answered_with_the_reason(
    world: World, client: httpx.Client, body: dict[str, Any], word: str
) -> None:
    answer = client.post("/v1/search", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem = answer.json()
    assert problem["type"].startswith("urn:medley:problem:")
    assert word in problem["detail"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff\xfe", b'{"text": 3}', b'{"limit": 1e400}', b'"red"'])
def test_broken_json_is_the_callers_fault(world: World, client: httpx.Client, body: bytes) -> None:
    answer = client.post("/v1/search", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400


def test_a_reference_to_nothing_is_not_found(world: World, client: httpx.Client) -> None:
    assert client.post("/v1/search", json={"images": ["424242"]}).status_code == 404


def test_a_text_file_named_jpg_is_refused(world: World, client: httpx.Client) -> None:
    answer = client.post("/v1/search", files={"image": ("photo.jpg", b"just words, not a picture")})
    assert answer.status_code == 415
    assert "text" in answer.json()["detail"]


def test_a_damaged_picture_is_refused_with_its_reason(world: World, client: httpx.Client) -> None:
    damaged = b"\x89PNG\r\n\x1a\n" + b"\0" * 200
    answer = client.post("/v1/search", files={"image": ("photo.png", damaged)})
    assert answer.status_code == 422, answer.text


def test_the_query_of_a_form_is_checked_like_any_other(world: World, client: httpx.Client) -> None:
    files = {"query": (None, json.dumps({"lmit": 2}))}
    answer = client.post("/v1/search", files=files)
    assert answer.status_code == 400
    assert "lmit" in answer.json()["detail"]


def test_a_body_of_json_has_a_limit_and_says_how_to_send_more(world: World, client: httpx.Client) -> None:
    answer = client.post("/v1/search", json={"images": ["data:image/png;base64," + "A" * (33 * 1024**2)]})
    assert answer.status_code == 413
    assert "multipart" in answer.json()["detail"]
