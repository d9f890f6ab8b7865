"""Followers keep partitions equal to the catalogue, in every process, whatever happened to the snapshots."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sqlalchemy import Connection, delete, update
from support.catalog_world import claims_held
from support.waiting import until

from search.catalog import assets, embeddings, queue, sequence, sources, spaces
from search.catalog.database import Database
from search.catalog.models import counter, embedding
from search.catalog.records import AssetFacts, FoundFile, IndexedAsset, NewSegment, SpaceRecord
from search.errors import CatalogError
from search.index import follower as following
from search.index.follower import Follower
from search.settings import Settings
from search.signals import Signal

DIMENSION = 8
DIMENSIONS = {Signal.IMAGE: DIMENSION, Signal.SPEECH: DIMENSION}


class Library:
    """A catalogue with one source whose files are indexed by saying so."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.rng = np.random.default_rng(0)
        with database.write() as c:
            self.space: SpaceRecord = spaces.create_space(c, "test", "{}", "f" * 64)
            self.source = sources.add_source(c, "/m").id

    def index(self, *numbers: int) -> None:
        """(Re-)index files; each gets a new segment with a random vector per signal."""
        files = [
            FoundFile(
                path=f"/m/{n}",
                path_bytes=f"/m/{n}".encode(),
                size_bytes=1,
                modified_ns=int(self.rng.integers(1, 2**40)),
            )
            for n in numbers
        ]
        with self.database.write() as c:
            assets.sync_assets(c, self.source, files, now=1.0)
            claimed = queue.claim(c, "me", len(files), 60.0)
            done = [self._indexed(record.id) for record in claimed]
            assert len(queue.finish(c, claims_held(c, "me"), done)) == len(numbers)

    def _indexed(self, asset_id: int) -> IndexedAsset:
        vectors = self.rng.standard_normal((2, DIMENSION)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return IndexedAsset(
            asset_id=asset_id,
            kind="video",
            content_hash=f"{asset_id:064x}",
            facts=AssetFacts(),
            segments=[
                NewSegment(signal=signal, vectors={self.space.id: vector})
                for signal, vector in zip(DIMENSIONS, vectors, strict=True)
            ],
        )

    def asset(self, number: int) -> int:
        with self.database.read() as c:
            found = assets.find_asset(c, f"/m/{number}")
        assert found is not None
        return found.id

    def truth(self, signal: Signal) -> dict[int, bytes]:
        """What the catalogue holds: segment id to vector."""
        with self.database.read() as c:
            ids, _, vectors = embeddings.embeddings_after(c, self.space.id, signal, 0, 10**6)
        return {int(key): row.astype(np.float32).tobytes() for key, row in zip(ids, vectors, strict=True)}


@pytest.fixture
def library(database: Database) -> Library:
    return Library(database)


@pytest.fixture
def follower(library: Library, settings: Settings) -> Iterator[Follower]:
    follower = new_follower(library, settings)
    yield follower
    follower.stop()


def new_follower(library: Library, settings: Settings, **changes: Any) -> Follower:
    return Follower(library.database, library.space, DIMENSIONS, msgspec.structs.replace(settings, **changes))


def held(follower: Follower, signal: Signal) -> dict[int, bytes]:
    partition = follower.partitions[signal]
    ids = partition.ids()
    return {int(key): row.tobytes() for key, row in zip(ids, partition.vectors(ids), strict=True)}


def assert_equal_to_catalogue(follower: Follower, library: Library) -> None:
    for signal in DIMENSIONS:
        assert held(follower, signal) == library.truth(signal)


def test_partitions_hold_what_the_catalogue_holds(library: Library, follower: Follower) -> None:
    library.index(*range(20))
    follower.catch_up()
    assert len(held(follower, Signal.IMAGE)) == 20
    assert_equal_to_catalogue(follower, library)


def test_changed_deleted_hidden_and_returned_files_are_followed(library: Library, follower: Follower) -> None:
    library.index(*range(10))
    follower.catch_up()
    library.index(3, 4)
    with library.database.write() as c:
        assets.delete_asset(c, library.asset(5))
        assets.set_missing(c, [library.asset(6), library.asset(7)])
    follower.catch_up()
    assert len(held(follower, Signal.IMAGE)) == 7
    assert_equal_to_catalogue(follower, library)


def test_a_file_that_went_and_came_back_between_two_looks_stays(library: Library, follower: Follower) -> None:
    library.index(1)
    follower.catch_up()
    with library.database.write() as c:
        record = assets.get_asset(c, library.asset(1))
        assets.set_missing(c, [record.id])
        same = FoundFile(
            path=record.path,
            path_bytes=record.path_bytes,
            size_bytes=record.size_bytes,
            modified_ns=record.modified_ns,
        )
        assets.sync_assets(c, library.source, [same])
    follower.catch_up()
    assert len(held(follower, Signal.IMAGE)) == 1
    assert_equal_to_catalogue(follower, library)


def test_more_rows_than_fit_one_fetch_arrive(
    library: Library, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "FETCH_ROWS", 3)
    library.index(*range(10))
    follower.catch_up()
    library.index(*range(5))
    follower.catch_up()
    assert_equal_to_catalogue(follower, library)


def test_the_background_thread_sees_new_files(library: Library, settings: Settings) -> None:
    follower = new_follower(library, settings, poll_seconds=0.02)
    follower.start()
    library.index(1, 2)
    with library.database.read() as c:
        latest = sequence.latest_sequence(c)
    assert follower.wait_for(latest, timeout=10)
    assert_equal_to_catalogue(follower, library)
    assert not follower.wait_for(latest + 1, timeout=0.05)
    follower.stop()


def test_interleaved_writers_lose_nothing(library: Library, settings: Settings) -> None:
    library.index(*range(16))
    with library.database.write() as c:
        space = spaces.create_space(c, "second", "{}", "e" * 64)
        ids, _, vectors = embeddings.embeddings_after(c, library.space.id, Signal.IMAGE, 0, 100)
    fast = msgspec.structs.replace(settings, poll_seconds=0.001)
    follower = Follower(library.database, space, DIMENSIONS, fast)
    follower.start()

    def fill(first: int) -> None:
        for n in range(first, 16, 4):
            with library.database.write() as c:
                embeddings.add_embeddings(c, space.id, [(int(ids[n]), vectors[n].astype(np.float32))])

    threads = [threading.Thread(target=fill, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with library.database.read() as c:
        assert follower.wait_for(sequence.latest_sequence(c), timeout=10)
    assert held(follower, Signal.IMAGE) == library.truth(Signal.IMAGE)
    follower.stop()


def test_a_snapshot_spares_reading_the_catalogue_again(library: Library, settings: Settings) -> None:
    library.index(*range(10))
    first = new_follower(library, settings)
    first.catch_up()
    first.publish()
    library.index(2, 11)
    second = new_follower(library, settings)
    second.catch_up()
    assert_equal_to_catalogue(second, library)
    assert 0 < second.unsaved[Signal.IMAGE] <= 3, "only what is new may have been read"


def snapshot(settings: Settings, signal: Signal = Signal.IMAGE) -> Path:
    return settings.snapshots / ("f" * 64) / f"{signal}.partition"


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty"])
def test_a_damaged_snapshot_is_rebuilt_from_the_catalogue(library: Library, settings: Settings, damage: str) -> None:
    library.index(*range(10))
    first = new_follower(library, settings)
    first.catch_up()
    first.publish()
    path = snapshot(settings)
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[:-7], "garbage": b"\0" * len(whole), "empty": b""}[damage])
    second = new_follower(library, settings)
    second.catch_up()
    assert_equal_to_catalogue(second, library)
    second.publish()
    third = new_follower(library, settings)
    third.catch_up()
    assert third.unsaved[Signal.IMAGE] == 0, "the damaged file was replaced"


def test_a_snapshot_older_than_the_horizon_is_rebuilt(library: Library, settings: Settings) -> None:
    library.index(*range(10))
    first = new_follower(library, settings)
    first.catch_up()
    first.publish()
    library.index(4)
    with library.database.write() as c:
        sequence.forget_deletions(c, sequence.latest_sequence(c))
    second = new_follower(library, settings)
    second.catch_up()
    assert_equal_to_catalogue(second, library)
    first.catch_up()
    assert_equal_to_catalogue(first, library)


def test_a_snapshot_of_another_catalogue_is_not_taken(library: Library, settings: Settings, tmp_path: Path) -> None:
    library.index(*range(10))
    first = new_follower(library, settings)
    first.catch_up()
    first.publish()
    database = Database.open(f"sqlite:///{tmp_path / 'another.sqlite'}")
    database.migrate()
    another = Library(database)
    another.rng = np.random.default_rng(9)
    another.index(*range(12))
    second = new_follower(another, settings)
    second.catch_up()
    assert_equal_to_catalogue(second, another)
    database.close()


def test_a_backup_restored_under_a_running_process_is_followed(library: Library, settings: Settings) -> None:
    library.index(*range(5))
    follower = new_follower(library, settings)
    follower.catch_up()
    follower.publish()
    with library.database.write() as c:
        # What a restore does: other contents under the same numbers, and a new identity.
        c.execute(update(counter).where(counter.c.name == "identity").values(value=counter.c.value + 1))
        c.execute(delete(embedding).where(embedding.c.signal == "speech"))
    follower.catch_up()
    assert len(held(follower, Signal.IMAGE)) == 5
    assert_equal_to_catalogue(follower, library)
    follower.stop()


def test_an_older_process_does_not_replace_a_newer_snapshot(library: Library, settings: Settings) -> None:
    library.index(*range(5))
    slow, fast = new_follower(library, settings), new_follower(library, settings)
    slow.catch_up()
    library.index(*range(5, 10))
    fast.catch_up()
    fast.publish()
    newest = snapshot(settings).read_bytes()
    slow.publish()
    assert snapshot(settings).read_bytes() == newest


def test_stopping_publishes_only_when_enough_changed(
    library: Library, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.index(*range(5))
    follower = new_follower(library, settings)
    follower.catch_up()
    follower.stop()
    assert not snapshot(settings).exists()
    monkeypatch.setattr(following, "PUBLISH_ROWS", 3)
    follower = new_follower(library, settings)
    follower.catch_up()
    follower.stop()
    assert snapshot(settings).exists()


def test_a_vector_without_direction_does_not_stop_the_others(library: Library, settings: Settings) -> None:
    library.index(*range(3))
    with library.database.read() as c:
        ids, _, _ = embeddings.embeddings_after(c, library.space.id, Signal.IMAGE, 0, 1)
    with library.database.write() as c:
        space = spaces.create_space(c, "odd", "{}", "d" * 64)
        embeddings.insert_embeddings(c, [(space.id, int(ids[0]), "image", np.zeros(DIMENSION, np.float32))])
        embeddings.insert_embeddings(c, [(space.id, int(ids[0]) + 1, "speech", np.eye(DIMENSION, dtype="f4")[0])])
    odd = Follower(library.database, space, DIMENSIONS, settings)
    odd.catch_up()
    assert len(odd.partitions[Signal.IMAGE]) == 0
    assert len(odd.partitions[Signal.SPEECH]) == 1


class Flaky(Database):
    """A catalogue that can be cut off."""

    away = False

    @contextmanager
    def read(self) -> Iterator[Connection]:
        if self.away:
            raise CatalogError("no connection")
        with super().read() as connection:
            yield connection


def test_a_catalogue_that_is_away_leaves_the_partitions_searchable(settings: Settings, sqlite_url: str) -> None:
    database = Flaky.open(sqlite_url)
    library = Library(database)
    library.index(1)
    follower = new_follower(library, settings, poll_seconds=0.01)
    follower.start()
    database.away = True
    until(lambda: follower.problem == "no connection")
    assert len(follower.partitions[Signal.IMAGE]) == 1
    database.away = False
    library.index(2)
    until(lambda: follower.problem is None and len(follower.partitions[Signal.IMAGE]) == 2)
    follower.stop()
    database.close()


_OTHER_PROCESS = """
import sys, msgspec
from search.catalog import spaces
from search.catalog.database import Database
from search.index.follower import Follower
from search.results import Signal
from search.settings import Settings

settings = Settings.load(environment={}, home=sys.argv[1], poll_seconds=0.05)
database = Database.open(sys.argv[2])
with database.read() as c:
    space = spaces.get_space(c, "test")
follower = Follower(database, space, {Signal.IMAGE: 8, Signal.SPEECH: 8}, settings)
follower.start()
print("ready", follower.sequence, flush=True)
print(follower.wait_for(int(sys.stdin.readline()), 20), len(follower.partitions[Signal.IMAGE]), flush=True)
follower.stop()
database.close()
"""


def test_another_process_sees_a_newly_indexed_file(library: Library, settings: Settings, database_url: str) -> None:
    library.index(1)
    command = [sys.executable, "-c", _OTHER_PROCESS, str(settings.home), database_url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().split() == ["ready", "2"]
        library.index(2)
        with library.database.read() as c:
            process.stdin.write(f"{sequence.latest_sequence(c)}\n")
        process.stdin.flush()
        assert process.stdout.readline().split() == ["True", "2"]


def test_partitions_can_live_in_milvus(library: Library, settings: Settings) -> None:
    pytest.importorskip("milvus_lite", reason="Milvus Lite is not installed: pip install 'medley-search[milvus]'")
    settings = msgspec.structs.replace(settings, index="milvus")
    library.index(*range(6))
    first = new_follower(library, settings)
    first.catch_up()
    assert_equal_to_catalogue(first, library)
    library.index(2)
    with library.database.write() as c:
        assets.delete_asset(c, library.asset(4))
    first.catch_up()
    assert_equal_to_catalogue(first, library)
    first.stop()
    library.index(9)
    second = new_follower(library, settings)
    second.catch_up()
    assert_equal_to_catalogue(second, library)
    assert second.unsaved[Signal.IMAGE] == 1, "it went on where the first one stopped"
    second.stop()
