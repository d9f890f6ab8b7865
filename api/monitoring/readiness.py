"""Readiness: the database answers, the space answers a known probe as it did before, the partitions are loaded.

A process that is alive but would answer from a broken model or an empty index is worse than none.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from search.active_space import ActiveSpace
from search.catalog.database import Database
from search.catalog.sequence import latest_sequence
from search.errors import PartitionError, UnavailableError
from search.spaces import self_test

#: one answer serves all probes of this long, so that probing costs no search its encoder
FRESH_SECONDS = 2.0


_BROKEN = {
    "database": "the database does not answer; the log says why",
    "space": "the embedding space does not answer as it did; the log says why",
    "partitions": "the partitions can't follow the catalogue; the log says why",
}
_log = logging.getLogger(__name__)


class Readiness:
    """Checks the parts of a service; remembers what each space answered first."""

    def __init__(self, database: Database, active: Callable[[], ActiveSpace]) -> None:
        self._database = database
        self._active_space = active
        self._first: dict[int, bytes] = {}
        self._lock = threading.Lock()
        self._checked_at = 0.0
        self._last: dict[str, str] = {}

    def check(self) -> dict[str, str]:
        """For each part, `ok` or a sentence that says what is wrong. Never raises."""
        with self._lock:
            if time.monotonic() - self._checked_at > FRESH_SECONDS or not self._last:
                self._last = {
                    "database": self._outcome("database", self._check_database),
                    "space": self._outcome("space", self._check_space),
                    "partitions": self._outcome("partitions", self._check_partitions),
                }
                self._checked_at = time.monotonic()
            return self._last

    def _check_database(self) -> None:
        with self._database.read() as connection:
            latest_sequence(connection)

    def _check_space(self) -> None:
        active = self._active_space()
        # A space from before probes were stored is compared with its own first answer.
        stored = active.record.probe or self._first.setdefault(active.record.id, self_test.take(active.space))
        self_test.check(active.space, stored, active.record.name)

    def _check_partitions(self) -> None:
        follower = self._active_space().follower
        if follower.problem:
            raise PartitionError(follower.problem)
        with self._database.read() as connection:
            latest = latest_sequence(connection)
        if latest and not follower.sequence:
            raise UnavailableError("the partitions are not loaded yet")

    def _outcome(self, part: str, check: Callable[[], None]) -> str:
        try:
            check()
        except UnavailableError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - readiness must answer whatever breaks
            # Anybody may ask, and the error's own words name addresses and paths.
            if self._last.get(part) != _BROKEN[part]:
                _log.warning("not ready: %s: %s: %s", part, type(error).__name__, error)
            return _BROKEN[part]
        return "ok"
