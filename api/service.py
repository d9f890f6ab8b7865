"""What the entry points share: one engine, one catalogue, the keys, the metrics. Opened once, closed once.

This is the composition root of `api`: tests pass in fakes, `medley serve` the real engine.
Handlers receive it by dependency injection and hold no state of their own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Self

from api.batching import BatchingSpace
from api.http import resumable, uploads, uploads_folder
from api.http.auth import WRONG_KEYS_PER_MINUTE, AccessGuard, KeyRing
from api.http.key_catalog import KeyCatalog
from api.http.rate_limit import RateLimiter
from api.http.server_sent_events import Looks
from api.job_runner import JobRunner
from api.monitoring.library_metrics import LibraryMetrics
from api.monitoring.metrics import Metrics
from api.monitoring.readiness import Readiness
from indexer.decoding.decoder import DecoderPool
from indexer.previews.picture_files import PreviewPictures
from indexer.previews.previews import Previews
from indexer.previews.sound_files import LibrarySounds
from indexer.sources.contents import Contents
from indexer.sources.original import Original
from indexer.sources.places import Places
from search.active_space import SpaceOpener, space_opener
from search.catalog.database import Database
from search.catalog.records import AssetRecord, SpaceRecord
from search.engine import SearchEngine
from search.errors import UnavailableError
from search.runtime import tracing
from search.settings import Settings
from search.space_lifecycle import open_beside
from search.spaces.space import Space

_log = logging.getLogger(__name__)

#: children that make thumbnails
PREVIEW_DECODERS = 2


class BatchSizes:
    """Passes batch sizes to the metric, which exists only after the space was opened."""

    observe: Callable[[float], object] = staticmethod(lambda _size: None)

    def __call__(self, size: int) -> None:
        """Record one call of the encoder with that many texts."""
        self.observe(size)


class Service:
    """Everything that handlers need. Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        engine: SearchEngine,
        open_space: SpaceOpener | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.database = engine.database
        self.engine = engine
        self.clock = clock
        self.metrics = Metrics()
        self.metrics.observe_state(LibraryMetrics(engine.database, lambda: engine.active_space))
        self.stopping = threading.Event()  # long streams end when it is set
        self.looks = Looks(self.stopping.is_set)
        held = KeyCatalog(engine.database, clock)
        self.key_ring = KeyRing(held.active, held.touch, time.monotonic)
        limiter = RateLimiter(settings.rate_limit_per_minute, time.monotonic, held.lend)
        guesses = RateLimiter(WRONG_KEYS_PER_MINUTE, time.monotonic, held.lend)
        networks = settings.keyless_networks
        self.access_guard = AccessGuard(self.key_ring, limiter, guesses, settings.cors_origins, networks)
        self.readiness = Readiness(engine.database, lambda: engine.active_space)
        self.job_runner = JobRunner(settings, engine.database, self.stopping, engine.refresh)
        self._decoders = DecoderPool(settings, PREVIEW_DECODERS)
        self.previews = Previews(settings, self._decoders.decode)
        self.places = Places(engine.database, settings)
        self._pictures = PreviewPictures(engine.database, self.previews, self.places)
        self._sounds = LibrarySounds(settings, engine.database, self.places, self._decoders.decode)
        engine.perceive(self._pictures, self._sounds)
        self._open_space = open_space or space_opener(settings)
        self._opened: dict[int, Space] = {}
        self._beside: dict[str, SearchEngine] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open a service with the real engine, whose queries are batched. Raises MedleyError."""
        tracing.start(settings.tracing_endpoint)
        batches = BatchSizes()
        open_plain = space_opener(settings)
        engine = SearchEngine.open(settings, open_space=lambda record: BatchingSpace(open_plain(record), batches))
        engine.watch()
        uploads.sweep(settings, time.time())
        resumable.sweep(settings, time.time())
        try:
            uploads_folder.prepare(settings, engine.database)
        except UnavailableError as error:
            _log.warning("%s", error)
        service = cls(settings, engine)
        batches.observe = service.metrics.encoder_batch.observe
        return service

    def close(self) -> None:
        """End streams and jobs, then close the engine."""
        self.stopping.set()
        self.job_runner.close()
        self._decoders.close()
        for name in list(self._beside):
            self.close_beside(name)
        self.engine.close()

    def opened(self, record: SpaceRecord) -> Space:
        """Any space of the catalogue, opened once and kept. Raises NotFoundError, SpaceError."""
        active = self.engine.active_space
        if active.record.id == record.id:
            return active.space
        with self._lock:
            if record.id not in self._opened:
                self._opened[record.id] = self._open_space(record)
            return self._opened[record.id]

    def opened_file(self, asset: AssetRecord) -> Contents:
        """An asset's file, opened; it must really be inside its source. Raises NotFoundError, StoreError."""
        return self.places.of(asset).open(asset)

    def original(self, asset: AssetRecord) -> Original:
        """An asset's file for previews; it must really be inside its source. Raises NotFoundError."""
        return self.places.of(asset).original(asset)

    def engine_of(self, name: str) -> SearchEngine:
        """The engine whose space has this name: the one that serves, or one beside it."""
        return self.engine if self.engine.active_space.record.name == name else self.engine_beside(name)

    def engine_beside(self, name: str) -> SearchEngine:
        """An engine that serves another space, kept for the next comparison."""
        with self._lock:
            if name not in self._beside:
                engine = open_beside(self.settings, name, Database.open(self.settings), self._open_space)
                engine.perceive(self._pictures, self._sounds)
                self._beside[name] = engine
            engine = self._beside[name]
        engine.refresh()  # its tuning may be another by now
        engine.catch_up()
        return engine

    def close_beside(self, name: str) -> None:
        """Close the engine kept for comparisons, if there is one."""
        with self._lock:
            engine = self._beside.pop(name, None)
        if engine is not None:
            engine.close()
