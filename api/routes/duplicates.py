"""Duplicates over HTTP: copies, altered copies, and pictures of the same thing."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.params import QueryParameter

from api.http.problems import HttpError, documented
from api.routes.dependencies import Cursor, Injected, PageLimit
from api.schemas import Page
from search.duplicates.matching import Tier
from search.library_duplicates import DuplicateGroup, find_duplicates, with_assets


@get("/v1/duplicates", sync_to_thread=True, responses=documented(), tags=["library"])
def duplicates(
    service: Injected,
    tier: Annotated[list[Tier] | None, QueryParameter(description="Only these tiers.", required=False)] = None,
    cursor: Cursor = None,
    limit: PageLimit = 100,
) -> Page[DuplicateGroup]:
    """Groups of assets that are copies of each other: exact, perceptual, then by meaning."""
    start = _start(cursor)
    groups = find_duplicates(service.engine, tier or tuple(Tier))
    behind = start + limit
    return Page(
        items=with_assets(service.engine, groups[start:behind]),
        next_cursor=str(behind) if behind < len(groups) else None,
    )


def _start(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 12):
        raise HttpError(400, "validation", "this cursor was not made here; leave it out to start again")
    return int(cursor)


ROUTES = (duplicates,)
