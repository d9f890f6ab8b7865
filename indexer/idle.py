"""A large model that loads at first use and is released when nobody has used it for a while.

Knows threads and timers; knows no model.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

ModelT = TypeVar("ModelT")


class IdleModel(Generic[ModelT]):
    """Holds one model. Thread-safe; users of the model at the same time share it."""

    def __init__(self, load: Callable[[], ModelT], idle_seconds: float) -> None:
        self._load = load
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._model: ModelT | None = None
        self._users = 0
        self._timer: threading.Timer | None = None

    @property
    def loaded(self) -> bool:
        """Is the model in memory?"""
        return self._model is not None

    @contextmanager
    def use(self) -> Iterator[ModelT]:
        """The model, kept for as long as the block runs."""
        with self._lock:
            self._stop_timer()
            if self._model is None:
                self._model = self._load()
            self._users += 1
            model = self._model
        try:
            yield model
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._start_timer()

    def release(self) -> None:
        """Let go of the model now; whoever still uses it keeps it until done."""
        with self._lock:
            self._stop_timer()
            self._model = None

    def _release_if_idle(self) -> None:
        with self._lock:
            if not self._users:
                self._model = None

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = threading.Timer(self._idle_seconds, self._release_if_idle)
        self._timer.daemon = True  # must not keep a process alive that is done
        self._timer.start()

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
