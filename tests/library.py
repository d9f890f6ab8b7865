"""A catalogue, a folder and a worker to index it with, for tests of indexing: real decoders, a space of words."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
from word_space import WordSpace

from indexer.decoder import DecoderPool
from indexer.recorder import Tally
from indexer.scan import ScanReport, scan_source
from indexer.segmenter import MakerFactory, PictureMaker
from indexer.worker import Worker
from search.catalog import assets, embeddings, segments, sources, spaces
from search.catalog.database import Database
from search.catalog.records import AssetRecord, Counts, SegmentRecord, SourceRecord
from search.results import Signal
from search.settings import Settings
from search.spaces.space import Space


class Library:
    """One source with a worker beside it."""

    def __init__(self, database: Database, settings: Settings, root: Path, pool: DecoderPool) -> None:
        self.database = database
        self.settings = msgspec.structs.replace(settings, settle_seconds=0.0, retry_seconds=0.05)
        self.root = root
        self.pool = pool
        self.space: Space = WordSpace()
        self.makers: tuple[MakerFactory, ...] = (PictureMaker,)
        self.reading: tuple[MakerFactory, ...] = ()
        root.mkdir(exist_ok=True)
        with database.write() as connection:
            self.source: SourceRecord = sources.add_source(connection, str(root))
            record = spaces.create_space(connection, "words", "{}", self.space.fingerprint.digest, state="active")
        self.space_id = record.id

    def scan(self, now: float | None = None) -> ScanReport:
        return scan_source(self.database, self.state(), self.settings, now)

    def worker(self, clock: Callable[[], float] | None = None, concurrency: int = 2) -> Worker:
        more = {"clock": clock} if clock else {}
        return Worker(
            self.settings,
            self.database,
            lambda: {self.space_id: self.space},
            self.pool.decode,
            self.makers,
            reading=self.reading,
            concurrency=concurrency,
            interrupt=self.pool.interrupt,
            **more,
        )

    def work(self) -> Tally:
        return self.worker().run(threading.Event(), until_idle=True)

    def index(self) -> Tally:
        """Scan and work until nothing is pending."""
        self.scan()
        return self.work()

    def state(self) -> SourceRecord:
        with self.database.read() as connection:
            return sources.get_source(connection, self.source.id)

    def counts(self) -> Counts:
        with self.database.read() as connection:
            return assets.counts(connection)

    def all(self) -> dict[bytes, AssetRecord]:
        """By the name of the file."""
        with self.database.read() as connection:
            records = assets.list_assets(connection, limit=10_000)
        return {record.path_bytes.rpartition(b"/")[2]: record for record in records}

    def segments(self, asset: AssetRecord) -> list[SegmentRecord]:
        with self.database.read() as connection:
            return segments.segments_of(connection, asset.id)

    def vectors(self, signal: Signal = Signal.IMAGE) -> dict[int, list[float]]:
        """What a follower sees: segment id -> vector."""
        with self.database.read() as connection:
            ids, _, vectors = embeddings.embeddings_after(connection, self.space_id, signal, 0, 100_000)
        return {int(key): vector.tolist() for key, vector in zip(ids, vectors, strict=True)}
