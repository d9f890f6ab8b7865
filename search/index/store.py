"""What a partition keeps its rows in: bookkeeping of ids and slots that all kinds of store share.

A slot is a row's place; where rows lie and how they are searched is the kind's affair. Not thread-safe:
`Partition` locks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import numpy as np

from search.index.slots import ABSENT, SlotMap
from search.index.snapshot import Contents

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
    def ids(self) -> np.ndarray:
        """A copy of all ids, `(count,) int64`."""
        ids = self._ids[: self.extent]
        return ids[ids != ABSENT]

    def ids_at(self, slots: np.ndarray) -> np.ndarray:
        """Ids of slots, of any shape."""
        return self._ids[slots]

    def slots_of(self, ids: np.ndarray) -> np.ndarray:
        """Slots of ids, ABSENT where an id is not held."""
        return self._slots.get(ids)

    @property
    @abstractmethod
    def size_bytes(self) -> int:
        """Memory held, without what is mapped from files."""

    @abstractmethod
    def prepare(self, vectors: np.ndarray) -> Prepared | None:
        """The slow part of `place`, while readers go on. What it returns goes to `place`."""

    @abstractmethod
    def place(self, ids: np.ndarray, vectors: np.ndarray, prepared: Prepared | None) -> None:
        """Add `(n, d) float32` rows for unique ids; an id that is held has its row replaced."""

    @abstractmethod
    def drop(self, ids: np.ndarray) -> int:
        """Remove unique ids; ids that are not held don't matter. Returns how many were."""

    @abstractmethod
    def rows(self, slots: np.ndarray) -> np.ndarray:
        """A copy of rows, float32."""

    @abstractmethod
    def search(
        self, queries: np.ndarray, k: int, slots: np.ndarray | None, exact: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best `k` rows per query, of all rows or of `slots` (sorted, unique, int64).

        Returns scores and slots, `(n, k)`. `k` is at most the number of rows looked at, and so many are
        found. `exact` forbids approximation.
        """

    @abstractmethod
    def contents(self) -> Contents:
        """What a snapshot holds."""

    def _reserve_ids(self, more: int) -> int:
        """Make room for `more` slots; the capacity. Readers may go on."""
        needed = self.extent + more
        if needed > len(self._ids):
            ids = np.empty(max(_FIRST_CAPACITY, needed, len(self._ids) + len(self._ids) // 2), np.int64)
            ids[: self.extent] = self._ids[: self.extent]
            self._ids = ids
        return len(self._ids)
