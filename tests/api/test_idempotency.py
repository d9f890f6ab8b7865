"""A write that is repeated under its `Idempotency-Key` is done once, in whichever process."""

from __future__ import annotations

from pathlib import Path

import httpx
import msgspec
import pytest
from support.service_world import World, running

from search.catalog import queue
from search.settings import Settings

# What every write but these does under its key.
ONCE = {
    ("POST", "/v1/assets"),  # in test_sources.py
    ("POST", "/v1/keys"),  # in test_auth.py: its answer is told once
    ("POST", "/v1/sources"),
    ("POST", "/v1/sources/{source_id}/scan"),
    ("POST", "/v1/spaces"),
    ("POST", "/v1/spaces/{name}/evaluations"),
    ("POST", "/v1/spaces/{name}/fill"),
    ("POST", "/v1/spaces/{name}/tunings"),
    ("POST", "/v1/saved-searches"),
    ("POST", "/v1/saved-searches/{saved_id}/deliveries/retry"),
    ("POST", "/v1/failures/retry"),
    ("POST", "/v1/trash"),
    ("POST", "/v1/trash/{item_id}/restore"),
}
# The same state after one as after two.
REPEATABLE = {
    ("POST", "/v1/jobs/{job_id}/{action}"),
    ("POST", "/v1/judgements"),  # the last word counts
    ("POST", "/v1/session"),
    ("POST", "/v1/sources/{source_id}/events"),  # notices may come twice
    ("POST", "/v1/spaces/{name}/use"),
    ("PATCH", "/v1/saved-searches/{saved_id}"),
    ("PATCH", "/v1/uploads/{upload_id}"),  # says where it goes on
    ("POST", "/v1/uploads"),  # one that nobody goes on with is swept
}
READS = {
    "/v1/search",
    "/v1/answers",
    "/v1/embeddings",
    "/v1/rerank",
    "/v2/embed",
    "/predict",
    "/v1/spaces/{name}/compare",
}


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    return msgspec.structs.replace(settings, allow_removal=True, allowed_roots=(tmp_path,))


def test_every_write_is_done_once_or_may_be_repeated(client: httpx.Client) -> None:
    paths = client.get("/schema/openapi.json").json()["paths"]
    writes = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    writes = {(method, path) for method, path in writes if method in ("POST", "PATCH", "PUT") and path not in READS}
    assert writes == ONCE | REPEATABLE


def test_writes_are_repeated_by_their_answers(world: World, client: httpx.Client) -> None:
    keep, gone = str(world.picture("one.jpg", "red")), str(world.picture("copies/two.jpg", "red"))
    failed = world.picture("broken.jpg", "blue")
    with world.database.write() as connection:
        queue.retry_quarantined(connection)

    def twice(path: str, body: object = None) -> httpx.Response:
        headers = {"Idempotency-Key": f"for {path}"}
        first = client.post(path, json=body, headers=headers)
        again = client.post(path, json=body, headers=headers)
        assert first.status_code in (200, 201, 202), (path, first.text)
        assert again.headers.get("idempotency-replayed") == "true", (path, again.text)
        assert (again.status_code, again.content) == (first.status_code, first.content)
        return first

    (item,) = twice("/v1/trash", {"assets": [gone], "keep": [keep]}).json()["items"]
    twice(f"/v1/trash/{item['id']}/restore")
    twice("/v1/failures/retry")
    source = twice("/v1/sources", {"root": str(world.media)}).json()
    twice(f"/v1/sources/{source['id']}/scan")
    saved = twice("/v1/saved-searches", {"name": "Red", "text": "red"}).json()
    twice(f"/v1/saved-searches/{saved['id']}/deliveries/retry")
    for query in ("red", "crimson"):
        client.post("/v1/judgements", json={"query": query, "asset": keep}).raise_for_status()
    measuring = twice("/v1/spaces/words/evaluations", {}).json()
    learning = twice("/v1/spaces/words/tunings", {}).json()
    begun = [job for job in client.get("/v1/jobs").json()["items"] if job["kind"] in ("evaluate", "tune")]
    assert [job["id"] for job in begun] == [learning["id"], measuring["id"]]
    assert len(client.get("/v1/saved-searches").json()["items"]) == 1
    assert client.get(f"/v1/assets/{failed}").status_code == 200


def test_another_replica_knows_what_was_done(world: World, sqlite_url: str, settings: Settings, tmp_path: Path) -> None:
    """A client whose connection broke asks whichever replica is next."""
    other = World(settings, sqlite_url, tmp_path / "media of the other")
    body, headers = {"name": "Red", "text": "red"}, {"Idempotency-Key": "the same"}
    with running(world.service) as first, running(other.service) as second:
        made = first.post("/v1/saved-searches", json=body, headers=headers)
        again = second.post("/v1/saved-searches", json=body, headers=headers)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.content == made.content
        conflict = second.post("/v1/saved-searches", json=body | {"name": "Blue"}, headers=headers)
        assert conflict.status_code == 409
        assert len(second.get("/v1/saved-searches").json()["items"]) == 1
    other.service.close()
