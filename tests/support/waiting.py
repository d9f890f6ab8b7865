"""Waiting for what another thread or process does, where it can't set an event."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(check: Callable[[], T], seconds: float = 60.0, explain: Callable[[], object] = lambda: "") -> T:
    """What `check` returns, as soon as it is true. Fails after so many seconds, with what `explain` says."""
    deadline = time.monotonic() + seconds
    while not (value := check()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {explain()}"
        time.sleep(0.02)
    return value
