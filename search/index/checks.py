"""What a partition refuses: checks of ids and vectors, the same for every kind of index."""

from __future__ import annotations

import numpy as np

from search.errors import PartitionError

# float16 storage moves a unit row's squared length by less than this.
_UNIT_TOLERANCE = 0.02


def as_rows(vectors: np.ndarray, dimension: int, dtypes: tuple[type, ...], count: int | None = None) -> np.ndarray:
    """Contiguous float32 rows. float64 is refused because it always is a mistake upstream."""
    vectors = np.asarray(vectors)
    if vectors.dtype not in dtypes:
        names = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        raise PartitionError(f"vectors must be {names}, not {vectors.dtype}")
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise PartitionError(f"vectors must be of shape (n, {dimension}), not {vectors.shape}")
    if count is not None and len(vectors) != count:
        raise PartitionError(f"{count} ids came with {len(vectors)} vectors")
    return np.ascontiguousarray(vectors, np.float32)


def unit_rows_of(vectors: np.ndarray) -> np.ndarray:
    """Which rows have length 1, `(n,) bool`. A row that is not finite has none."""
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float32)
    return np.asarray(np.abs(squares - 1) <= _UNIT_TOLERANCE)


def require_unit(vectors: np.ndarray) -> None:
    """Raise PartitionError unless all rows have length 1."""
    usable = unit_rows_of(vectors)
    if not usable.all():
        row = int(np.argmin(usable))
        raise PartitionError(f"vector {row} has the length {np.linalg.norm(vectors[row]):.3g}, not 1")


def require_direction(vectors: np.ndarray) -> None:
    """Raise PartitionError if a row is zero or not finite: it has no direction to search in."""
    squares = np.einsum("ij,ij->i", vectors, vectors)
    if not bool(np.all(np.isfinite(squares) & (squares > 0))):
        raise PartitionError("a query vector is zero or not finite")


def as_ids(ids: np.ndarray) -> np.ndarray:
    """`(n,) int64`, none negative."""
    ids = np.asarray(ids)
    if not len(ids):
        return np.empty(0, np.int64)
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise PartitionError(f"ids must be a row of integers, not {ids.dtype} of shape {ids.shape}")
    if ids.min() < 0:
        raise PartitionError(f"ids can't be negative: {ids.min()}")
    return ids.astype(np.int64, copy=False)


def last_of_each(ids: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unique ids; of an id that comes twice, its last row."""
    if len(ids) < 2 or bool(np.all(ids[1:] > ids[:-1])):
        return ids, vectors
    unique, first_from_behind = np.unique(ids[::-1], return_index=True)
    return unique, vectors[len(ids) - 1 - first_from_behind]


def padded(scores: np.ndarray, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """`k` columns: -inf and -1 where there are fewer."""
    missing = k - scores.shape[1]
    if not missing:
        return scores, ids
    return (
        np.pad(scores, ((0, 0), (0, missing)), constant_values=-np.inf),
        np.pad(ids, ((0, 0), (0, missing)), constant_values=-1),
    )
