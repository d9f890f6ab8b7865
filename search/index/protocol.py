"""What every index of one signal in one space does, whoever keeps the vectors. Implemented by `Partition` and
`MilvusPartition`; the same property tests hold for both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np


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

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        """Add rows; an id that is held is replaced."""

    def remove(self, ids: np.ndarray) -> int:
        """Drop ids; returns how many were held."""

    def search(
        self,
        queries: np.ndarray,
        k: int,
        allowed: np.ndarray | None = None,
        exact: bool = False,
        remember: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best `k` per query among `allowed` ids: scores and ids `(n, k)`; -inf and -1 fill up."""

    def score(self, query: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Exact scores of ids against one `(d,)` query; -inf for ids not held."""

    def vectors(self, ids: np.ndarray) -> np.ndarray:
        """Stored rows `(n, d) float32`; zeros for ids not held."""

    def ids(self) -> np.ndarray:
        """All ids, in no order."""

    def live_queries(self) -> np.ndarray:
        """The latest queries, `(n, d) float32`."""

    def truth(self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> np.ndarray:
        """Ids `(n, k)` as an exact search finds them. Slow."""

    def needs_tending(self) -> bool:
        """Whether `tend` has something to do."""

    def tend(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Slow upkeep, beside searches and changes."""
