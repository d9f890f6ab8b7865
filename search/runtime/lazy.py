"""A large object, such as a model, that is loaded at its first use and released once it has been idle for a while.

Knows threads and timers; knows no model.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from search.runtime.allocator import give_back

ThingT = TypeVar("ThingT")


class Timer(Protocol):
    """What `threading.Timer` is to a lazy object."""

    daemon: bool

    def start(self) -> None:
        """Begin to wait."""

    def cancel(self) -> None:
        """Wait no longer."""


class Lazy(Generic[ThingT]):
    """Holds one object. Thread-safe; concurrent users share it.

    `load` makes it; `idle_seconds` without use release it. `clock` counts seconds and never runs back; `new_timer`
    takes the seconds to wait and what to do then.
    """

    def __init__(
        self,
        load: Callable[[], ThingT],
        idle_seconds: float = math.inf,
        *,
        clock: Callable[[], float] = time.monotonic,
        new_timer: Callable[[float, Callable[[], None]], Timer] = threading.Timer,
    ) -> None:
        self._load = load
        self._clock = clock
        self._new_timer = new_timer
        self._idle_seconds = min(idle_seconds, threading.TIMEOUT_MAX)
        self._lock = threading.Lock()
        self._thing: ThingT | None = None
        self._users = 0
        self._used_at = 0.0
        self._timer: Timer | None = None

    @property
    def loaded(self) -> bool:
        """Whether it is in memory."""
        return self._thing is not None

    @contextmanager
    def use(self) -> Iterator[ThingT]:
        """The object, loaded, and kept for as long as the block runs. Raises what `load` raises."""
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
                self._used_at = self._clock()
                if self._timer is None and self._idle_seconds < threading.TIMEOUT_MAX:
                    self._look_in(self._idle_seconds)

    def release(self) -> None:
        """Release it now; current users keep it until they are done. The next use loads it again."""
        with self._lock:
            self._drop()
            if self._timer:
                self._timer.cancel()
                self._timer = None

    def _look_in(self, seconds: float) -> None:
        # One timer for many uses: a thread for each would cost more than a short use itself.
        timer = self._new_timer(seconds, lambda: self._release_if_idle(timer))
        timer.daemon = True  # must not keep a process alive that is done
        self._timer = timer
        timer.start()

    def _release_if_idle(self, timer: Timer) -> None:
        with self._lock:
            if self._timer is not timer:
                return  # cancelled a moment too late
            self._timer = None
            if self._users:
                return  # its user sets the next timer when done
            rest = self._used_at + self._idle_seconds - self._clock()
            if rest > 0:
                self._look_in(rest)
            else:
                self._drop()

    def _drop(self) -> None:
        if self._thing is not None:
            self._thing = None
            give_back()


class Exclusive(Lazy[ThingT]):
    """A lazy object with one user at a time: two forward passes at once would only slow each other down."""

    def __init__(
        self,
        load: Callable[[], ThingT],
        idle_seconds: float = math.inf,
        *,
        clock: Callable[[], float] = time.monotonic,
        new_timer: Callable[[float, Callable[[], None]], Timer] = threading.Timer,
    ) -> None:
        super().__init__(load, idle_seconds, clock=clock, new_timer=new_timer)
        self._turn = threading.Lock()

    @contextmanager
    def use(self) -> Iterator[ThingT]:
        """As `Lazy.use`, exclusively; waits for the current user."""
        with self._turn, super().use() as thing:
            yield thing
