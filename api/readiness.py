"""Ready means: the database answers, the space answers a known probe as it did, the partitions are loaded.

A process that is alive but would answer from a broken model or an empty index is worse than none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from search import probe
from search.catalog.database import Database
from search.catalog.sequence import latest_sequence
from search.errors import MedleyError, UnavailableError
from search.serving import Serving

#: one answer serves all probes of this long, so that probing costs no search its encoder
FRESH_SECONDS = 2.0


class Readiness:
    """Checks the parts of a service; remembers what each space answered first."""

    def __init__(self, database: Database, serving: Callable[[], Serving]) -> None:
        self._database = database
        self._serving = serving
        self._first: dict[int, bytes] = {}
        self._lock = threading.Lock()
        self._checked_at = 0.0
        self._last: dict[str, str] = {}

    def check(self) -> dict[str, str]:
        """Per part `ok`, or a sentence that says what is wrong. Raises nothing."""
        with self._lock:
            if time.monotonic() - self._checked_at > FRESH_SECONDS or not self._last:
                self._last = {
                    "database": _outcome(self._check_database),
                    "space": _outcome(self._check_space),
                    "partitions": _outcome(self._check_partitions),
                }
                self._checked_at = time.monotonic()
            return self._last

    def _check_database(self) -> None:
        with self._database.read() as connection:
            latest_sequence(connection)

    def _check_space(self) -> None:
        serving = self._serving()
        # A space from before probes were stored is compared with its own first answer.
        stored = serving.record.probe or self._first.setdefault(serving.record.id, probe.take(serving.space))
        probe.check(serving.space, stored, serving.record.name)

    def _check_partitions(self) -> None:
        follower = self._serving().follower
        if follower.problem:
            raise UnavailableError(follower.problem)
        with self._database.read() as connection:
            latest = latest_sequence(connection)
        if latest and not follower.sequence:
            raise UnavailableError("the partitions are not loaded yet")


def _outcome(check: Callable[[], None]) -> str:
    try:
        check()
    except MedleyError as error:
        return str(error)
    except Exception as error:  # readiness must answer whatever breaks
        return f"{type(error).__name__}: {error}"
    return "ok"
