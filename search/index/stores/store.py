"""What a partition keeps its rows in: bookkeeping of ids and slots that all kinds of store share.

A slot is a row's position; where rows are kept and how they are searched is up to the subclass. Not
thread-safe: `Partition` holds the lock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import numpy as np

from search.arrays import Float32Array, Int32Array, Int64Array, IntArray
from search.index.stores.slots import ABSENT, SlotMap
from search.index.stores.snapshot import Contents

_FIRST_CAPACITY = 1024


Prepared = TypeVar("Prepared")


class Store(ABC, Generic[Prepared]):
    """Rows by id. `count` rows are held, in slots below `extent`."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.count = 0
        self.extent = 0
        self._ids = np.empty(0, np.int64)
        self._slots = SlotMap()

    @property
    def ids(self) -> Int64Array:
        """A copy of all ids, `(count,) int64`."""
        ids: Int64Array = self._ids[: self.extent]
        held: Int64Array = ids[ids != ABSENT]
        return held

    def ids_at(self, slots: IntArray) -> Int64Array:
        """Ids of `slots`, in the same shape `(...)`."""
        return self._ids[slots]

    def slots_of(self, ids: Int64Array) -> Int32Array:
        """Slots of `ids` `(n,)`, ABSENT where an id is not held."""
        return self._slots.get(ids)

    @property
    @abstractmethod
    def size_bytes(self) -> int:
        """Memory held, without what is mapped from files."""

    @abstractmethod
    def prepare(self, vectors: Float32Array) -> Prepared | None:
        """The slow part of `place`, for rows `(n, d)`, done while readers continue; its result is passed to `place`."""

    @abstractmethod
    def place(self, ids: Int64Array, vectors: Float32Array, prepared: Prepared | None) -> None:
        """Add `(n, d) float32` rows for unique ids; an id that is held has its row replaced."""

    @abstractmethod
    def drop(self, ids: Int64Array) -> int:
        """Remove unique ids `(n,)`; ids that are not held are ignored. Returns how many were held."""

    @abstractmethod
    def rows(self, slots: IntArray) -> Float32Array:
        """A copy of the rows at `slots`, `(n, d) float32`."""

    @abstractmethod
    def search(
        self, queries: Float32Array, k: int, slots: IntArray | None, exact: bool
    ) -> tuple[Float32Array, Int64Array]:
        """The best `k` rows per query, of all rows or of `slots` (sorted, unique, int64).

        Returns scores and slots, `(n, k)`. `k` is at most the number of rows looked at, and that many are
        found. `exact` forbids approximation.
        """

    @abstractmethod
    def contents(self) -> Contents:
        """The arrays that a snapshot holds."""

    def _reserve_ids(self, more: int) -> int:
        """Make room for `more` slots; returns the capacity. Readers may continue."""
        needed = self.extent + more
        if needed > len(self._ids):
            ids = np.empty(max(_FIRST_CAPACITY, needed, len(self._ids) + len(self._ids) // 2), np.int64)
            ids[: self.extent] = self._ids[: self.extent]
            self._ids = ids
        return len(self._ids)
