"""Whether a store can be used: asked now and then, more rarely while it fails, never so that a caller waits.

Only the first question waits for its answer, and one after a failure that is long past: nobody has asked since, so
nothing is known. Knows stores; knows no catalogue.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path

from indexer.sources.stores.opening import close_stores, open_store
from search.errors import MedleyError
from search.settings import Settings

GOOD_SECONDS = 60.0  # how long an answer counts
_FIRST_SECONDS = 5.0  # after a failure until the store is asked again; doubles
_LAST_SECONDS = 60.0
_FORGOTTEN_SECONDS = 10.0  # beyond the wait, without a question: a failure says nothing of now any more
_log = logging.getLogger(__name__)


class Health:
    """Of one store. Thread-safe. The clock is passed in, so that waiting can be tested without any."""

    def __init__(self, check: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._check = check
        self._clock = clock
        self._lock = threading.Lock()
        self._asking = False
        self._asked_at: float | None = None
        self._failures = 0
        self.reason = ""  # why it can't be used

    def is_good(self) -> bool:
        """Can it be used, as far as is known?"""
        with self._lock:
            age = math.inf if self._asked_at is None else self._clock() - self._asked_at
            due = not self._asking and age >= self._wait()
            unknown = due and (
                self._asked_at is None or (self._failures > 0 and age >= self._wait() + _FORGOTTEN_SECONDS)
            )
            self._asking |= due
        if unknown:
            self._ask()
        elif due:
            threading.Thread(target=self._ask, name="store-health", daemon=True).start()
        with self._lock:
            return self._failures == 0

    def is_asking(self) -> bool:
        """Is an answer awaited right now?"""
        with self._lock:
            return self._asking

    def failed(self, reason: str) -> None:
        """Record that it can't be used; simultaneous reports count once."""
        with self._lock:
            if not self._failures or self._clock() - (self._asked_at or 0.0) > 1.0:
                self._note(reason)

    def _ask(self) -> None:
        reason = ""
        try:
            self._check()
        except (MedleyError, OSError) as error:
            reason = str(error) or type(error).__name__
        with self._lock:
            if reason:
                self._note(reason)
            else:
                if self._failures:
                    _log.info("a store answers again after %d failures", self._failures)
                self._failures, self._asked_at, self.reason = 0, self._clock(), ""
            self._asking = False

    def _note(self, reason: str) -> None:
        if not self._failures:
            _log.warning("%s; it is asked again from time to time", reason)
        self._failures += 1
        self._asked_at = self._clock()
        self.reason = reason

    def _wait(self) -> float:
        if not self._failures:
            return GOOD_SECONDS
        return min(_LAST_SECONDS, _FIRST_SECONDS * 2.0 ** min(self._failures - 1, 10))


_known: dict[tuple[Path, str, str], Health] = {}
_lock = threading.Lock()


def health_of(settings: Settings, root: str, profile: str) -> Health:
    """The health of the store at a root, known to the whole process."""
    key = settings.home, root, profile
    with _lock:
        if key not in _known:
            _known[key] = Health(lambda: open_store(settings, root, profile).check())
        return _known[key]


def forget_stores() -> None:
    """Close every store and forget how it was, as if the process had just begun."""
    with _lock:
        _known.clear()
    close_stores()
