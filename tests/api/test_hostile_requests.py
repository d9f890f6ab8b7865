"""Requests that are larger than they look: a limit holds for every way in, and for what a request becomes."""

from __future__ import annotations

import base64
import socket
import zlib
from typing import Any

import httpx
import msgspec
import pytest
from support import hostile
from support.service_world import World

from search.catalog import assets
from search.catalog.database import Database
from search.errors import QueryError
from search.query.conditions import Compare, Field, Operator, Or
from search.ranking.cursor import MOST_SHOWN, Cursor


def test_what_is_larger_than_it_looks_is_refused(client: httpx.Client) -> None:
    """How little work that is: tests/search/query/test_work.py. How fast: `python -m chaos --only refusals`."""
    for name, request in hostile.requests().items():
        headers = {"content-type": request.content_type, "host": request.host}
        answer = client.post(request.path, content=request.body, headers=headers)
        assert 400 <= answer.status_code < 500, (name, answer.text[:300])
        assert len(answer.text) < 2000, (name, "what was sent is not sent back")
        assert answer.headers["content-type"] == "application/problem+json", name


def test_a_body_that_says_it_is_too_large_is_not_waited_for(client: httpx.Client) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=10) as connection:
        head = b"POST /v1/keys HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(head + b"Content-Length: 9999999\r\n\r\n")
        assert b" 413 " in connection.recv(100)


@pytest.mark.parametrize(
    "filters",
    [
        {"where": "kind:" + ",".join(["image", "video"] * 1000)},
        {"kind": ["image"] * 200},
        {"signal": ["image", "speech"] * 100},
        {"path": ["*"] * 200},
    ],
)
def test_the_same_condition_a_thousand_times_is_one(client: httpx.Client, filters: dict[str, Any]) -> None:
    answer = client.post("/v1/search", json={"filters": filters})
    assert answer.status_code == 200, answer.text[:300]


def test_filters_that_are_too_large_for_sqlite_are_the_callers_mistake(sqlite_url: str) -> None:
    """If a limit of ours should ever let them through: trying again would not help, and paths are nobody's business."""
    database = Database.open(sqlite_url)
    condition = Or(tuple(Compare(Field.SIZE, Operator.MORE, float(size)) for size in range(5000)))
    with pytest.raises(QueryError, match="too large"), database.read() as connection:
        assets.list_assets(connection, condition)
    database.close()


@pytest.mark.parametrize("field", ["image", "audio", "video"])
def test_a_file_of_a_query_is_called_what_its_sender_calls_it(client: httpx.Client, world: World, field: str) -> None:
    broken = client.post("/v1/search", files={field: ("hol\u00efday.png", b"\x89PNG\r\n\x1a\nxxxx")})
    assert broken.status_code == 422
    assert "hol\u00efday.png" in broken.json()["detail"]
    assert str(world.settings.home) not in broken.text


def test_a_cursor_that_unpacks_to_more_than_a_ranking_can_show_is_refused(client: httpx.Client) -> None:
    bomb = Cursor(query="0" * 24, newest_segment=1, relevance=1.0, shown=(1,) * (3 * MOST_SHOWN))
    packed = base64.urlsafe_b64encode(zlib.compress(msgspec.msgpack.encode(bomb), 9)).decode()
    assert len(packed) < 10_000
    answer = client.post("/v1/search", json={"text": "red", "cursor": packed})
    assert answer.status_code == 400
    assert f"{MOST_SHOWN:,}" in answer.json()["detail"]


def test_pictures_of_a_query_are_counted_before_they_are_decoded(client: httpx.Client) -> None:
    broken = "data:image/png;base64," + base64.b64encode(b"not a picture").decode()
    answer = client.post("/v1/search", json={"images": [broken] * 40})
    assert answer.status_code == 400
    assert "32" in answer.json()["detail"]


def test_texts_of_one_request_are_limited_together(client: httpx.Client) -> None:
    answer = client.post("/v1/embeddings", json={"model": "words", "input": ["a" * 30_000] * 40})
    assert answer.status_code == 400
    assert "several requests" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["日本" * 100 + ".jpg", "a" * 300 + ".png", "é" * 200, ".", "..", "a\\b/../c.jpg"])
def test_an_upload_of_any_name_is_taken_or_refused_plainly(client: httpx.Client, name: str) -> None:
    answer = client.post("/v1/assets", files={"file": (name, b"\x89PNG\r\n\x1a\n" + bytes(50))})
    assert answer.status_code < 500, answer.text[:300]
