"""Which row of a partition holds which id. Knows integers only.

Ids only grow and are never reused, so a plain table from id to slot would grow with the history of the
library. Two levels keep its size proportional to what is held: a directory of pages, each for 4,096
consecutive ids, and pages that become empty are reused.
"""

from __future__ import annotations

import numpy as np

from search.arrays import Int32Array, Int64Array

_PAGE_BITS = 12
_PAGE = 1 << _PAGE_BITS
_EMPTY = 0  # page that all unused directory entries point at; holds -1 only
ABSENT = -1


class SlotMap:
    """A map from id (int64, not negative) to slot (int32), in bulk. Not thread-safe."""

    def __init__(self) -> None:
        self._directory: Int32Array = np.full(1, _EMPTY, np.int32)
        self._pages: Int32Array = np.full((1, _PAGE), ABSENT, np.int32)
        self._used: Int32Array = np.zeros(1, np.int32)  # ids held per page
        self._free: list[int] = []

    def get(self, ids: Int64Array) -> Int32Array:
        """`(n,) int64` ids -> `(n,) int32` slots; ABSENT where an id is not held."""
        numbers = ids >> _PAGE_BITS
        if len(numbers) and numbers.max() >= len(self._directory):
            # To the end of the directory: a place that is kept empty.
            numbers = np.minimum(numbers, len(self._directory) - 1)
        entries = self._directory[numbers].astype(np.int64)
        entries <<= _PAGE_BITS
        entries += ids & (_PAGE - 1)
        slots: Int32Array = self._pages.reshape(-1)[entries]
        return slots

    def put(self, ids: Int64Array, slots: Int32Array) -> None:
        """Map unique ids `(n,)` to slots `(n,)`, replacing what they had."""
        pages, entries = self._pages_for(ids >> _PAGE_BITS), ids & (_PAGE - 1)
        np.add.at(self._used, pages[self._pages[pages, entries] == ABSENT], 1)
        self._pages[pages, entries] = slots

    def forget(self, ids: Int64Array) -> None:
        """Drop unique ids `(n,)`, all of them held."""
        numbers = ids >> _PAGE_BITS
        pages = self._directory[numbers]
        self._pages[pages, ids & (_PAGE - 1)] = ABSENT
        np.subtract.at(self._used, pages, 1)
        for number in np.unique(numbers[self._used[pages] == 0]):
            self._free.append(int(self._directory[number]))
            self._directory[number] = _EMPTY

    @property
    def size_bytes(self) -> int:
        """Memory held."""
        return self._directory.nbytes + self._pages.nbytes + self._used.nbytes

    def _pages_for(self, numbers: Int64Array) -> Int32Array:
        wanted = np.unique(numbers)
        # One more than needed: its end stays empty, for ids beyond it.
        if len(wanted) and wanted[-1] >= len(self._directory) - 1:
            bigger = np.full(max(int(wanted[-1]) + 2, 2 * len(self._directory)), _EMPTY, np.int32)
            bigger[: len(self._directory)] = self._directory
            self._directory = bigger
        new = wanted[self._directory[wanted] == _EMPTY]
        self._make_free_pages(len(new))
        for number in new:
            self._directory[number] = self._free.pop()
        return self._directory[numbers]

    def _make_free_pages(self, count: int) -> None:
        missing = count - len(self._free)
        if missing <= 0:
            return
        have = len(self._pages)
        added = max(missing, have // 2)
        self._pages = np.concatenate([self._pages, np.full((added, _PAGE), ABSENT, np.int32)])
        self._used = np.concatenate([self._used, np.zeros(added, np.int32)])
        self._free.extend(range(have, have + added))
