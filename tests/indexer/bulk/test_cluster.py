"""A worker over many nodes: results equal the worker's, a lost node loses and doubles nothing, stops hand back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from support.bulk_world import GatheredFleet, MortalFleet, word_spaces
from support.library import Library
from support.pictures import BLUE, GREEN, RED, save_coloured
from support.waiting import until

from indexer.bulk import messages
from indexer.bulk.cluster import Block, Cluster, Fleet
from indexer.bulk.job import Job, node_capacity, open_node
from indexer.bulk.jobs import run_on
from indexer.bulk.local_fleet import LocalFleet
from indexer.bulk.messages import Order, Report
from indexer.bulk.node import Node, ToldPlaces
from indexer.decoding.decoder import DecoderPool
from indexer.ingest.ledger import CatalogueLedger
from indexer.ingest.pipeline import Write
from indexer.ingest.task import Outcome
from indexer.sources.folder_files import FolderFiles
from search.catalog import spaces
from search.catalog.database import Database
from search.catalog.records import AssetFacts, AssetRecord, FoundFile, IndexedAsset, NewSegment
from search.errors import PermanentMediaError, SpaceError, UnavailableError
from search.settings import Settings

FILES = 40


@pytest.fixture
def library(database: Database, settings: Settings, tmp_path: Path) -> Iterator[Library]:
    quiet = msgspec.structs.replace(settings, speech=False, sound=False, ocr=False, batch_assets=4)
    with DecoderPool(settings, size=2) as pool:
        yield Library(database, quiet, tmp_path / "media", pool)


def fill(library: Library, count: int = FILES) -> None:
    for number in range(count):
        save_coloured(library.root / f"{number}.jpg", number, (RED, GREEN, BLUE)[number % 3])
    (library.root / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    (library.root / "copy.jpg").write_bytes((library.root / "0.jpg").read_bytes())
    library.scan()


def job(library: Library) -> Job:
    with library.database.read() as connection:
        return Job.of(library.settings, spaces.list_spaces(connection))


def node(library: Library) -> tuple[Node, int]:
    return open_node(job(library), 1, word_spaces), node_capacity(library.settings, 1)


def run(library: Library, fleet: Fleet, stop: threading.Event | None = None) -> None:
    try:
        run_on(fleet, library.settings, library.database, stop or threading.Event(), block=Block(assets=8, seconds=0.2))
    finally:
        fleet.close()


def results(library: Library) -> dict[bytes, Any]:
    """What is known of every file, but for times, ids and who did it."""
    vectors = library.vectors()
    found: dict[bytes, Any] = {}
    for name, asset in library.all().items():
        facts = {field: getattr(asset, field) for field in AssetFacts.__struct_fields__}
        segments = library.segments(asset)
        shown = [
            (segment.ordinal, segment.signal, segment.start_seconds, segment.text, vectors[segment.id])
            for segment in segments
        ]
        error = (asset.error or "").partition(": ")[2]
        found[name] = asset.status, asset.kind, asset.content_hash, facts, asset.note, asset.unread, error, shown
    return found


@pytest.fixture
def by_worker(library: Library, tmp_path: Path, settings: Settings, migrated_sqlite: Path) -> Callable[[], Any]:
    """The same files as the worker alone indexes them, in a catalogue of its own."""

    def index() -> Any:
        path = tmp_path / "alone.sqlite"
        path.write_bytes(migrated_sqlite.read_bytes())
        other = Database.open(f"sqlite:///{path}")
        alone = Library(other, library.settings, library.root, library.pool)
        alone.index()
        found = results(alone)
        other.close()
        return found

    return index


def test_results_of_many_nodes_equal_the_workers(library: Library, by_worker: Callable[[], Any]) -> None:
    fill(library)
    run(library, LocalFleet({"one": node(library), "two": node(library)}))
    counts = library.counts()
    assert (counts.indexed, counts.quarantined, counts.pending, counts.working) == (FILES + 1, 1, 0, 0)
    assert results(library) == by_worker()


def test_a_lost_node_loses_and_doubles_nothing(library: Library, by_worker: Callable[[], Any]) -> None:
    fill(library)
    fleet = MortalFleet({"one": node(library), "two": node(library)}, {"one": 3})
    run(library, fleet)
    assert fleet.deaths == ["one"]
    assert results(library) == by_worker()


def test_the_same_files_again_change_nothing(library: Library) -> None:
    fill(library, 6)
    run(library, LocalFleet({"one": node(library)}))
    before = results(library)
    later = time.time() + 5
    for path in library.root.iterdir():
        path.touch()
    library.scan(later)
    run(library, LocalFleet({"one": node(library)}))
    assert results(library) == before


def test_a_file_that_moved_keeps_its_id(library: Library) -> None:
    fill(library, 3)
    run(library, LocalFleet({"one": node(library)}))
    before = library.all()[b"1.jpg"].id
    (library.root / "1.jpg").rename(library.root / "moved.jpg")
    library.scan()
    run(library, LocalFleet({"one": node(library)}))
    assert library.all()[b"moved.jpg"].id == before
    assert b"1.jpg" not in library.all()


def test_a_stop_writes_what_is_encoded_and_hands_the_rest_back(library: Library) -> None:
    fill(library)
    stop = threading.Event()
    fleet = LocalFleet({"one": node(library)})

    def stop_soon() -> None:
        until(lambda: library.counts().indexed >= 4)
        stop.set()

    thread = threading.Thread(target=stop_soon)
    thread.start()
    run(library, fleet, stop)
    thread.join()
    counts = library.counts()
    assert counts.working == 0
    assert counts.indexed + counts.pending + counts.quarantined == FILES + 2
    assert counts.indexed >= 4
    assert all(asset.attempts <= 1 for asset in library.all().values())


def test_a_node_that_can_not_open_the_space_ends_the_job_with_a_reason(library: Library) -> None:
    fill(library, 2)
    fleet = LocalFleet({"one": (Node(lambda _ledger, _write: Broken(), lambda: None, ToldPlaces(library.settings)), 4)})
    with pytest.raises(SpaceError, match="one: the weights are missing"):
        run(library, fleet)
    counts = library.counts()
    assert (counts.pending, counts.working, counts.quarantined) == (4, 0, 0)


class Broken:
    """Stages that can do nothing."""

    failure = SpaceError("the weights are missing")
    capacity = 4

    def submit(self, asset: AssetRecord) -> None: ...

    def in_flight(self) -> dict[int, int]:
        return {}

    def wait(self, below: int, seconds: float) -> bool:
        return True

    def seconds(self) -> Any:
        return Report().stages

    def stop(self) -> dict[int, int]:
        return {}


class Script(Fleet):
    """A fleet without machines: each exchange is answered by a function, on the thread that asks."""

    def __init__(self, names: Sequence[str], answer: Callable[[str, Order], Report | None]) -> None:
        from indexer.bulk.cluster import Member

        self.member = Member
        self.new = list(names)
        self.answer = answer
        self.ended: list[tuple[str, bytes | None]] = []
        self.orders: list[tuple[str, Order]] = []

    def joined(self) -> Any:
        new, self.new = self.new, []
        return [self.member(name, 4) for name in new]

    def send(self, name: str, message: bytes) -> None:
        order: Order = messages.decode(message, Order)
        self.orders.append((name, order))
        report = self.answer(name, order)
        self.ended.append((name, None if report is None else messages.encode(report)))

    def receive(self, seconds: float) -> list[tuple[str, bytes | None]]:
        ended, self.ended = self.ended, []
        if not ended:
            time.sleep(0.01)  # a fleet waits for its nodes; no answer of these can come from another thread
        return ended

    def close(self) -> None: ...


def done(asset: AssetRecord) -> messages.Result:
    result = IndexedAsset(asset_id=asset.id, kind="image", content_hash="", facts=AssetFacts(), segments=[])
    return messages.result_of(Outcome(asset, result))


def test_a_file_that_kills_its_nodes_is_found_out_and_the_others_are_not_blamed(library: Library) -> None:
    """A node dies whenever it holds the file; after two deaths the file is by itself, and the blame is certain."""
    fill(library, 10)
    culprit = library.all()[b"3.jpg"].id
    killed: list[list[int]] = []

    def answer(name: str, order: Order) -> Report | None:
        ids = [asset.id for asset in order.assets]
        if culprit in ids:
            killed.append(ids)
            fleet.new.append(name)  # another machine takes its place
            return None
        return Report(results=[done(asset) for asset in order.assets])

    fleet = Script(["one", "two"], answer)
    run(library, fleet)
    assert library.counts().indexed == 11
    assert library.all()[b"3.jpg"].status == "quarantined"
    assert "4 machines died while they worked on nothing else" in (library.all()[b"3.jpg"].error or "")
    assert killed[-4:] == [[culprit]] * 4


def test_writers_that_are_slow_set_the_pace(library: Library) -> None:
    """Back-pressure: while blocks wait to be written, nodes are not asked for more."""
    fill(library, 30)
    made = 0
    ahead: list[int] = []
    written = 0

    def answer(_: str, order: Order) -> Report:
        nonlocal made
        made += len(order.assets)
        ahead.append(made - written)
        return Report(results=[done(asset) for asset in order.assets])

    ledger = CatalogueLedger(library.database, library.settings)

    def write(outcomes: Sequence[Outcome]) -> None:
        nonlocal written
        time.sleep(0.05)  # a slow writer is what is tested: it sets the pace
        written += len(outcomes)

    write_: Write = write
    cluster = Cluster(Script(["one"], answer), ledger, library.settings, write_, Block(assets=2, seconds=60))
    for asset in library.all().values():
        cluster.submit(asset)
    assert cluster.wait(below=1, seconds=30)
    cluster.stop()
    assert written == 32
    assert max(ahead) <= 4 + 2 * 4 + 4  # held, blocks that wait and the one that is written


def test_a_job_without_any_machine_ends(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.bulk.cluster.NO_NODE_SECONDS", 0.3)
    fill(library, 1)
    with pytest.raises(UnavailableError, match="no machine"):
        run(library, Script([], lambda _name, _order: None))
    assert library.counts().pending == 3


def test_outcomes_travel_whole() -> None:
    nothing: list[Any] = [None] * len(AssetRecord.__struct_fields__)
    asset = msgspec.structs.replace(AssetRecord(*nothing), id=7)
    vector = np.linspace(-1, 1, 8, dtype=np.float32)
    segment = NewSegment(signal="speech", start_seconds=1.5, text="grüß", details=b"{}", vectors={3: vector})
    facts = AssetFacts(width=4, captured_at=1.5, perceptual_hash=b"\x00\xff")
    sent = IndexedAsset(asset_id=7, kind="video", content_hash="ab", facts=facts, segments=[segment], unread=True)
    came = messages.outcome_of(asset, messages.result_of(Outcome(asset, sent))).result
    assert isinstance(came, IndexedAsset)
    np.testing.assert_array_equal(came.segments[0].vectors[3], vector.astype("<f2"))
    assert msgspec.structs.replace(came, segments=[]) == msgspec.structs.replace(sent, segments=[])
    failed = messages.outcome_of(asset, messages.result_of(Outcome(asset, PermanentMediaError("is empty")))).result
    assert isinstance(failed, PermanentMediaError)
    assert str(failed) == "is empty"
    with pytest.raises(UnavailableError):
        messages.decode(b"\xc1", Report)


class Lost(FolderFiles):
    """A folder in which nothing is found."""

    def now(self, asset: AssetRecord) -> tuple[FoundFile, int]:
        raise FileNotFoundError(asset.path)


@pytest.mark.parametrize("blind", ["by its own account", "without knowing"])
def test_a_node_that_sees_no_files_holds_none_back(library: Library, blind: str) -> None:
    """As one without a store's credentials, or with another folder at the same path."""
    fill(library, 8)
    one, capacity = node(library)
    if blind == "without knowing":
        one.places.of = lambda _: Lost(library.source, library.settings)  # type: ignore[assignment, method-assign]
    else:
        one.places.unseen = lambda: {library.source.id}  # type: ignore[method-assign]
    run(library, GatheredFleet(LocalFleet({"one": (one, capacity), "two": node(library)}), 2))
    counts = library.counts()
    assert (counts.indexed, counts.quarantined, counts.pending, counts.working) == (9, 1, 0, 0)


def test_a_job_of_which_no_node_sees_the_files_ends_and_leaves_them_to_others(library: Library) -> None:
    fill(library, 3)
    one, capacity = node(library)
    one.places.unseen = lambda: {library.source.id}  # type: ignore[method-assign]
    run(library, LocalFleet({"one": (one, capacity)}))
    found = library.all().values()
    assert {(record.status, record.attempts) for record in found} == {("pending", 0)}
    assert all(record.not_before <= time.time() for record in found)
    assert all("can read its source" in (record.error or "") for record in found)
    library.work()
    assert library.counts().indexed == 4
