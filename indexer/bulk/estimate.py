"""What indexing a whole source would take, from a sample of it that is really indexed, into a catalogue thrown away.

The figures of the sample are measured; those of the whole are the sample's, multiplied. Knows the catalogue's sizes
and the partitions' layout; how the sample is worked on is the caller's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from indexer.sources.scan import scan_source
from search.active_space import active_space
from search.catalog import assets, embeddings, sources, spaces
from search.catalog.database import Connection, Database
from search.catalog.records import SourceRecord, SpaceRecord
from search.catalog.states import SpaceState
from search.errors import UsageError
from search.settings import Settings

SAMPLE_FILES = 1000
_SEED = 0  # the same sample of the same files, so that two estimates can be compared
# A segment and its vector on PostgreSQL, beside SQLite's bytes: longer row heads and indexes. Not measured.
POSTGRESQL_FACTOR = 1.5


@dataclass(frozen=True)
class Estimate:
    """Measured on the sample, and multiplied. Bytes and seconds of the whole source."""

    files: int
    media_bytes: int
    sample: int
    failed: int  # of the sample
    files_per_second: float
    segments: Mapping[str, int] = field(default_factory=dict)  # by signal, of the whole
    catalogue_bytes: int = 0  # in SQLite
    memory_bytes: int = 0  # of the partitions of one process that searches
    snapshot_bytes: int = 0  # of the partitions on disk

    @property
    def seconds(self) -> float:
        """Of the whole, at the sample's rate."""
        return self.files / self.files_per_second if self.files_per_second else 0.0


@dataclass(frozen=True)
class Sample:
    """A catalogue to throw away, in which a sample of a source is pending, and what the whole source holds."""

    database: Database
    files: int
    media_bytes: int
    empty_bytes: int  # of the catalogue before


@contextmanager
def sampled(database: Database, settings: Settings, source: SourceRecord, most: int = SAMPLE_FILES) -> Iterator[Sample]:
    """A random sample of a source's files. Raises UsageError when there is no file."""
    active_space(database, settings)  # a new catalogue has none yet
    with tempfile.TemporaryDirectory(prefix="medley-estimate-") as folder:
        scratch = Database.open(f"sqlite:///{Path(folder) / 'estimate.sqlite'}")
        try:
            scratch.migrate()
            with database.read() as connection:
                known = spaces.list_spaces(connection)
            empty_bytes = scratch.size_bytes()
            copied = copy_job(scratch, source, known)
            scan_source(scratch, copied, settings)
            with scratch.write() as connection:
                ids = assets.present_ids(connection, copied.id)
                if not len(ids):
                    raise UsageError(f"{source.root}: holds no media files")
                media_bytes = assets.media_bytes(connection)
                chosen = np.random.default_rng(_SEED).choice(ids, min(most, len(ids)), replace=False)
                assets.delete_assets(connection, np.setdiff1d(ids, chosen).tolist())
            yield Sample(scratch, len(ids), media_bytes, empty_bytes)
        finally:
            scratch.close()


def copy_job(scratch: Database, source: SourceRecord, known: list[SpaceRecord]) -> SourceRecord:
    """A source and the spaces of another catalogue, in one that is only a job's queue; the source there."""
    with scratch.write() as connection:
        for record in known:
            spaces.create_space(
                connection, record.name, record.specification, record.fingerprint, state=SpaceState(record.state)
            )
        return sources.add_source(
            connection, source.root, source.recursive, excludes=source.excludes, profile=source.profile
        )


def extrapolated(sample: Sample, settings: Settings, files_per_second: float) -> Estimate:
    """An estimate for all files from an indexed sample."""
    with sample.database.read() as connection:
        counts = assets.counts(connection)
        active = spaces.active_space(connection)
        dimensions = {signal: _dimension(connection, active, signal) for signal in counts.segments}
    whole = sample.files / max(1, counts.known)
    segments = {signal: round(number * whole) for signal, number in counts.segments.items()}
    memory = snapshots = 0
    for signal, number in segments.items():
        flat = number <= settings.ivf_threshold
        # docs/indexes.md: float32 rows, or one-bit codes in memory and float16 rows in a file; an id and a slot each
        memory += number * ((dimensions[signal] * 4 if flat else dimensions[signal] // 8) + 16)
        snapshots += number * dimensions[signal] * (4 if flat else 2)
    return Estimate(
        files=sample.files,
        media_bytes=sample.media_bytes,
        sample=counts.known,
        failed=counts.quarantined,
        files_per_second=files_per_second,
        segments=segments,
        catalogue_bytes=round((sample.database.size_bytes() - sample.empty_bytes) * whole),
        memory_bytes=memory,
        snapshot_bytes=snapshots,
    )


def _dimension(connection: Connection, space: SpaceRecord | None, signal: str) -> int:
    if space is None:
        return 0
    _, _, vectors = embeddings.embeddings_after(connection, space.id, signal, 0, 1)
    return int(vectors.shape[1]) if len(vectors) else 0
