"""The state of the library as gauges, read from the catalogue at each scrape, so every replica reports the same.

Partitions and memory are those of this process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from prometheus_client.core import Metric

from api.monitoring.metrics import gauge, resident_bytes
from search.active_space import ActiveSpace
from search.catalog import assets, queue, sequence
from search.catalog.database import Database
from search.catalog.upkeep import health
from search.errors import MedleyError, PartitionError

#: a large catalogue is not counted again for every scraper
COUNT_SECONDS = 5.0

Labelled = tuple[dict[str, str], float]


class LibraryMetrics:
    """A collector of gauges for Prometheus."""

    def __init__(self, database: Database, active: Callable[[], ActiveSpace]) -> None:
        self._database = database
        self._active_space = active
        self._counted_at = -COUNT_SECONDS
        self._counted: list[Metric] = []

    def __call__(self) -> Iterable[Metric]:
        """The gauges; without those of the catalogue when it does not answer."""
        yield gauge("medley_resident_bytes", "Memory of this process.", [({}, resident_bytes())])
        with suppress(PartitionError):  # what holds them does not answer, as readiness tells
            yield from self._partitions()
        try:
            yield from self._catalogue()
            yield gauge("medley_catalogue_up", "Whether the catalogue answers.", [({}, 1)])
        except MedleyError:
            yield gauge("medley_catalogue_up", "Whether the catalogue answers.", [({}, 0)])

    def _partitions(self) -> Iterable[Metric]:
        active = self._active_space()
        space = active.record.name
        sizes: list[Labelled] = []
        memory: list[Labelled] = []
        for signal, partition in active.follower.partitions.items():
            labels = {"space": space, "signal": str(signal)}
            sizes.append((labels, len(partition)))
            memory.append((labels, partition.size_bytes))
        yield gauge("medley_partition_vectors", "Vectors in a partition of the active space.", sizes)
        yield gauge("medley_partition_bytes", "Memory of a partition.", memory)
        yield gauge("medley_follower_sequence", "Changes applied to the partitions.", [({}, active.follower.sequence)])

    def _catalogue(self) -> Iterable[Metric]:
        if time.monotonic() - self._counted_at >= COUNT_SECONDS:
            self._counted = list(self._count())
            self._counted_at = time.monotonic()
        return self._counted

    def _count(self) -> Iterable[Metric]:
        with self._database.read() as connection:
            counts = assets.counts(connection)
            wait = queue.seconds_until_due(connection)
            latest = sequence.latest_sequence(connection)
            silent = health.expired_leases(connection)
        by_status = {
            "indexed": counts.indexed,
            "pending": counts.pending,
            "working": counts.working,
            "quarantined": counts.quarantined,
            "missing": counts.missing,
        }
        yield gauge("medley_assets", "Known files by state.", [({"state": k}, v) for k, v in by_status.items()])
        yield gauge("medley_unread_assets", "Searchable files whose text is still to be read.", [({}, counts.unread)])
        yield gauge("medley_segments", "Segments by signal.", [({"signal": k}, v) for k, v in counts.segments.items()])
        overdue = max(0.0, -wait) if wait is not None else 0.0
        yield gauge("medley_queue_overdue_seconds", "How long the oldest work has been waiting.", [({}, overdue)])
        yield gauge("medley_leases", "Files leased to workers.", [({}, counts.working)])
        yield gauge("medley_expired_leases", "Files whose worker fell silent.", [({}, silent)])
        yield gauge("medley_catalogue_sequence", "Changes in the catalogue.", [({}, latest)])
