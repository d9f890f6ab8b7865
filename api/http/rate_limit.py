"""How often one caller may ask: a token bucket per name, which all processes share. Knows no HTTP.

Each process borrows a block of tokens and spends it by itself, so a request rarely costs a write; what a process
does not spend soon goes back, so that many replicas behind one address do not hoard.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

#: callers remembered at once; the longest idle one is forgotten first
REMEMBERED = 10_000
#: of a minute's requests, those that may come at once
BURST_SHARE = 1 / 4
#: of a burst, what a process borrows at once
BLOCK_SHARE = 1 / 10
#: how long borrowed tokens are good for: about the time in which an empty bucket fills again
BLOCK_SECONDS = 15.0


class Lender(Protocol):
    """Lends tokens of a bucket that all processes share."""

    def __call__(self, name: str, wanted: int, per_second: float, burst: float, unspent: int) -> tuple[int, float]:
        """How many of `wanted` tokens are lent and, if not all, the seconds until all will be there."""


class _Block(Struct):
    """What this process has borrowed for one name; times by its own clock."""

    tokens: int = 0
    good_until: float = 0.0
    empty_until: float = 0.0


class RateLimiter:
    """`per_minute` requests a minute for every name, in bursts of up to a quarter of a minute's worth. Thread-safe."""

    def __init__(self, per_minute: int, clock: Callable[[], float], lend: Lender) -> None:
        self.burst = max(1.0, per_minute * BURST_SHARE)
        self._block = max(1, int(self.burst * BLOCK_SHARE))
        self._per_second = per_minute / 60
        self._clock = clock
        self._lend = lend
        self._blocks: OrderedDict[str, _Block] = OrderedDict()
        self._lock = threading.Lock()
        self._lending = threading.Lock()

    def take_borrowed(self, name: str) -> float | None:
        """Take one token of those borrowed: 0.0, or the seconds to wait; None where the lender must be asked."""
        now = self._clock()
        with self._lock:
            block = self._blocks.get(name, _Block())
            if block.tokens and now < block.good_until:
                block.tokens -= 1
                return 0.0
            return block.empty_until - now if now < block.empty_until else None

    def take(self, name: str) -> float:
        """Take one token; 0.0 if there was one, else the seconds until there is. May wait for the lender."""
        with self._lending:  # requests that come together share one block
            waited = self.take_borrowed(name)
            if waited is not None:
                return waited
            with self._lock:
                old = self._blocks.pop(name, _Block())
            lent, wait = self._lend(name, self._block, self._per_second, self.burst, old.tokens)
            now = self._clock()
            with self._lock:
                self._blocks[name] = _Block(max(0, lent - 1), now + BLOCK_SECONDS, now + wait)
                if len(self._blocks) > REMEMBERED:
                    self._blocks.popitem(last=False)
        return 0.0 if lent else wait
