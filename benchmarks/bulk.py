"""Bulk ingestion: what machines add, what the cluster costs beside the worker, and how fast shards are taken in.

    python -m benchmarks.bulk scale [--files N] [--milliseconds N] [--nodes 1 2 4]
    python -m benchmarks.bulk overhead --photos FOLDER [--count N] [--rounds N] [--on ray]
    python -m benchmarks.bulk import [--postgres URL] [--segments N] [--each N] [--dimension N] [--importers N]

`scale`: decoding and encoding sleep, on nodes of a local Ray cluster, so that only what moves work and results about is
measured. `overhead`: real photos through real decoders and the starter space, by the worker and by one node.
`import`: synthetic shards into an empty catalogue, with the bare COPY of the same bytes beside it.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import psycopg
import sqlalchemy
from msgspec import Struct
from sqlalchemy import make_url

from benchmarks.ingest import make_photos
from indexer.bulk.importing import ShardImporter
from indexer.bulk.jobs import opened_fleet, run_on
from indexer.bulk.ray_fleet import Share
from indexer.bulk.shard_places import ShardFolder
from indexer.bulk.shards import Entry, ShardWriter
from indexer.decoding.decoder import Items
from indexer.decoding.items import DecodeRequest, Facts, Part, PictureItem, Promised
from indexer.indexer import Indexer
from indexer.sources.scan import scan_source
from search.active_space import SpaceOpener, active_space
from search.catalog import sources, spaces
from search.catalog.database import Database
from search.catalog.records import AssetFacts, FoundFile, IndexedAsset, NewSegment, SpaceRecord
from search.catalog.states import SpaceState
from search.results import Kind
from search.settings import Settings
from search.signals import Signal
from search.testing import WordSpace

_PATIENCE_SECONDS = 600.0  # for one importing process among several
_NODE: dict[str, Any] = {"object_store_memory": 100 * 1024**2, "include_dashboard": False}


class SleepingSpace(WordSpace):
    """Encodes as a GPU would: the process sleeps meanwhile."""

    def embed(self, signal: Signal, items: Sequence[Any]) -> np.ndarray:
        """The time of the environment for each item, then vectors of colours."""
        time.sleep(float(os.environ.get("BENCH_ENCODE_SECONDS", "0")) * len(items))
        return super().embed(signal, items)


def sleeping_spaces(_: Settings) -> SpaceOpener:
    """Opens every space as a sleeping one; and decoding sleeps, too, in this process from now on."""
    from indexer.decoding.decoder import DecoderPool

    def decode(self: DecoderPool, request: DecodeRequest) -> Items:  # noqa: ARG001 - as the pool's
        time.sleep(float(os.environ.get("BENCH_DECODE_SECONDS", "0")))
        yield Facts(Kind.IMAGE, AssetFacts(width=8, height=8), Promised({Part.PICTURE: 1}))
        pictures = {space: np.full((8, 8, 3), 128, np.uint8) for space in request.image_inputs}
        yield PictureItem(Signal.IMAGE, pictures)

    DecoderPool.decode = decode  # type: ignore[method-assign]
    return lambda _: SleepingSpace()


@contextmanager
def machines(count: int, cores: int) -> Iterator[None]:
    """A Ray cluster on this machine: a head without cores, and nodes that believe they have that many."""
    ray: Any = importlib.import_module("ray")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    root = str(Path(__file__).resolve().parent.parent)
    os.environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **_NODE})
    try:
        for _ in range(count):
            cluster.add_node(**_NODE, num_cpus=cores)
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()


@contextmanager
def library(folder: Path, url: str | None = None, space: WordSpace | None = None) -> Iterator[Database]:
    """An empty catalogue; with a space of words if there is one, else the starter will be made."""
    database = Database.open(url or f"sqlite:///{folder / f'{uuid.uuid4().hex}.sqlite'}")
    database.migrate()
    if space is not None:
        with database.write() as connection:
            spaces.create_space(connection, "bench", "{}", space.fingerprint.digest, state=SpaceState.ACTIVE)
    try:
        yield database
    finally:
        database.close()


def scanned(database: Database, settings: Settings, root: Path) -> None:
    """Everything in a folder, pending."""
    with database.write() as connection:
        source = sources.add_source(connection, str(root))
    scan_source(database, source, settings)


class Clock:
    """From the first file that is done to the last: not the start of processes, nor the loading of models."""

    def __init__(self) -> None:
        self.first: tuple[float, float, int] | None = None
        self.last = (0.0, 0.0, 0)

    def __call__(self, told: Any) -> None:
        """A worker's progress."""
        done = told.tally.indexed
        if done != self.last[2]:
            self.last = time.perf_counter(), family_seconds(), done
            self.first = self.first or self.last

    @property
    def rate(self) -> float:
        """Files a second."""
        assert self.first is not None
        return (self.last[2] - self.first[2]) / (self.last[0] - self.first[0])

    @property
    def processor_seconds(self) -> float:
        """Of this process and all that it started, for each file: what other programs beside it change little."""
        assert self.first is not None
        return (self.last[1] - self.first[1]) / (self.last[2] - self.first[2])


