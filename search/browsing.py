"""The library without a question: what passes the filters, newest first, page by page.

Knows the catalogue; knows no space and no ranking. Every hit is as relevant as can be: a filter holds or not.
"""

from __future__ import annotations

import base64
import binascii
import time
from typing import Any

import msgspec
from msgspec import Struct

from search.catalog import timeline
from search.catalog.database import Database
from search.catalog.records import SegmentRecord
from search.errors import QueryError
from search.query.conditions import Condition, Not, Says, all_of
from search.query.parse import condition_of
from search.ranking.cursor import digest
from search.ranking.hits import asset_view, moment_of
from search.results import Hit, Query, SearchResult


class _Behind(Struct, frozen=True, array_like=True):
    """A cursor: where the last page ended, of which query."""

    query: str
    time: float
    asset_id: int


def browse(database: Database, query: Query, space: str, understood: dict[str, Any]) -> SearchResult:
    """One page of what passes the filters of a query without parts. Raises QueryError, CatalogError."""
    started = time.perf_counter()
    condition = _condition(query)
    identity = digest(msgspec.json.encode((query.filters, query.unwanted_phrases)))
    behind = _decoded(query.cursor, identity) if query.cursor else None
    with database.read() as connection:
        entries = timeline.newest_first(connection, condition, behind, query.limit + 1)
        page = entries[: query.limit]
        shown = timeline.first_segments(connection, [dated.asset.id for dated in page], condition)
    last = page[-1] if len(entries) > len(page) else None
    return SearchResult(
        query=understood,
        hits=tuple(_hit(dated, shown.get(dated.asset.id)) for dated in page),
        matched=bool(page),
        matching=len(page),
        confident=bool(page),
        next_cursor=_encoded(_Behind(identity, last.time, last.asset.id)) if last else None,
        space=space,
        took_seconds=round(time.perf_counter() - started, 6),
    )


def _condition(query: Query) -> Condition | None:
    return all_of(condition_of(query.filters), *(Not(Says(phrase)) for phrase in query.unwanted_phrases))


def _hit(dated: timeline.Dated, segment: SegmentRecord | None) -> Hit:
    moments = (moment_of(segment, 1.0),) if segment else ()
    return Hit(asset=asset_view(dated.asset), relevance=1.0, moments=moments)


def _encoded(behind: _Behind) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(behind)).decode().rstrip("=")


def _decoded(text: str, identity: str) -> tuple[float, int]:
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        behind = msgspec.msgpack.decode(packed, type=_Behind)
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise QueryError("the cursor can't be read; take it from next_cursor as it is") from None
    if behind.query != identity:
        raise QueryError("the cursor belongs to another query; ask again without a cursor")
    return behind.time, behind.asset_id
