"""Answers over HTTP, whole and as they come. What an answer says is tested beside the answerer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from scripted_engine import ScriptedEngine
from service_world import World

from search.settings import Settings


@pytest.fixture
def world(settings: Settings, sqlite_url: str, tmp_path: Path) -> Iterator[World]:
    world = World(settings, sqlite_url, tmp_path / "media", ScriptedEngine)
    yield world
    world.service.close()


def events_of(client: httpx.Client, question: str) -> list[tuple[str, dict]]:
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


@pytest.mark.parametrize("body", [{}, {"question": ""}, {"question": "x" * 5000}, {"question": "x", "limit": 0}])
def test_a_question_that_makes_no_sense_is_refused(client: httpx.Client, body: dict) -> None:
    assert client.post("/v1/answers", json=body).status_code == 400
