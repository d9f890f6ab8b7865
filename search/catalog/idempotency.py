"""The answers to repeated writes, under their idempotency keys, for a day."""

from __future__ import annotations

from sqlalchemy import Connection, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from search.catalog.models import idempotent_response
from search.catalog.records import ResponseRecord
from search.catalog.sequence import database_time

RESERVED = 0  # as the status: the request is being handled
RESERVED_SECONDS = 600.0  # longer than any write takes: its handler has died
RESPONSE_SECONDS = 24 * 3600.0  # how long a write may be repeated under its key


def reserve(connection: Connection, key: str, request_hash: str, now: float | None = None) -> ResponseRecord | None:
    """Take this key for a request that is about to be handled; or what another one has stored or begun under it.

    Expired answers go, and reservations of requests whose process died.
    """
    now = database_time(connection) if now is None else now
    old = idempotent_response.c.created_at <= now - RESPONSE_SECONDS
    abandoned = and_(
        idempotent_response.c.status == RESERVED, idempotent_response.c.created_at <= now - RESERVED_SECONDS
    )
    connection.execute(delete(idempotent_response).where(or_(old, abandoned)))
    values = {"key": key, "request_hash": request_hash, "status": RESERVED, "body": b"", "created_at": now}
    try:
        with connection.begin_nested():
            connection.execute(insert(idempotent_response).values(**values))
    except IntegrityError:
        known = select(idempotent_response).where(idempotent_response.c.key == key)
        return ResponseRecord(*connection.execute(known).one())
    return None


def complete(connection: Connection, key: str, status: int, body: bytes) -> None:
    """Store the answer of a request that reserved its key."""
    connection.execute(
        update(idempotent_response).where(idempotent_response.c.key == key).values(status=status, body=body)
    )


def forget(connection: Connection, key: str) -> None:
    """Give back the key of a request that came to nothing."""
    connection.execute(delete(idempotent_response).where(idempotent_response.c.key == key))
