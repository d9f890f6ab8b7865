"""What the doors share: one engine, one catalogue, the keys, the metrics. Opened once, closed once.

This is the composition root of `api`: tests hand it fakes, `medley serve` hands it the real engine.
Handlers receive it by dependency injection and hold no state of their own.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from api import media
from api.auth import Gate, KeyRing
from api.background import Background
from api.batching import BatchingSpace
from api.gauges import LibraryGauges
from api.limits import RateLimiter
from api.metrics import Metrics
from api.readiness import Readiness
from indexer.decoder import DecoderPool
from indexer.previews import Previews
from search.catalog import keys, sources
from search.catalog.database import Database
from search.catalog.records import AssetRecord, KeyRecord, SpaceRecord
from search.engine import SearchEngine
from search.errors import NotFoundError
from search.serving import OpenSpace, opener
from search.settings import Settings
from search.space_changes import open_beside
from search.spaces.space import Space

#: children that make thumbnails
PREVIEW_DECODERS = 2


class BatchSizes:
    """Hands batch sizes on to the meter, which exists only after the space was opened."""

    observe: Callable[[float], object] = staticmethod(lambda size: None)

    def __call__(self, size: int) -> None:
        """One call of the encoder with so many texts."""
        self.observe(size)


class Service:
    """Everything that handlers need."""

    def __init__(
        self,
        settings: Settings,
        engine: SearchEngine,
        open_space: OpenSpace | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.database = engine.database
        self.engine = engine
        self.clock = clock
        self.metrics = Metrics()
        self.metrics.observe_state(LibraryGauges(engine.database, lambda: engine.serving))
        self.stopping = threading.Event()  # long streams end when it is set
        self.key_ring = KeyRing(self._active_keys, self._touch_key, time.monotonic)
        limiter = RateLimiter(settings.rate_limit_per_minute, time.monotonic)
        self.gate = Gate(self.key_ring, limiter, settings.cors_origins, settings.keyless_networks)
        self.readiness = Readiness(engine.database, lambda: engine.serving)
        self.background = Background(settings, engine.database, self.stopping)
        self._decoders = DecoderPool(settings, PREVIEW_DECODERS)
        self.previews = Previews(settings, self._decoders.decode)
        self._open_space = open_space or opener(settings)
        self._opened: dict[int, Space] = {}
        self._beside: dict[str, SearchEngine] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """With the real engine, whose queries are batched."""
        batches = BatchSizes()
        open_plain = opener(settings)
        engine = SearchEngine.open(settings, open_space=lambda record: BatchingSpace(open_plain(record), batches))
        engine.watch()
        service = cls(settings, engine)
        batches.observe = service.metrics.encoder_batch.observe
        return service

    def close(self) -> None:
        """End streams and jobs, then let go of the engine."""
        self.stopping.set()
        self.background.close()
        self._decoders.close()
        for name in list(self._beside):
            self.close_beside(name)
        self.engine.close()

    def opened(self, record: SpaceRecord) -> Space:
        """Any space of the catalogue, opened once. Raises SpaceError."""
        serving = self.engine.serving
        if serving.record.id == record.id:
            return serving.space
        with self._lock:
            if record.id not in self._opened:
                self._opened[record.id] = self._open_space(record)
            return self._opened[record.id]

    def opened_file(self, asset: AssetRecord) -> media.OpenFile:
        """An asset's file, which must truly lie inside its source. Raises NotFoundError."""
        with self.database.read() as connection:
            root = sources.get_source(connection, asset.source_id).root
        if "://" in root:
            raise NotFoundError(f"asset {asset.id} lies in {root!r}, whose files are not served from here")
        return media.open_below(asset.path_bytes, os.fsencode(root))

    def real_path(self, asset: AssetRecord) -> Path:
        """Where the file truly lies, for those who open it by themselves. Raises NotFoundError."""
        self.opened_file(asset).close()
        return Path(os.fsdecode(os.path.realpath(asset.path_bytes)))

    def engine_beside(self, name: str) -> SearchEngine:
        """An engine that serves another space, kept for the next comparison."""
        with self._lock:
            if name not in self._beside:
                self._beside[name] = open_beside(self.settings, name, Database.open(self.settings), self._open_space)
            engine = self._beside[name]
        engine.serving.follower.catch_up()
        return engine

    def close_beside(self, name: str) -> None:
        """Let go of an engine for comparisons, if there is one."""
        with self._lock:
            engine = self._beside.pop(name, None)
        if engine is not None:
            engine.close()

    def _active_keys(self) -> list[KeyRecord]:
        with self.database.read() as connection:
            return [record for record in keys.list_keys(connection) if record.revoked_at is None]

    def _touch_key(self, key_id: int) -> None:
        with self.database.write() as connection:
            keys.touch_key(connection, key_id, self.clock())
