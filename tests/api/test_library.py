"""Assets, their bytes, and the account, over HTTP."""

from __future__ import annotations

import os
import re
from pathlib import Path

import httpx
import pytest
from support.service_world import World


def test_the_account_counts_every_file_once(world: World, client: httpx.Client) -> None:
    world.picture("a.png", "red")
    status = client.get("/v1/status").json()
    counts = status["assets"]
    assert counts["total"] == 1
    assert counts["total"] == sum(counts[key] for key in ("pending", "working", "indexed", "quarantined", "missing"))
    assert status["space"] == "words"
    assert status["segments"] == {"image": 1}


def test_assets_are_listed_page_by_page_without_gaps(world: World, client: httpx.Client) -> None:
    made = [str(world.picture(f"{number}.png", "red")) for number in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        page = client.get("/v1/assets", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made


def test_a_cursor_from_elsewhere_is_refused(world: World, client: httpx.Client) -> None:
    for cursor in ("x", "aWQ6", "aWQ6OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk", "\u0664"):
        assert client.get("/v1/assets", params={"cursor": cursor}).status_code == 400


def test_an_asset_tells_what_is_known_of_it(world: World, client: httpx.Client) -> None:
    asset_id = world.picture("a.png", "red", words="some words")
    details = client.get(f"/v1/assets/{asset_id}").json()
    assert details["kind"] == "image"
    assert details["status"] == "indexed"
    assert (details["width"], details["height"]) == (64, 48)
    segments = client.get(f"/v1/assets/{asset_id}/segments").json()["items"]
    assert [segment["signal"] for segment in segments] == ["image", "text"]
    assert segments[1]["text"] == "some words"


@pytest.mark.parametrize("asset_id", ["0", "99", "x", "-1", "1e3", "9" * 30, "%00", "٣"])
def test_an_id_that_names_nothing_is_not_found(world: World, client: httpx.Client, asset_id: str) -> None:
    answer = client.get(f"/v1/assets/{asset_id}")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:medley:problem:not-found"


def test_content_comes_whole_or_in_the_range_asked_for(world: World, client: httpx.Client) -> None:
    asset_id = world.picture("a.png", "red")
    body = (world.media / "a.png").read_bytes()
    url = f"/v1/assets/{asset_id}/content"
    whole = client.get(url)
    assert whole.content == body
    assert whole.headers["content-type"] == "image/png"
    assert whole.headers["accept-ranges"] == "bytes"
    part = client.get(url, headers={"range": "bytes=3-9"})
    assert part.status_code == 206
    assert part.content == body[3:10]
    assert part.headers["content-range"] == f"bytes 3-9/{len(body)}"
    assert client.get(url, headers={"range": "bytes=-4"}).content == body[-4:]
    assert client.get(url, headers={"range": "bytes=5-"}).content == body[5:]
    assert client.get(url, headers={"range": "bytes=9-3"}).status_code == 416
    beyond = client.get(url, headers={"range": f"bytes={len(body)}-"})
    assert beyond.status_code == 416
    assert beyond.headers["content-range"] == f"bytes */{len(body)}"


def test_content_is_not_sent_again_when_the_reader_has_it(world: World, client: httpx.Client) -> None:
    url = f"/v1/assets/{world.picture('a.png', 'red')}/content"
    etag = client.get(url).headers["etag"]
    again = client.get(url, headers={"if-none-match": etag})
    assert again.status_code == 304
    assert again.content == b""
    old_range = client.get(url, headers={"range": "bytes=0-3", "if-range": '"another"'})
    assert old_range.status_code == 200, "a range of another version must not be mixed in"


def test_content_is_not_sent_again_when_it_has_not_changed_since(world: World, client: httpx.Client) -> None:
    url = f"/v1/assets/{world.picture('a.png', 'red')}/content"
    modified = client.get(url).headers["last-modified"]
    assert client.get(url, headers={"if-modified-since": modified}).status_code == 304
    assert client.head(url, headers={"if-modified-since": modified}).status_code == 304
    for earlier in ("Wed, 01 Jan 2020 00:00:00 GMT", "yesterday", "", "Wed, 01 Jan 99999 00:00:00 GMT"):
        assert client.get(url, headers={"if-modified-since": earlier}).status_code == 200
    tagged = {"if-modified-since": modified, "if-none-match": '"another"'}
    assert client.get(url, headers=tagged).status_code == 200, "the tag counts where both are sent"
    part = client.get(url, headers={"range": "bytes=0-3", "if-range": modified})
    assert part.status_code == 206
    old_range = client.get(url, headers={"range": "bytes=0-3", "if-range": "Wed, 01 Jan 2020 00:00:00 GMT"})
    assert old_range.status_code == 200


def test_head_tells_the_length_and_sends_nothing(world: World, client: httpx.Client) -> None:
    asset_id = world.picture("a.png", "red")
    answer = client.head(f"/v1/assets/{asset_id}/content")
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == (world.media / "a.png").stat().st_size
    assert answer.content == b""


def test_a_link_that_leads_out_of_the_source_is_not_served(world: World, client: httpx.Client, tmp_path: Path) -> None:
    asset_id = world.picture("a.png", "red")
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    (world.media / "a.png").unlink()
    (world.media / "a.png").symlink_to(secret)
    assert client.get(f"/v1/assets/{asset_id}/content").status_code == 404


def test_a_pipe_in_place_of_the_file_does_not_hang(world: World, client: httpx.Client) -> None:
    asset_id = world.picture("a.png", "red")
    (world.media / "a.png").unlink()
    os.mkfifo(world.media / "a.png")
    assert client.get(f"/v1/assets/{asset_id}/content", timeout=5).status_code == 404


def test_a_deleted_asset_is_gone_from_every_answer(world: World, client: httpx.Client) -> None:
    asset_id = world.picture("a.png", "red")
    assert client.delete(f"/v1/assets/{asset_id}").status_code == 204
    assert client.get(f"/v1/assets/{asset_id}").status_code == 404
    assert client.delete(f"/v1/assets/{asset_id}").status_code == 404
    assert (world.media / "a.png").exists(), "a file of the user's own is never deleted"


def test_every_answer_carries_a_request_id_and_a_strict_policy(world: World, client: httpx.Client) -> None:
    for url in ("/", "/v1/status", "/v1/nothing"):
        answer = client.get(url)
        assert len(answer.headers["x-request-id"]) >= 8
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/v1/status", headers={"x-request-id": "mine-12345"}).headers["x-request-id"] == "mine-12345"


def test_unknown_routes_and_methods_answer_with_problems(world: World, client: httpx.Client) -> None:
    missing = client.get("/v1/nothing")
    assert (missing.status_code, missing.json()["type"]) == (404, "urn:medley:problem:not-found")
    wrong = client.put("/v1/search")
    assert (wrong.status_code, wrong.json()["type"]) == (405, "urn:medley:problem:method-not-allowed")


def test_the_page_loads_its_own_parts_and_nothing_else(world: World, client: httpx.Client) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "http://" not in page.text
    assert "https://" not in page.text
    (script,) = re.findall(r'<script[^>]* src="([^"]+)"', page.text)
    assert client.get(script).headers["content-type"].startswith("text/javascript")
    assert client.get("/web/../app.py").status_code == 404
    assert client.get("/web/%2e%2e/app.py").status_code == 404


def test_health_says_ready_when_every_part_is(world: World, client: httpx.Client) -> None:
    assert client.get("/health/live").json()["status"] == "alive"
    ready = client.get("/health/ready")
    assert ready.status_code == 200, ready.text
    assert ready.json()["checks"] == {"database": "ok", "space": "ok", "partitions": "ok"}


def test_health_is_not_ready_when_the_encoder_breaks_and_only_the_log_says_why(
    world: World, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    world.space.broken = "no weights in /srv/secret"
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert "embedding space" in answer.json()["checks"]["space"]
    assert "secret" not in answer.text
    assert "no weights in /srv/secret" in caplog.text


def test_an_error_of_ours_hides_its_trace_but_names_the_log_entry(world: World, client: httpx.Client) -> None:
    world.space.broken = "secret internals"
    answer = client.post("/v1/search", json={"text": "red"})
    assert answer.status_code == 500
    problem = answer.json()
    assert problem["type"] == "urn:medley:problem:internal"
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] in problem["detail"]


def test_the_page_is_not_sent_again_when_the_reader_has_it(client: httpx.Client) -> None:
    first = client.get("/")
    assert client.get("/", headers={"if-none-match": first.headers["etag"]}).status_code == 304


def test_thumbnails_and_previews_come_as_pictures_that_may_be_kept(world: World, client: httpx.Client) -> None:
    asset_id = world.picture("a.png", "red")
    (segment,) = client.get(f"/v1/assets/{asset_id}/segments").json()["items"]
    for url in (f"/v1/segments/{segment['id']}/thumbnail", f"/v1/segments/{segment['id']}/preview"):
        picture = client.get(url)
        assert picture.status_code == 200, picture.text
        assert picture.headers["content-type"] == "image/webp"
        assert "immutable" in picture.headers["cache-control"]
    ours = client.get(f"/v1/assets/{asset_id}/thumbnail", params={"size": 256})
    assert ours.headers["content-type"] == "image/webp"
    assert "no-cache" in ours.headers["cache-control"], "the file may change under the same id"
    assert client.get("/v1/segments/999/thumbnail").status_code == 404
    assert client.get(f"/v1/assets/{asset_id}/waveform").status_code == 404
    assert client.get(f"/v1/assets/{asset_id}/thumbnail", params={"size": 100_000}).status_code == 400


def test_the_audit_finds_nothing_wrong_and_says_what_it_looked_at(world: World, client: httpx.Client) -> None:
    for number in range(12):
        world.picture(f"{number}.png", ("red", "green", "blue")[number % 3])
    answer = client.get("/v1/audit").json()
    assert answer["problems"] == []
    (image,) = [segment for segment in answer["holdings"] if segment["signal"] == "image"]
    assert (image["vectors"], image["segments"], image["orphans"], image["missing"]) == (12, 12, 0, 0)
    assert answer["partitions"][0]["recall"][0]["recall"] >= 0.95, "colours are few, so some are ties"
    assert 'medley_recall{selectivity="1.0",signal="image"}' in client.get("/metrics").text