def family_seconds() -> float:
    """Processor time of this process and of those it started, and they, those that have ended included."""
    me = psutil.Process()
    seconds = 0.0
    for process in (me, *me.children(recursive=True)):
        with suppress(psutil.Error):
            seconds += sum(process.cpu_times()[:4])  # user and system; of its own and of children that have ended
    return seconds


def scale(files: int, milliseconds: float, counts: Sequence[int], cores: int) -> None:
    """The same work on one machine and on several, whose decoding and encoding sleep."""
    os.environ["BENCH_DECODE_SECONDS"] = str(milliseconds / 1000)
    os.environ["BENCH_ENCODE_SECONDS"] = str(milliseconds / 1000 / 20)
    rates: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        media = folder / "media"
        media.mkdir()
        for number in range(files):
            (media / f"{number}.jpg").write_bytes(b"\xff\xd8\xff\xe0" + str(number).encode())
        settings = Settings.load({}, home=folder, settle_seconds=0, speech=False, sound=False, ocr=False, vision=False)
        for count in counts:
            with machines(count, cores), library(folder, space=WordSpace()) as database:
                scanned(database, settings, media)
                clock = Clock()
                share = Share(cores=cores, open_space=sleeping_spaces)
                with opened_fleet(settings, database, "ray", share) as fleet:
                    fleet = Together(fleet, count)
                    run_on(fleet, settings, database, threading.Event(), listener=clock)
                rates[count] = clock.rate
                efficiency = clock.rate / rates[counts[0]] / (count / counts[0])
                print(
                    f"{count} nodes of {cores} cores: {clock.rate:8.1f} files/s, efficiency {efficiency:.3f}",
                    flush=True,
                )


class Together:
    """A fleet that begins when all its machines are there."""

    def __init__(self, fleet: Any, wanted: int) -> None:
        self.fleet, self.wanted = fleet, wanted
        self.new: list[Any] = []

    def joined(self) -> list[Any]:
        """None, then all."""
        self.new += self.fleet.joined()
        if len(self.new) < self.wanted:
            return []
        self.wanted = 0
        new, self.new = self.new, []
        return new

    def send(self, name: str, message: bytes) -> None:
        """As the fleet."""
        self.fleet.send(name, message)

    def receive(self, seconds: float) -> list[tuple[str, bytes | None]]:
        """As the fleet."""
        ended: list[tuple[str, bytes | None]] = self.fleet.receive(seconds)
        return ended

    def close(self) -> None:
        """As the fleet."""
        self.fleet.close()


