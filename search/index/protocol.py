"""What every index of one signal in one space does, wherever the vectors are kept.

Implemented by `Partition` and `MilvusPartition`; the same property tests hold for both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from search.arrays import Float32Array, FloatArray, Int64Array


class VectorIndex(Protocol):
    """Inner products over unit rows, by segment id. Thread-safe. Errors are PartitionError.

    Ids are `(n,) int64`, rows `(n, d)` float16 or float32, queries `(n, d) float32`.
    """

    @property
    def dimension(self) -> int:
        """Length of the vectors."""

    @property
    def size_bytes(self) -> int:
        """Memory held in this process."""

    @property
    def approximate(self) -> bool:
        """Whether searches may miss."""

    def __len__(self) -> int:
        """Rows held."""

    def add(self, ids: Int64Array, vectors: FloatArray) -> None:
        """Add `(n, d)` rows under `(n,)` ids; an id that is held has its row replaced."""

    def remove(self, ids: Int64Array) -> int:
        """Drop ids `(n,) int64`; returns how many were held."""

    def search(
        self,
        queries: Float32Array,
        k: int,
        allowed: Int64Array | None = None,
        exact: bool = False,
        remember: bool = True,
    ) -> tuple[Float32Array, Int64Array]:
        """The best `k` per query among `allowed` ids: scores and ids `(n, k)`; -inf and -1 fill up."""

    def score(self, query: Float32Array, ids: Int64Array) -> Float32Array:
        """Exact scores of ids against one `(d,)` query; -inf for ids not held."""

    def vectors(self, ids: Int64Array) -> Float32Array:
        """Stored rows `(n, d) float32`; zeros for ids not held."""

    def ids(self) -> Int64Array:
        """All ids, in no order."""

    def live_queries(self) -> Float32Array:
        """The latest queries, `(n, d) float32`."""

    def truth(self, queries: Float32Array, k: int, allowed: Int64Array | None = None) -> Int64Array:
        """Ids `(n, k)` as an exact search finds them. Slow."""

    def needs_tending(self) -> bool:
        """Whether `tend` has something to do."""

    def tend(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Rebuild what has become slow or stale, while searches and changes continue. Slow; stops once `cancelled`."""
