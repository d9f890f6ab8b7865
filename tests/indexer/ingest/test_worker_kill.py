"""A worker that dies at any moment loses nothing and duplicates nothing, on both databases."""

from __future__ import annotations

import random
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from support.library import Library
from support.paths import ROOT, SUPPORT
from support.pictures import BLUE, GREEN, RED, save_coloured
from support.waiting import until

from indexer.decoding.decoder import DecoderPool
from search.catalog import queue
from search.catalog.database import Database
from search.settings import Settings
from search.testing import vector_of

pytestmark = pytest.mark.slow

FILES = 60
KILLS = 6


@pytest.fixture
def library(database: Database, settings: Settings, tmp_path: Path) -> Iterator[Library]:
    with DecoderPool(settings, size=2) as pool:
        yield Library(database, settings, tmp_path / "media", pool)


def start_worker(url: str, home: Path) -> subprocess.Popen[str]:
    environment = {"PYTHONPATH": f"{ROOT}:{SUPPORT.parent}", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SUPPORT / "kill_worker.py"), url, str(home)]
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
        # The moment is what varies here: from before the first claim to the middle of a write.
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
    return [float(value) for value in vector_of(word)]


def _strongest(vector: list[float]) -> int:
    return max(range(len(vector)), key=vector.__getitem__)


def test_two_workers_share_without_overlap_while_one_is_killed(library: Library, database_url: str, home: Path) -> None:
    for number in range(FILES):
        save_coloured(library.root / f"{number}.jpg", number)
    doomed, other = start_worker(database_url, home), start_worker(database_url, home)
    library.scan()

    def doomed_holds_files() -> bool:
        assets = library.all().values()
        return any(f"-{doomed.pid}-" in (asset.lease_owner or "") for asset in assets)

    until(lambda: doomed_holds_files() or library.counts().indexed == FILES, 60, library.counts)
    kill(doomed)
    until(lambda: library.counts().indexed == FILES, 60, library.counts)
    kill(other)
    assert library.counts().segments == {"image": FILES}
    assert len(library.vectors()) == FILES


def die(library: Library, times: int, *, alone: bool) -> None:
    """So many workers took the first file and fell silent."""
    for _ in range(times):
        with library.database.write() as connection:
            (claimed,) = queue.claim(connection, secrets.token_hex(4), 1, lease_seconds=-1)
            assert claimed.path_bytes.endswith(b"a.jpg")
            if alone:
                queue.mark_alone(connection, claimed)


def test_an_asset_that_kills_every_worker_that_holds_nothing_else_is_given_up(library: Library) -> None:
    save_coloured(library.root / "a.jpg", 1)
    save_coloured(library.root / "b.jpg", 2)
    library.scan()
    die(library, library.settings.max_attempts, alone=True)
    library.work()
    assets = library.all()
    assert assets[b"a.jpg"].status == "quarantined"
    assert "4 workers died while they worked on nothing else" in (assets[b"a.jpg"].error or "")
    assert assets[b"b.jpg"].status == "indexed"


def test_workers_that_are_killed_from_outside_never_quarantine_what_they_held(library: Library) -> None:
    save_coloured(library.root / "a.jpg", 1)
    library.scan()
    die(library, 50, alone=False)
    library.work()
    assert library.all()[b"a.jpg"].status == "indexed"