def overhead(photos: Path, count: int, rounds: int, on: str | None) -> None:
    """Real photos by the worker, and by a cluster of one node with as many cores."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        media = folder / "media"
        media.mkdir()
        make_photos(media, count, photos)
        settings = Settings.load(
            {},
            home=folder,
            settle_seconds=0,
            speech=False,
            sound=False,
            ocr=False,
            vision=False,
            decode_processes=os.cpu_count(),
        )
        clocks: dict[str, list[Clock]] = {"worker": [], "bulk": []}
        for number in range(rounds + 1):  # the first one warms the page cache up
            for kind, run in (("worker", _by_worker), ("bulk", _by_fleet(on))):
                with library(folder) as database:
                    active_space(database, settings)
                    scanned(database, settings, media)
                    clock = Clock()
                    run(settings, database, clock)
                if number:
                    clocks[kind].append(clock)
                    spent = f"{1e3 * clock.processor_seconds:7.1f} ms of processor a file"
                    print(f"{kind:7} {clock.rate:7.2f} files/s, {spent}", flush=True)
        worker, bulk = (statistics.median(clock.rate for clock in clocks[kind]) for kind in clocks)
        print(f"worker {worker:.2f}, bulk {bulk:.2f} files/s (medians of {rounds}): overhead {worker / bulk - 1:+.1%}")
        worker, bulk = (statistics.median(clock.processor_seconds for clock in clocks[kind]) for kind in clocks)
        print(f"processor a file {1e3 * worker:.1f} and {1e3 * bulk:.1f} ms: overhead {bulk / worker - 1:+.1%}")


def _by_worker(settings: Settings, database: Database, clock: Clock) -> None:
    with Indexer(settings, database) as indexer:
        indexer.worker().run(threading.Event(), until_idle=True, listener=clock)


def _by_fleet(on: str | None) -> Callable[[Settings, Database, Clock], None]:
    def run(settings: Settings, database: Database, clock: Clock) -> None:
        with opened_fleet(settings, database, on, Share(cores=os.cpu_count() or 1)) as fleet:
            run_on(fleet, settings, database, threading.Event(), listener=clock)

    return run


def import_shards(postgres: str, segments: int, each: int, dimension: int, importers: int) -> None:
    """Synthetic shards into PostgreSQL, by one process or several, beside the bare COPY of the same bytes."""
    rng = np.random.default_rng(0)
    name = f"medley_bench_{uuid.uuid4().hex[:12]}"
    url = make_url(postgres).set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
    try:
        with tempfile.TemporaryDirectory() as home, library(Path(home), url, WordSpace()) as database:
            with database.write() as connection:
                (space,) = spaces.list_spaces(connection)
                sources.add_source(connection, "/media")
            folders = [Path(home) / f"shards-{number}" for number in range(importers)]
            made = sum(
                _write_shards(folder, space, rng, segments // importers, each, dimension, number * segments)
                for number, folder in enumerate(folders)
            )
            empty = database.size_bytes()
            database.close()  # its connection's time is not the import's
            results, theirs = _by_processes(url, folders, name)
            database = Database.open(url)
            assert sum(result.segments for result in results) == made
            seconds = max(result.ended for result in results) - min(result.began for result in results)
            ours = sum(result.processor_seconds for result in results)
            grown = database.size_bytes() - empty
            print(
                f"import: {made / seconds:,.0f} segments/s, {made / each / seconds:,.0f} files/s by {importers} "
                f"({made:,} segments of {each} a file, {dimension} numbers each; {grown / made:,.0f} bytes a segment)"
            )
            print(
                f"processor time a segment: {ours / made * 1e6:.1f} µs here, {theirs / made * 1e6:.1f} µs of the "
                "server's connections (the greater one is the limit where both have a core)"
            )
            print(
                f"of {sum(result.writing for result in results):.1f} s of transactions the counter was held for "
                f"{sum(result.holding for result in results):.1f} s and waited for during "
                f"{sum(result.waiting for result in results):.1f} s"
            )
            began = time.perf_counter()
            again = ShardImporter(database, Settings.load({}, home=Path(home))).run(
                ShardFolder(folders[0]), threading.Event()
            )
            print(f"again: {again.known:,} files passed by in {time.perf_counter() - began:.1f} s")
            database.close()
        print(f"bare COPY of the same rows: {_bare_copy(url, made, dimension):,.0f} segments/s")
    finally:
        with psycopg.connect(postgres, autocommit=True) as server:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


class Taken(Struct):
    """What one importing process took. Seconds; `began` and `ended` by the machine's clock."""

    segments: int
    began: float
    ended: float
    processor_seconds: float
    writing: float  # transactions, from their first statement to their commit
    waiting: float  # of these, for the counter of sequence numbers
    holding: float  # of these, with it


def _by_processes(url: str, folders: Sequence[Path], name: str) -> tuple[list[Taken], float]:
    """Each folder by a process of its own, all at once; and the processor time of the server's connections."""
    context = multiprocessing.get_context("spawn")
    ready, done = context.Barrier(len(folders) + 1), context.Barrier(len(folders) + 1)
    results: Any = context.Queue()
    processes = [context.Process(target=_take_in, args=(url, str(folder), ready, done, results)) for folder in folders]
    for process in processes:
        process.start()
    ready.wait()
    before = backend_seconds(name)
    parts = [results.get(timeout=_PATIENCE_SECONDS) for _ in processes]
    seconds = backend_seconds(name) - before
    done.wait()
    for process in processes:
        process.join()
    return parts, seconds


