"""From the ids that a filter leaves to the slots that hold them, remembered while nothing changes.

Knows integers and a store's map of them; knows no vectors and no locks.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from msgspec import Struct

from search.arrays import Int64Array, IntArray
from search.index.stores.slots import ABSENT
from search.index.stores.store import Store

# A filter with more than 1/16 of the rows is sorted by marking rows, which is linear.
_MARK_FROM = 16
_KEPT = 2
_KEPT_FROM = 1024  # ids; fewer are found as fast as they are compared


class FilterCache:
    """Caches the slots of recent filters.

    A user who browses sends the same filter with every page and every query: resolving it once and comparing
    from then on takes a tenth of the time. Call `forget` after every change. Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._kept: deque[_Filter] = deque(maxlen=_KEPT)

    def forget(self) -> None:
        """Drop everything: what the slots hold has changed."""
        self._kept.clear()

    def slots(self, store: Store[Any], allowed: Int64Array) -> IntArray:
        """`(n,) int64` ids, in any order, with repetitions -> the slots of those held, sorted and unique."""
        if len(allowed) < _KEPT_FROM:
            return _resolve(store, allowed)
        for kept in tuple(self._kept):
            if np.array_equal(kept.allowed, allowed):
                return kept.slots
        slots = _resolve(store, allowed)
        # A copy, because callers may go on writing into theirs.
        self._kept.append(_Filter(allowed.copy(), slots))
        return slots


class _Filter(Struct, frozen=True):
    allowed: Int64Array  # as it came
    slots: IntArray


def _resolve(store: Store[Any], allowed: Int64Array) -> IntArray:
    slots = store.slots_of(allowed)
    slots = slots[slots != ABSENT]
    # Sorted for the memory's sake, and unique because FAISS would find a slot as often as it is listed.
    if len(slots) < store.extent // _MARK_FROM:
        return np.unique(slots).astype(np.int64)
    marks = np.zeros(store.extent, bool)
    marks[slots] = True
    return np.flatnonzero(marks)
