"""A worker that dies at any moment loses nothing and duplicates nothing, on both databases."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from library import Library
from pictures import BLUE, GREEN, RED, save_coloured
from word_space import vector_of

from indexer.decoder import DecoderPool
from search.catalog import queue
from search.catalog.database import Database
from search.settings import Settings

FILES = 60
KILLS = 6
TESTS = Path(__file__).resolve().parent


@pytest.fixture
def library(database: Database, settings: Settings, tmp_path: Path) -> Iterator[Library]:
    with DecoderPool(settings, size=2) as pool:
        yield Library(database, settings, tmp_path / "media", pool)


def start_worker(url: str, home: Path) -> subprocess.Popen[str]:
    environment = {"PYTHONPATH": f"{TESTS.parent}:{TESTS}", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(TESTS / "kill_worker.py"), url, str(home)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_killed_workers_lose_and_duplicate_nothing(
    library: Library, database_url: str, home: Path, tmp_path: Path
) -> None:
    colours = {"red": RED, "green": GREEN, "blue": BLUE}
    for number in range(FILES):
        word = list(colours)[number % 3]
        save_coloured(library.root / f"{word}{number}.jpg", number, colours[word])
    (library.root / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    library.scan()

    rng = random.Random(4)
    done: list[int] = []
    for _ in range(KILLS):
        worker = start_worker(database_url, home)
        # From before the first claim to the middle of a write.
        time.sleep(rng.uniform(0.0, 1.2))
        kill(worker)
        counts = library.counts()
        assert counts.indexed + counts.pending + counts.working + counts.quarantined == counts.known == FILES + 1
        assert counts.segments.get("image", 0) == counts.indexed == len(library.vectors())
        done.append(counts.indexed)
    assert done == sorted(done)  # what was finished stays finished

    # A lease of the dead is over after 1.5 seconds; whoever comes next takes it.
    library.settings = msgspec.structs.replace(library.settings, max_attempts=20)
    library.work()
    counts = library.counts()
    assert (counts.indexed, counts.quarantined, counts.pending, counts.working) == (FILES, 1, 0, 0)
    assert counts.segments == {"image": FILES}
    vectors = library.vectors()
    assert len(vectors) == FILES
    for name, asset in library.all().items():
        if asset.status == "indexed":
            (segment,) = library.segments(asset)
            word = name.decode().rstrip("0123456789.jpg")
            assert _strongest(vectors[segment.id]) == _strongest(_vector(word)), name


def _vector(word: str) -> list[float]:
    return vector_of(word).tolist()


def _strongest(vector: list[float]) -> int:
    return max(range(len(vector)), key=vector.__getitem__)


def test_two_workers_share_without_overlap_while_one_is_killed(library: Library, database_url: str, home: Path) -> None:
    for number in range(FILES):
        save_coloured(library.root / f"{number}.jpg", number)
    library.scan()
    doomed, other = start_worker(database_url, home), start_worker(database_url, home)
    time.sleep(0.4)
    kill(doomed)
    deadline = time.monotonic() + 60
    while library.counts().indexed < FILES:
        assert time.monotonic() < deadline, library.counts()
        time.sleep(0.2)
    kill(other)
    assert library.counts().segments == {"image": FILES}
    assert len(library.vectors()) == FILES


def test_an_asset_that_kills_every_worker_is_given_up(library: Library) -> None:
    save_coloured(library.root / "a.jpg", 1)
    save_coloured(library.root / "b.jpg", 2)
    library.scan()
    for life in range(library.settings.max_attempts):
        with library.database.write() as connection:
            claimed = queue.claim(connection, f"dead {life}", 1, lease_seconds=-1)
            assert [asset.path_bytes.rpartition(b"/")[2] for asset in claimed] == [b"a.jpg"]
    library.work()
    found = library.all()
    assert found[b"a.jpg"].status == "quarantined"
    assert "whoever worked on it died, 4 times" in (found[b"a.jpg"].error or "")
    assert found[b"b.jpg"].status == "indexed"