def _take_in(url: str, folder: str, ready: Any, done: Any, results: Any) -> None:
    database = Database.open(url)
    with database.read() as connection:
        spaces.list_spaces(connection)
    part = Taken(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    at = {"begin": 0.0, "ask": 0.0, "hold": 0.0}

    def begin(_: Any) -> None:
        at["begin"], at["hold"] = time.perf_counter(), 0.0

    def before(*_: Any) -> None:
        at["ask"] = time.perf_counter()

    def after(*given: Any) -> None:
        if given[2].startswith("UPDATE counter"):
            at["hold"] = time.perf_counter()
            part.waiting += at["hold"] - at["ask"]

    def commit(_: Any) -> None:
        now = time.perf_counter()
        part.writing += now - at["begin"]
        part.holding += now - at["hold"] if at["hold"] else 0.0

    for event, listener in (
        ("begin", begin),
        ("before_cursor_execute", before),
        ("after_cursor_execute", after),
        ("commit", commit),
    ):
        sqlalchemy.event.listen(sqlalchemy.Engine, event, listener)
    ready.wait()
    part.began, spent = time.time(), time.process_time()
    settings = Settings.load({}, home=Path(folder).parent)
    part.segments = ShardImporter(database, settings).run(ShardFolder(Path(folder)), threading.Event()).segments
    part.ended, part.processor_seconds = time.time(), time.process_time() - spent
    results.put(part)
    done.wait()
    database.close()


def backend_seconds(database: str) -> float:
    """Processor time of the server's processes that are connected to a database, where they run on this machine."""
    processes = (process for process in psutil.process_iter() if database in " ".join(_command(process)))
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []


def _write_shards(
    folder: Path,
    space: SpaceRecord,
    rng: np.random.Generator,
    segments: int,
    each: int,
    dimension: int,
    first: int,
) -> int:
    writer = ShardWriter(ShardFolder(folder), "/media", True, [space])
    written, number = 0, first
    while written < segments:
        entries = []
        for _ in range(max(1, min(20_000, segments - written) // each)):
            vectors = rng.standard_normal((each, dimension), np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            made = [
                NewSegment(signal="frame", start_seconds=float(i), end_seconds=i + 1.0, vectors={space.id: vector})
                for i, vector in enumerate(vectors)
            ]
            path = f"{number // 1000}/{number}.mp4"
            file = FoundFile(path=path, path_bytes=path.encode(), size_bytes=1000 + number, modified_ns=number)
            facts = AssetFacts(width=1920, height=1080, duration_seconds=float(each), captured_at=1.6e9 + number)
            result = IndexedAsset(asset_id=0, kind="video", content_hash=f"{number:064x}", facts=facts, segments=made)
            entries.append(Entry(file, result))
            number += 1
        writer.write(entries)
        written += len(entries) * each
    return written


def _bare_copy(url: str, rows: int, dimension: int) -> float:
    """Both rows of a segment by the driver's COPY, in tables without an index: what no importer can exceed here."""
    vector = os.urandom(2 * dimension)
    with psycopg.connect(url) as connection:
        connection.execute(
            "CREATE TABLE bare_segment (id int8, asset_id int8, ordinal int4, signal text, a float8, b float8)"
        )
        connection.execute(
            "CREATE TABLE bare_embedding (space_id int8, segment_id int8, signal text, sequence int8, v bytea)"
        )
        began = time.perf_counter()
        for table, types, row in (
            (
                "bare_segment",
                ["int8", "int8", "int4", "text", "float8", "float8"],
                lambda i: (i, i // 20, i % 20, "frame", 0.0, 1.0),
            ),
            ("bare_embedding", ["int8", "int8", "text", "int8", "bytea"], lambda i: (1, i, "frame", i, vector)),
        ):
            with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(types)
                for number in range(rows):
                    copy.write_row(row(number))
        connection.commit()
        return rows / (time.perf_counter() - began)


def main() -> None:
    """Run one of the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    one = kinds.add_parser("scale")
    one.add_argument("--files", type=int, default=2000)
    one.add_argument("--milliseconds", type=float, default=100.0)
    one.add_argument("--nodes", type=int, nargs="+", default=[1, 2])
    one.add_argument("--cores", type=int, default=4)
    one = kinds.add_parser("overhead")
    one.add_argument("--photos", type=Path)
    one.add_argument("--count", type=int, default=200)
    one.add_argument("--rounds", type=int, default=3)
    one.add_argument("--on")
    one = kinds.add_parser("import")
    one.add_argument("--postgres", default="postgresql://postgres@127.0.0.1:5432/postgres")
    one.add_argument("--segments", type=int, default=200_000)
    one.add_argument("--each", type=int, default=20)
    one.add_argument("--dimension", type=int, default=512)
    one.add_argument("--importers", type=int, default=1, help="processes, each with a share of the shards")
    given = parser.parse_args()
    if given.kind == "scale":
        scale(given.files, given.milliseconds, given.nodes, given.cores)
    elif given.kind == "overhead":
        overhead(given.photos, given.count, given.rounds, given.on)
    else:
        import_shards(given.postgres, given.segments, given.each, given.dimension, given.importers)


if __name__ == "__main__":
    main()
