"""The catalogue as access control sees it: the keys in use, and tokens that all processes share. Knows no HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable

from search.catalog import keys
from search.catalog.database import Database
from search.catalog.records import KeyRecord


class KeyCatalog:
    """What `KeyRing` and `RateLimiter` ask. Thread-safe; all methods raise CatalogError."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def active(self) -> list[KeyRecord]:
        """The keys that are not revoked."""
        with self._database.read() as connection:
            return [record for record in keys.list_keys(connection) if record.revoked_at is None]

    def touch(self, key_id: int) -> None:
        """The key was used now."""
        with self._database.write() as connection:
            keys.touch_key(connection, key_id, self._clock())

    def lend(self, name: str, wanted: int, per_second: float, burst: float, unspent: int) -> tuple[int, float]:
        """See Lender."""
        with self._database.write() as connection:
            return keys.take_tokens(connection, name, wanted, per_second, burst, unspent)
