"""The account of every file, for HTTP and the command line alike."""

from __future__ import annotations

from importlib.metadata import version

from api.schemas import FailureView, Status
from api.views import asset_counts, failure_view, source_view
from search.catalog import assets, sources, spaces
from search.catalog.database import Database

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
        kinds=dict(counts.by_kind),
        segments=dict(counts.segments),
        sources=[source_view(record) for record in found],
        space=active.name if active else None,
        database=database.dialect,
        version=version("medley"),
    )


def all_failures(database: Database) -> list[FailureView]:
    """Every file that failed, with its reason."""
    found: list[FailureView] = []
    cursor: int | None = None
    while True:
        with database.read() as connection:
            records = assets.failures(connection, cursor, _PAGE)
        found += [failure_view(record) for record in records]
        if len(records) < _PAGE:
            return found
        cursor = records[-1].id
