"""A large thing, such as a model, that loads at its first use and is let go when nobody used it for a while.

Knows threads and timers; knows no model.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from search.allocator import give_back

ThingT = TypeVar("ThingT")


class Lazy(Generic[ThingT]):
    """Holds one thing. Thread-safe; those who use it at the same time share it."""

    def __init__(self, load: Callable[[], ThingT], idle_seconds: float = math.inf) -> None:
        self._load = load
        self._idle_seconds = min(idle_seconds, threading.TIMEOUT_MAX)
        self._lock = threading.Lock()
        self._thing: ThingT | None = None
        self._users = 0
        self._used_at = 0.0
        self._timer: threading.Timer | None = None

    @property
    def loaded(self) -> bool:
        """Is it in memory?"""
        return self._thing is not None

    @contextmanager
    def use(self) -> Iterator[ThingT]:
        """The thing, loaded, kept for as long as the block runs."""
        with self._lock:
            if self._thing is None:
                self._thing = self._load()
            self._users += 1
            thing = self._thing
        try:
            yield thing
        finally:
            with self._lock:
                self._users -= 1
                self._used_at = time.monotonic()
                if self._timer is None and self._idle_seconds < threading.TIMEOUT_MAX:
                    self._look_in(self._idle_seconds)

    def release(self) -> None:
        """Let go of it now; whoever still uses it keeps it until done. The next use loads it again."""
        with self._lock:
            self._let_go()
            if self._timer:
                self._timer.cancel()
                self._timer = None

    def _look_in(self, seconds: float) -> None:
        # One timer for many uses: a thread for each would cost more than a short use itself.
        self._timer = threading.Timer(seconds, self._release_if_idle)
        self._timer.daemon = True  # must not keep a process alive that is done
        self._timer.start()

    def _release_if_idle(self) -> None:
        with self._lock:
            if self._timer is not threading.current_thread():
                return  # cancelled a moment too late
            self._timer = None
            if self._users:
                return  # whoever uses it sets the next timer
            rest = self._used_at + self._idle_seconds - time.monotonic()
            if rest > 0:
                self._look_in(rest)
            else:
                self._let_go()

    def _let_go(self) -> None:
        if self._thing is not None:
            self._thing = None
            give_back()


class Exclusive(Lazy[ThingT]):
    """For one user at a time: a second one waits, because two forward passes only slow each other down."""

    def __init__(self, load: Callable[[], ThingT], idle_seconds: float = math.inf) -> None:
        super().__init__(load, idle_seconds)
        self._turn = threading.Lock()

    @contextmanager
    def use(self) -> Iterator[ThingT]:
        """As `Lazy.use`, alone."""
        with self._turn, super().use() as thing:
            yield thing
