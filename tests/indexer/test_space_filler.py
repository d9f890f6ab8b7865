"""Filling a second space from what is indexed: complete, equal to indexing, resumable, honest about what it lacks."""

from __future__ import annotations

import threading
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.library import Library
from support.pictures import BLUE, RED, save_coloured

from indexer.decoding.decoder import DecoderPool
from indexer.segmenting.segmenter import PictureMaker
from indexer.segmenting.sound import SoundSegmenter
from indexer.space_filler import SpaceFiller
from search import space_lifecycle
from search.catalog import embeddings, spaces
from search.catalog.database import Database
from search.catalog.records import SpaceRecord
from search.settings import Settings
from search.testing import WordSpace


@pytest.fixture
def library(sqlite_url: str, settings: Settings, tmp_path: Path) -> Iterator[Library]:
    database = Database.open(sqlite_url)
    with DecoderPool(settings, 2) as pool:
        library = Library(database, settings, tmp_path / "media", pool)
        library.makers = (PictureMaker, SoundSegmenter)
        save_coloured(library.root / "red.jpg", 1, RED)
        save_coloured(library.root / "blue.jpg", 2, BLUE)
        _tone(library.root / "tone.wav")
        library.index()
        yield library
    database.close()


@pytest.fixture
def second(library: Library) -> SpaceRecord:
    with library.database.write() as connection:
        return spaces.create_space(connection, "second", "{}", WordSpace().fingerprint.digest)


def filler(library: Library, second: SpaceRecord) -> SpaceFiller:
    return SpaceFiller(library.settings, library.database, second, WordSpace())


def test_a_filled_space_holds_what_indexing_would_have_written(library: Library, second: SpaceRecord) -> None:
    outcome = filler(library, second).run(threading.Event())
    assert outcome.failed == 0
    assert outcome.done == outcome.total >= 3
    assert not any(part.missing for part in space_lifecycle.coverage(library.database, second, WordSpace()))
    with library.database.read() as connection:
        ids = [row.id for asset in library.all().values() for row in library.segments(asset)]
        old = dict(zip(*embeddings.vectors_of(connection, library.space_id, ids), strict=True))
        new = dict(zip(*embeddings.vectors_of(connection, second.id, ids), strict=True))
        state = spaces.get_space(connection, "second").state
    assert old.keys() == new.keys()
    assert all(np.array_equal(old[segment_id], new[segment_id]) for segment_id in old)
    assert state == "ready"


def test_filling_goes_on_where_it_was_stopped(library: Library, second: SpaceRecord) -> None:
    stopped = threading.Event()
    stopped.set()
    assert filler(library, second).run(stopped).done == 0
    first = filler(library, second).run(threading.Event())
    again = filler(library, second).run(threading.Event())
    assert (first.done, again.total) == (first.total, 0)


def test_media_that_are_gone_stay_missing_and_are_named(library: Library, second: SpaceRecord) -> None:
    (library.root / "red.jpg").unlink()
    outcome = filler(library, second).run(threading.Event())
    assert outcome.failed == 1
    assert "red.jpg" in (outcome.problem or "")
    assert sum(part.missing for part in space_lifecycle.coverage(library.database, second, WordSpace())) == 1
    with library.database.read() as connection:
        assert spaces.get_space(connection, "second").state == "filling"


def _tone(path: Path) -> None:
    seconds = np.arange(16_000 * 6) / 16_000
    samples = (np.sin(2 * np.pi * 440 * seconds) * 20_000).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.tobytes())
