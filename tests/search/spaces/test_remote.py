"""A space whose encoders are elsewhere gives the same vectors, never mixes them with others', says what is wrong."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
import uvicorn

from api.encoders import EncoderService, create_encoder_app
from search.catalog import spaces
from search.catalog.database import Database
from search.catalog.states import SpaceState
from search.errors import SettingsError, SpaceError, UnavailableError
from search.settings import Settings
from search.signals import Signal
from search.spaces import self_test
from search.spaces.remote.cache import CachingSpace
from search.spaces.remote.space import RemoteSpace
from search.spaces.space import Fingerprint
from search.testing import WordSpace

TEXTS = ["a red car", "green leaves", "ꙮ"]


class CountingSpace(WordSpace):
    """Tells how often it was asked, and may become another one."""

    version = "1"

    @property
    def fingerprint(self) -> Fingerprint:
        return msgspec.structs.replace(super().fingerprint, preprocessing=self.version)


class Encoders:
    """A real server in a thread, over a space of words."""

    def __init__(self, home: Path) -> None:
        self.space = CountingSpace()
        settings = Settings.load({}, home=home)
        database = Database.open(settings)
        database.migrate()
        with database.write() as connection:
            spaces.create_space(
                connection, "words", '{"implementation":"starter"}', self.space.fingerprint.digest,
                state=SpaceState.ACTIVE, probe=self_test.take(self.space),
            )  # fmt: skip
            spaces.activate_space(connection, "words")
        self.space.calls.clear()
        service = EncoderService(settings, database, lambda _: self.space)
        config = uvicorn.Config(create_encoder_app(service), log_config=None, port=0)
        self._server = uvicorn.Server(config)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._asked: list[RemoteSpace] = []
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))
        self._thread.start()

    def close(self) -> None:
        for space in self._asked:
            space.release()
        self._server.should_exit = True
        self._thread.join()

    def asked(self, name: str = "words") -> RemoteSpace:
        space = RemoteSpace(name, Settings.load({}, encoder_url=self.url))
        self._asked.append(space)
        return space


@pytest.fixture
def encoders(tmp_path: Path) -> Iterator[Encoders]:
    running = Encoders(tmp_path / "encoders")
    yield running
    running.close()


def test_vectors_from_afar_are_those_from_here(encoders: Encoders) -> None:
    here, there = encoders.space, encoders.asked()
    assert there.fingerprint == here.fingerprint
    assert there.dimensions == here.dimensions
    assert there.image_input == here.image_input
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (32, 32, 3), dtype=np.uint8), rng.integers(0, 255, (20, 41, 3), dtype=np.uint8)]
    sounds = [rng.standard_normal(1600).astype(np.float32)]
    for mine, theirs in (
        (here.embed_query_text(TEXTS), there.embed_query_text(TEXTS)),
        (here.embed_query_image(pictures), there.embed_query_image(pictures)),
        (here.embed_query_sound(sounds), there.embed_query_sound(sounds)),
    ):
        assert mine.keys() == theirs.keys()
        assert all(np.array_equal(mine[signal], theirs[signal]) for signal in mine)
    for signal in here.dimensions:
        items: list[Any] = TEXTS if signal.holds_words else sounds if signal is Signal.SOUND else pictures * 40
        assert np.array_equal(here.embed(signal, items), there.embed(signal, items))
    assert there.embed(Signal.SPEECH, []).shape == (0, here.dimensions[Signal.SPEECH])


def test_frequent_queries_are_encoded_once(encoders: Encoders) -> None:
    there = encoders.asked()
    for _ in range(5):
        there.embed_query_text(["a red car"])
    assert len(encoders.space.calls) == 1
    cached = CachingSpace(there, most_texts=2)
    first = cached.embed_query_text(["a", "b", "a"])
    assert np.array_equal(first[Signal.IMAGE][0], first[Signal.IMAGE][2])
    assert np.array_equal(first[Signal.IMAGE], there.embed_query_text(["a", "b", "a"])[Signal.IMAGE])
    before = len(encoders.space.calls)
    cached.embed_query_text(["b"])
    assert len(encoders.space.calls) == before
    for _ in range(2):
        cached.embed_query_text([self_test.TEXT])
    assert len(encoders.space.calls) == before + 2, "the probe asks the encoders, not what is remembered"


def test_encoders_that_become_others_are_refused_while_this_process_runs(encoders: Encoders) -> None:
    there = encoders.asked()
    there.embed_query_text(["a"])
    encoders.space.version = "2"
    with pytest.raises(SpaceError, match="no longer those of the space 'words'"):
        there.embed_query_text(["b"])
    assert encoders.asked().fingerprint == encoders.space.fingerprint, "which the catalogue's is compared with"


def test_a_space_that_does_not_exist_there_is_named(encoders: Encoders) -> None:
    with pytest.raises(SpaceError, match="there is no space 'pictures'"):
        _ = encoders.asked("pictures").dimensions


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    there = RemoteSpace("words", Settings.load({}, encoder_url=f"http://127.0.0.1:{port}", encoder_timeout_seconds=0.5))
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="encoder_url"):
        _ = there.fingerprint
    assert time.monotonic() - began < 5
    with pytest.raises(SettingsError, match="http://"):
        RemoteSpace("words", Settings.load({}, encoder_url="encoders:8100"))


def answering(settings: Settings, *answers: httpx.Response | Exception) -> RemoteSpace:
    """A space behind a client that gives these answers in turn."""
    waiting = list(answers)

    def handle(_: httpx.Request) -> httpx.Response:
        answer = waiting.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return RemoteSpace("words", settings, httpx.MockTransport(handle))


def test_what_passes_by_itself_is_tried_again_and_nothing_else() -> None:
    settings = Settings.load({}, encoder_url="http://encoders:8100", encoder_timeout_seconds=5)
    space = WordSpace()
    info = {
        "name": "words", "digest": space.fingerprint.digest, "dimensions": space.dimensions,
        "fingerprint": space.fingerprint, "image_input": space.image_input,
    }  # fmt: skip
    good = httpx.Response(200, content=msgspec.json.encode(info))
    for passing in (httpx.Response(503), httpx.Response(429), httpx.ConnectError("refused")):
        assert answering(settings, passing, good).fingerprint == space.fingerprint
    with pytest.raises(SpaceError, match=r"401.*encoder_api_key"):
        _ = answering(settings, httpx.Response(401, json={"detail": "a key is needed"})).fingerprint
    broken = httpx.Response(503, json={"type": "urn:medley:problem:space", "detail": "weights are missing"})
    with pytest.raises(SpaceError, match="weights are missing"):
        _ = answering(settings, broken, good).fingerprint
    with pytest.raises(UnavailableError, match="said nothing for 5 s"):
        _ = answering(settings, httpx.ReadTimeout("slow"), good).fingerprint
    with pytest.raises(SpaceError, match="is not an encoder service"):
        _ = answering(settings, httpx.Response(200, text="<html>")).fingerprint
    for row in ({"index": 0, "embedding": "AAAA"}, {"index": 7, "embedding": "AAAAAA=="}):
        answer = httpx.Response(200, json={"data": [row], "fingerprint": space.fingerprint.digest})
        with pytest.raises(SpaceError, match="numbers instead of"):
            answering(settings, good, answer).embed(Signal.SPEECH, ["a"])
