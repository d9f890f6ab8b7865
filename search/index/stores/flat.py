"""Rows in one float32 matrix in memory, searched exactly.

The matrix is ours and FAISS only computes on it: so a snapshot can be mapped instead of read, rows can be
gathered without a copy, and a removal is a swap with the last row (an `IndexFlatIP` moves all rows behind
the removed one). float32 and not float16: half the memory and half the time of a single unfiltered query,
but twice the time of batches and ten times that of filtered queries (docs/benchmarks/partitions.md).
"""

from __future__ import annotations

import numpy as np

from search.arrays import Float32Array, Int64Array, IntArray
from search.index.exact import best_of_blocks, best_rows
from search.index.faiss_setup import faiss
from search.index.planner import Way, plan_flat
from search.index.stores.slots import ABSENT
from search.index.stores.snapshot import Contents
from search.index.stores.store import Store


class FlatStore(Store[None]):
    """Slots 0 to `count`, without holes."""

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self._matrix = np.empty((0, dimension), np.float32)

    def adopt(self, ids: Int64Array, matrix: Float32Array) -> None:
        """Take over the ids `(n,)` and rows `(n, d)` of a snapshot; both may be mapped copy-on-write."""
        self.count = self.extent = len(ids)
        self._ids, self._matrix = ids, matrix
        self._slots.put(ids, np.arange(len(ids), dtype=np.int32))

    @property
    def matrix(self) -> Float32Array:
        """`(count, d) float32`, a view."""
        return self._matrix[: self.count]

    @property
    def size_bytes(self) -> int:
        """Memory held."""
        return self._ids.nbytes + self._matrix.nbytes + self._slots.size_bytes

    def prepare(self, vectors: Float32Array) -> None:
        """See Store. Makes room."""
        capacity = self._reserve_ids(len(vectors))
        if capacity > len(self._matrix):
            matrix = np.empty((capacity, self.dimension), np.float32)
            matrix[: self.count] = self.matrix
            self._matrix = matrix

    def place(self, ids: Int64Array, vectors: Float32Array, prepared: None) -> None:  # noqa: ARG002 - as Store asks
        """See Store."""
        slots = self._slots.get(ids)
        new = slots == ABSENT
        added = int(np.count_nonzero(new))
        slots[new] = np.arange(self.count, self.count + added, dtype=np.int32)
        self._write(slots, vectors)
        self._ids[slots] = ids
        self._slots.put(ids[new], slots[new])
        self.count += added
        self.extent = self.count

    def drop(self, ids: Int64Array) -> int:
        """See Store."""
        slots = self._slots.get(ids)
        held = slots != ABSENT
        if not held.any():
            return 0
        gone = slots[held]
        self._slots.forget(ids[held])
        left = self.count - len(gone)
        # Rows behind the new end that stay move into the holes before it.
        holes = gone[gone < left]
        stay = np.ones(self.count - left, bool)
        stay[gone[gone >= left] - left] = False
        moved = (np.flatnonzero(stay) + left).astype(np.int32)
        self._move(moved, holes)
        self._ids[holes] = self._ids[moved]
        self._slots.put(self._ids[holes], holes)
        self.count = self.extent = left
        return len(gone)

    def _write(self, slots: IntArray, vectors: Float32Array) -> None:
        self._matrix[slots] = vectors

    def _move(self, sources: IntArray, targets: IntArray) -> None:
        self._matrix[targets] = self._matrix[sources]

    def rows(self, slots: IntArray) -> Float32Array:
        """See Store."""
        return self._matrix[slots]

    def search(
        self,
        queries: Float32Array,
        k: int,
        slots: IntArray | None,
        exact: bool,  # noqa: ARG002 - as Store asks
    ) -> tuple[Float32Array, Int64Array]:
        """See Store; always exact."""
        if slots is not None and len(slots) == self.count:
            slots = None
        way = plan_flat(None if slots is None else len(slots), len(queries)).way
        if slots is None or way is Way.SCAN:
            return best_rows(queries, self.matrix, k)
        if way is Way.PICK:
            # FAISS reads just these rows, in place: exact at any selectivity for the price of the matches.
            return best_rows(queries, self.matrix, k, faiss.IDSelectorArray(slots))
        return best_of_blocks(queries, k, slots, self.rows)

    def contents(self) -> Contents:
        """See Store."""
        return Contents(self._ids[: self.count], self.matrix)
