"""Answers over HTTP, whole and as they come. What an answer says is tested beside the answerer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.scripted_engine import ScriptedEngine
from support.service_world import World, running

from search.settings import Settings


@pytest.fixture
def world(settings: Settings, sqlite_url: str, tmp_path: Path) -> Iterator[World]:
    world = World(settings, sqlite_url, tmp_path / "media", ScriptedEngine)
    yield world
    world.service.close()


def events_of(client: httpx.Client, question: str) -> list[tuple[str, dict[str, Any]]]:
    headers = {"accept": "text/event-stream"}
    with client.stream("POST", "/v1/answers", json={"question": question}, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = "".join(answer.iter_text())
    pieces = [piece.split("\n") for piece in text.split("\n\n") if piece.startswith("event: ")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in pieces]


def test_an_answer_has_the_form_of_the_contract(client: httpx.Client) -> None:
    answer = client.post("/v1/answers", json={"question": "when is noon?"}).json()
    assert answer["found"] is True
    assert set(answer) >= {"question", "answer", "found", "citations", "hits", "space", "model", "took_seconds"}
    assert set(answer["citations"][0]) == {
        "number", "asset_id", "path", "segment_id", "signal", "start_seconds", "end_seconds", "quote", "support",
        "box", "page", "lines",
    }  # fmt: skip


def test_what_the_library_does_not_hold_is_not_found(client: httpx.Client) -> None:
    answer = client.post("/v1/answers", json={"question": "who?"}).json()
    assert (answer["found"], answer["citations"]) == (False, [])


def test_a_stream_ends_with_the_whole_answer(client: httpx.Client) -> None:
    told = events_of(client, "when is noon?")
    assert [name for name, _ in told] == ["started", "sources", "text", "answer"]
    whole = client.post("/v1/answers", json={"question": "when is noon?"}).json()
    assert told[-1][1] == whole


def test_a_stream_that_fails_says_so_as_an_event(client: httpx.Client) -> None:
    name, problem = events_of(client, "broken")[-1]
    assert (name, problem["type"]) == ("problem", "urn:medley:problem:language-model")
    name, problem = events_of(client, "bug")[-1]
    assert (name, problem["status"]) == ("problem", 500)
    assert "secret" not in json.dumps(problem)


@pytest.mark.parametrize(
    "body",
    [
        {"question": "x " * 4000},
        {"question": " "},
        {"question": "x", "filters": {"where": "kind:flower"}},
        {"question": "x", "conversation": "none that we gave"},
        {"question": "x", "assets": ["seven"]},
    ],
)
def test_what_makes_no_sense_is_refused_before_a_stream_begins(
    settings: Settings, sqlite_url: str, tmp_path: Path, body: dict[str, Any]
) -> None:
    world = World(settings, sqlite_url, tmp_path / "plain")
    with running(world.service) as client:
        answer = client.post("/v1/answers", json=body, headers={"accept": "text/event-stream"})
    world.service.close()
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_only_what_the_caller_points_at_is_asked(client: httpx.Client) -> None:
    refused = client.post("/v1/answers", json={"question": "when is noon?", "assets": ["77@1-2"]})
    assert (refused.status_code, refused.json()["type"]) == (404, "urn:medley:problem:not-found")
    assert "77@1-2" in refused.json()["detail"]


@pytest.mark.parametrize("body", [{}, {"question": ""}, {"question": "x", "limit": 0}])
def test_a_question_that_makes_no_sense_is_refused(client: httpx.Client, body: dict[str, Any]) -> None:
    assert client.post("/v1/answers", json=body).status_code == 400
