"""How often one caller may ask: a token bucket per name. Knows no HTTP."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

#: callers remembered at once; the longest idle one is forgotten first
REMEMBERED = 10_000


class RateLimiter:
    """`per_minute` requests a minute for every name, in bursts of up to a quarter of a minute's worth."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self.burst = max(1.0, per_minute / 4)
        self._per_second = per_minute / 60
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # name -> (tokens, when)
        self._lock = threading.Lock()

    def take(self, name: str) -> float:
        """Take one token; 0.0 if there was one, else the seconds until there is."""
        now = self._clock()
        with self._lock:
            tokens, when = self._buckets.pop(name, (self.burst, now))
            tokens = min(self.burst, tokens + max(0.0, now - when) * self._per_second)
            wait = 0.0 if tokens >= 1 else (1 - tokens) / self._per_second
            self._buckets[name] = (tokens if wait else tokens - 1, now)
            if len(self._buckets) > REMEMBERED:
                self._buckets.popitem(last=False)
        return wait
