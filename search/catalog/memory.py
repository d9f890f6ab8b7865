"""What the service remembers for a while: recent queries, and the answers to repeated writes. Both bounded."""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from search.catalog.cleaning import clean_text
from search.catalog.models import idempotent_response, recent_query
from search.catalog.records import QueryRecord, ResponseRecord
from search.catalog.sequence import now_or

MAX_RECENT_QUERIES = 1000
RESPONSE_SECONDS = 24 * 3600.0  # how long a write may be repeated under its key


def remember_query(connection: Connection, query: str, now: float | None = None) -> None:
    """Keep a query (JSON); the oldest beyond MAX_RECENT_QUERIES goes."""
    connection.execute(insert(recent_query).values(query=clean_text(query), created_at=now_or(now)))
    newest = select(func.max(recent_query.c.id)).scalar_subquery()
    connection.execute(delete(recent_query).where(recent_query.c.id <= newest - MAX_RECENT_QUERIES))


def recent_queries(connection: Connection, limit: int = 100) -> list[QueryRecord]:
    """Newest first."""
    rows = connection.execute(select(recent_query).order_by(recent_query.c.id.desc()).limit(limit))
    return [QueryRecord(*row) for row in rows]


def forget_queries(connection: Connection) -> None:
    """Drop all recent queries."""
    connection.execute(delete(recent_query))


def find_response(connection: Connection, key: str, now: float | None = None) -> ResponseRecord | None:
    """The answer that was given under this idempotency key, unless it is too old."""
    fresh = idempotent_response.c.created_at > now_or(now) - RESPONSE_SECONDS
    row = connection.execute(select(idempotent_response).where(idempotent_response.c.key == key, fresh)).one_or_none()
    return ResponseRecord(*row) if row else None


def remember_response(
    connection: Connection, key: str, request_hash: str, status: int, body: bytes, now: float | None = None
) -> bool:
    """Keep an answer under its key; False when another request was quicker. Old answers go."""
    old = idempotent_response.c.created_at <= now_or(now) - RESPONSE_SECONDS
    connection.execute(delete(idempotent_response).where(old))
    values = {"key": key, "request_hash": request_hash, "status": status, "body": body, "created_at": now_or(now)}
    try:
        with connection.begin_nested():
            connection.execute(insert(idempotent_response).values(**values))
    except IntegrityError:
        return False
    return True
