"""The state of every file, for HTTP and the command line alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from api.schemas import FailureView, NoteView, Status
from api.serializers import asset_counts, failure_view, left_out, note_view, source_view
from search import distribution
from search.catalog import assets, sources, spaces
from search.catalog.database import Connection, Database
from search.catalog.records import AssetRecord
from search.spaces.specification import advice

_PAGE = 1000


def account(database: Database) -> Status:
    """The counts, all read from one state of the catalogue."""
    with database.read() as connection:
        counts = assets.counts(connection)
        active = spaces.active_space(connection)
        records = sources.list_sources(connection)
    views = [source_view(record) for record in records]
    skipped = dict(sum((Counter(view.skipped) for view in views), Counter()))
    return Status(
        assets=asset_counts(counts),
        unread=counts.unread,
        noted=counts.noted,
        noted_by_kind=dict(counts.noted_by_kind),
        kinds=dict(counts.by_kind),
        segments=dict(counts.segments),
        skipped=skipped,
        left_out=left_out(skipped),
        sources=views,
        space=active.name if active else None,
        space_notes=list(advice(active.specification)) if active else [],
        database=database.dialect,
        version=distribution.version(),
    )


def all_failures(database: Database) -> list[FailureView]:
    """All files that failed, with their reasons."""
    return [failure_view(record) for record in _all(database, assets.failures)]


def all_notes(database: Database) -> list[NoteView]:
    """All searchable files of which something was left out, and what."""
    return [note_view(record) for record in _all(database, assets.noted)]


def _all(database: Database, read: Callable[[Connection, int | None, int], list[AssetRecord]]) -> Iterator[AssetRecord]:
    cursor: int | None = None
    while True:
        with database.read() as connection:
            records = read(connection, cursor, _PAGE)
        yield from records
        if len(records) < _PAGE:
            return
        cursor = records[-1].id
