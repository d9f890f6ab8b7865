"""A catalogue, a folder and a worker to index it with, for tests of indexing: real decoders, a space of words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from indexer.decoding.decoder import DecoderPool, Items
from indexer.decoding.items import DecodeRequest
from indexer.ingest.recorder import Tally
from indexer.ingest.worker import Worker
from indexer.segmenting.segmenter import MakerFactory, PictureMaker
from indexer.sources.scan import ScanReport, scan_source
from search.catalog import assets, embeddings, segments, sources, spaces
from search.catalog.database import Database
from search.catalog.records import AssetRecord, Counts, SegmentRecord, SourceRecord
from search.catalog.states import SpaceState
from search.settings import Settings
from search.signals import Signal
from search.spaces.space import Space
from search.testing import WordSpace


class Library:
    """One source with a worker beside it."""

    def __init__(
        self, database: Database, settings: Settings, root: Path, pool: DecoderPool, store: str | None = None
    ) -> None:
        """`store` is the address of one, in the place of the folder `root`."""
        self.database = database
        self.settings = msgspec.structs.replace(settings, settle_seconds=0.0, retry_seconds=0.05)
        self.root = root
        self.pool = pool
        self.decode: Callable[[DecodeRequest], Items] = pool.decode  # tests put theirs in its place
        self.space: Space = WordSpace()
        self.makers: tuple[MakerFactory, ...] = (PictureMaker,)
        self.reading: tuple[MakerFactory, ...] = ()
        if store is None:
            root.mkdir(exist_ok=True)
        with database.write() as connection:
            self.source: SourceRecord = sources.add_source(connection, store or str(root))
            record = spaces.create_space(
                connection, "words", "{}", self.space.fingerprint.digest, state=SpaceState.ACTIVE
            )
        self.space_id = record.id

    def scan(self, now: float | None = None) -> ScanReport:
        return scan_source(self.database, self.state(), self.settings, now)

    def worker(self, clock: Callable[[], float] | None = None, concurrency: int = 2) -> Worker:
        return Worker.here(
            self.settings,
            self.database,
            lambda: {self.space_id: self.space},
            self.decode,
            self.makers,
            reading=self.reading,
            concurrency=concurrency,
            interrupt=self.pool.interrupt,
            clock=clock or time.time,
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
