"""The most recent queries, a bounded number of them."""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, insert, select

from search.catalog.models import recent_query
from search.catalog.records import QueryRecord
from search.catalog.sequence import now_or
from search.catalog.sql.cleaning import clean_text

MAX_RECENT_QUERIES = 1000


def remember_query(connection: Connection, query: str, now: float | None = None) -> None:
    """Store a query (JSON), and drop those beyond the MAX_RECENT_QUERIES newest."""
    connection.execute(insert(recent_query).values(query=clean_text(query), created_at=now_or(now)))
    newest = select(func.max(recent_query.c.id)).scalar_subquery()
    connection.execute(delete(recent_query).where(recent_query.c.id <= newest - MAX_RECENT_QUERIES))


def recent_queries(connection: Connection, limit: int = 100) -> list[QueryRecord]:
    """Recent queries, newest first."""
    rows = connection.execute(select(recent_query).order_by(recent_query.c.id.desc()).limit(limit))
    return [QueryRecord(*row) for row in rows]


def forget_queries(connection: Connection) -> None:
    """Drop all recent queries."""
    connection.execute(delete(recent_query))
