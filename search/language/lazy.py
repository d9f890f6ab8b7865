"""A large thing that loads at its first use and is let go when nobody used it for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

ThingT = TypeVar("ThingT")


class Lazy(Generic[ThingT]):
    """One user at a time: a second one waits, because two forward passes only slow each other down."""

    def __init__(self, load: Callable[[], ThingT], idle_seconds: float) -> None:
        self._load = load
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._thing: ThingT | None = None
        self._timer: threading.Timer | None = None

    @contextmanager
    def use(self) -> Iterator[ThingT]:
        """The thing, loaded, for as long as the block runs."""
        with self._lock:
            self._disarm()
            if self._thing is None:
                self._thing = self._load()
            try:
                yield self._thing
            finally:
                self._arm()

    @property
    def loaded(self) -> bool:
        """Is it in memory now?"""
        return self._thing is not None

    def release(self) -> None:
        """Let go of it; the next use loads it again."""
        with self._lock:
            self._disarm()
            self._thing = None

    def _arm(self) -> None:
        self._timer = threading.Timer(self._idle_seconds, self._expire)
        self._timer.daemon = True
        self._timer.start()

    def _disarm(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        # Whoever uses it right now has also cancelled this timer, but perhaps a moment too late.
        if self._lock.acquire(blocking=False):
            try:
                if self._timer is threading.current_thread():
                    self._thing, self._timer = None, None
            finally:
                self._lock.release()
