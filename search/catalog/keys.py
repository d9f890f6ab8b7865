"""API keys: only their hashes are here. Knows no scope's meaning and never sees a key."""

from __future__ import annotations

from sqlalchemy import Connection, exists, insert, or_, select, update

from search.catalog.cleaning import clean_text
from search.catalog.models import api_key
from search.catalog.records import KeyRecord
from search.catalog.sequence import now_or
from search.errors import NotFoundError

USED_RESOLUTION_SECONDS = 60.0  # a busy key writes its last use at most this often


def create_key(connection: Connection, name: str, key_hash: str, scopes: str, now: float | None = None) -> KeyRecord:
    """Store a key by its sha256 (hex), with space-separated scopes."""
    values = {"name": clean_text(name), "hash": key_hash, "scopes": scopes, "created_at": now_or(now)}
    return KeyRecord(*connection.execute(insert(api_key).values(**values).returning(api_key)).one())


def list_keys(connection: Connection) -> list[KeyRecord]:
    """All, revoked ones too, oldest first."""
    return [KeyRecord(*row) for row in connection.execute(select(api_key).order_by(api_key.c.id))]


def find_key(connection: Connection, key_hash: str) -> KeyRecord | None:
    """The valid key with this hash."""
    statement = select(api_key).where(api_key.c.hash == key_hash, api_key.c.revoked_at.is_(None))
    row = connection.execute(statement).one_or_none()
    return KeyRecord(*row) if row else None


def any_keys(connection: Connection) -> bool:
    """Whether a valid key exists: until then only loopback may connect."""
    return bool(connection.scalar(select(exists().where(api_key.c.revoked_at.is_(None)))))


def touch_key(connection: Connection, key_id: int, now: float | None = None) -> None:
    """The key was used."""
    used = or_(api_key.c.used_at.is_(None), api_key.c.used_at < now_or(now) - USED_RESOLUTION_SECONDS)
    connection.execute(update(api_key).where(api_key.c.id == key_id, used).values(used_at=now_or(now)))


def revoke_key(connection: Connection, key_id: int, now: float | None = None) -> KeyRecord:
    """From now on the key opens nothing. Raises NotFoundError."""
    first = api_key.c.revoked_at.is_(None)
    connection.execute(update(api_key).where(api_key.c.id == key_id, first).values(revoked_at=now_or(now)))
    row = connection.execute(select(api_key).where(api_key.c.id == key_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no key {key_id}")
    return KeyRecord(*row)
