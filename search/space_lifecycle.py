"""Creating, comparing, switching and dropping spaces, while the active one keeps serving.

Filling a space needs the media and so is the indexer's work; this module says what is still missing.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, structs

from search.active_space import SpaceOpener, check_fingerprint
from search.catalog import embeddings, spaces
from search.catalog.database import Database
from search.catalog.records import EmbeddingCount, SpaceRecord
from search.engine import SearchEngine
from search.errors import UsageError
from search.index.partition_storage import open_partition_storage
from search.results import Query, SearchResult
from search.settings import Settings
from search.signals import Signal
from search.spaces import registry, self_test, specification
from search.spaces.space import Space, dimensions_of
from search.spaces.specification import Specification

FLOAT16_BYTES = 2


class SpaceCoverage(Struct, frozen=True, kw_only=True):
    """How many segments of one signal a space holds, and the size of the complete vectors on disk."""

    signal: str
    segments: int
    embedded: int
    missing: int
    bytes_when_full: int


class Comparison(Struct, frozen=True, kw_only=True):
    """One query answered by two spaces."""

    query: str
    left: SearchResult
    right: SearchResult
    overlap: float  # share of the left's assets that the right finds too, in [0, 1]


def create(database: Database, settings: Settings, name: str, wanted: Specification) -> SpaceRecord:
    """Register a new, empty space; its weights are loaded once to learn what they are.

    Raises UsageError when the name is taken and SpaceError when the weights can't be found.
    """
    complete = registry.complete(wanted, settings)
    space = registry.open_space(complete, settings)
    stored, digest = self_test.take(space), space.fingerprint.digest
    space.release()
    with database.write() as connection:
        return spaces.create_space(connection, name, specification.encode(complete), digest, probe=stored)


def coverage(database: Database, record: SpaceRecord, space: Space) -> list[SpaceCoverage]:
    """How much of each signal the space holds, for every signal that it embeds."""
    with database.read() as connection:
        counts = embeddings.embedding_counts(connection, record.id)
    sizes = dimensions_of(space)
    return [_coverage(count, sizes[Signal(count.signal)]) for count in counts if Signal(count.signal) in sizes]


def use(database: Database, name: str, space: Space, *, incomplete: bool = False) -> SpaceRecord:
    """Make `space`, which must be open so that it can be checked, the active one in every process at once.

    Raises UsageError while something is missing from it, unless `incomplete` allows that, and SpaceError
    if its weights have changed.
    """
    with database.read() as connection:
        record = spaces.get_space(connection, name)
    check_fingerprint(record, space)
    missing = sum(part.missing for part in coverage(database, record, space))
    if missing and not incomplete:
        verb = "segment is" if missing == 1 else "segments are"
        raise UsageError(
            f"{missing} {verb} missing from the space {name!r}: run `medley spaces fill {name}` first, "
            "or switch all the same with --incomplete"
        )
    with database.write() as connection:
        return spaces.activate_space(connection, name)


def drop(database: Database, settings: Settings, name: str) -> None:
    """Remove a space with its vectors and partitions. Raises UsageError for the active one."""
    with database.write() as connection:
        record = spaces.get_space(connection, name)
        spaces.drop_space(connection, name)
        shared = any(other.fingerprint == record.fingerprint for other in spaces.list_spaces(connection))
    if not shared:
        open_partition_storage(settings, record.fingerprint).forget()


def compare(left: SearchEngine, right: SearchEngine, queries: Sequence[Query]) -> list[Comparison]:
    """Answer the same queries with two spaces, side by side."""
    return [_compare(query, left.search(query), right.search(query)) for query in queries]


def open_beside(
    settings: Settings, name: str, database: Database, open_space: SpaceOpener | None = None
) -> SearchEngine:
    """An engine for the space of this name, whichever one is active."""
    return SearchEngine.open(structs.replace(settings, space=name), database, open_space)


def _coverage(count: EmbeddingCount, dimension: int) -> SpaceCoverage:
    return SpaceCoverage(
        signal=count.signal,
        segments=count.segments,
        embedded=count.embedded,
        missing=count.segments - count.embedded,
        bytes_when_full=count.segments * dimension * FLOAT16_BYTES,
    )


def _compare(query: Query, left: SearchResult, right: SearchResult) -> Comparison:
    ours, theirs = ({hit.asset.id for hit in result.hits} for result in (left, right))
    return Comparison(
        query=query.text,
        left=left,
        right=right,
        overlap=len(ours & theirs) / len(ours) if ours else float(not theirs),
    )
