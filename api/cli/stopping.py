"""A first Ctrl-C or SIGTERM asks to stop; a second one insists."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STANDARD_INPUT = 0


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that is set by SIGINT and SIGTERM."""
    stop = threading.Event()

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            # A second signal means: don't wait for a model either; leases run out by themselves.
            os._exit(128 + number)
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_with_parent(stop: threading.Event) -> None:
    """Set `stop` when standard input ends: the parent held its other end, and is gone."""

    def wait() -> None:
        # Not sys.stdin: a thread that holds its lock when the interpreter ends brings the process down.
        while os.read(STANDARD_INPUT, 4096):
            pass
        stop.set()

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
