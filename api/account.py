"""The account of every file, for HTTP and the command line alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version

from api.schemas import FailureView, Status
from api.views import asset_counts, failure_view, source_view
from search.catalog import assets, sources, spaces
from search.catalog.database import Connection, Database
from search.catalog.records import AssetRecord

_PAGE = 1000


def account(database: Database) -> Status:
    """The counts, all read from one state of the catalogue."""
    with database.read() as connection:
        counts = assets.counts(connection)
        active = spaces.active_space(connection)
        found = sources.list_sources(connection)
    return Status(
        assets=asset_counts(counts),
        unread=counts.unread,
        noted=counts.noted,
        kinds=dict(counts.by_kind),
        segments=dict(counts.segments),
        sources=[source_view(record) for record in found],
        space=active.name if active else None,
        database=database.dialect,
        version=version("medley"),
    )


def all_failures(database: Database) -> list[FailureView]:
    """Every file that failed, with its reason."""
    return [failure_view(record) for record in _all(database, assets.failures)]


def all_notes(database: Database) -> list[tuple[str, str]]:
    """The path of every searchable file of which something was left out, and what that is."""
    return [(record.path, record.note or "") for record in _all(database, assets.noted)]


def _all(database: Database, read: Callable[[Connection, int | None, int], list[AssetRecord]]) -> Iterator[AssetRecord]:
    cursor: int | None = None
    while True:
        with database.read() as connection:
            records = read(connection, cursor, _PAGE)
        yield from records
        if len(records) < _PAGE:
            return
        cursor = records[-1].id
