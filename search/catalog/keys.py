"""API keys, of which only hashes are stored, and how often callers may ask, whichever process they ask.

Knows nothing of what scopes mean, and never sees a key.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, exists, insert, or_, select, text, update

from search.catalog.models import api_key, rate_bucket
from search.catalog.records import KeyRecord
from search.catalog.sequence import database_time, now_or
from search.catalog.sql.cleaning import clean_text
from search.errors import NotFoundError

USED_RESOLUTION_SECONDS = 60.0  # a busy key writes its last use at most this often
FORGOTTEN_SECONDS = 600.0  # a bucket that nobody took from for this long is full, as one that is not there is

_NEW_BUCKET = text(
    "INSERT INTO rate_bucket (name, tokens, filled_at) VALUES (:name, :tokens, :now) ON CONFLICT DO NOTHING"
)


def create_key(connection: Connection, name: str, key_hash: str, scopes: str, now: float | None = None) -> KeyRecord:
    """Store a key by its sha256 (hex), with space-separated scopes."""
    values = {"name": clean_text(name), "hash": key_hash, "scopes": scopes, "created_at": now_or(now)}
    return KeyRecord(*connection.execute(insert(api_key).values(**values).returning(api_key)).one())


def list_keys(connection: Connection) -> list[KeyRecord]:
    """All keys, including revoked ones, oldest first."""
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
    """Record that the key was used now."""
    used = or_(api_key.c.used_at.is_(None), api_key.c.used_at < now_or(now) - USED_RESOLUTION_SECONDS)
    connection.execute(update(api_key).where(api_key.c.id == key_id, used).values(used_at=now_or(now)))


def revoke_key(connection: Connection, key_id: int, now: float | None = None) -> KeyRecord:
    """Revoke a key: it is valid no longer. Raises NotFoundError."""
    first = api_key.c.revoked_at.is_(None)
    connection.execute(update(api_key).where(api_key.c.id == key_id, first).values(revoked_at=now_or(now)))
    row = connection.execute(select(api_key).where(api_key.c.id == key_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no key {key_id}")
    return KeyRecord(*row)


def take_tokens(
    connection: Connection, name: str, wanted: int, per_second: float, burst: float, unspent: int = 0
) -> tuple[int, float]:
    """Take up to `wanted` tokens from the bucket `name`, which fills with `per_second` up to `burst`.

    `unspent` ones of an earlier block go back first. Returns how many were taken and, where that is fewer than
    wanted, the seconds until that many will be there. Runs by the database's clock, which all processes share.
    """
    now = database_time(connection)
    connection.execute(_NEW_BUCKET, {"name": name, "tokens": burst, "now": now})
    ours = rate_bucket.c.name == name
    bucket = connection.execute(select(rate_bucket).where(ours).with_for_update()).one()
    filled = bucket.tokens + unspent + max(0.0, now - bucket.filled_at) * per_second
    tokens = min(burst, filled)
    taken = min(wanted, int(tokens))
    left = tokens - taken
    connection.execute(update(rate_bucket).where(ours).values(tokens=left, filled_at=now))
    # Others may be taking from theirs: waiting for them while they wait for us would be a deadlock.
    old = select(rate_bucket.c.name).where(rate_bucket.c.filled_at < now - FORGOTTEN_SECONDS)
    connection.execute(delete(rate_bucket).where(rate_bucket.c.name.in_(old.with_for_update(skip_locked=True))))
    return taken, max(0.0, (wanted - left) / per_second) if taken < wanted else 0.0
