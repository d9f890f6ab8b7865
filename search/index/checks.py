"""Checks of the ids and vectors given to a partition, the same for every kind of index."""

from __future__ import annotations

import numpy as np

from search.arrays import BoolArray, Float32Array, FloatArray, Int64Array
from search.errors import PartitionError

# float16 storage moves a unit row's squared length by less than this.
_UNIT_TOLERANCE = 0.02


def as_rows(vectors: FloatArray, dimension: int, dtypes: tuple[type, ...], count: int | None = None) -> Float32Array:
    """`(n, dimension)` vectors of one of `dtypes` -> contiguous float32 rows.

    Raises PartitionError for another dtype (float64 always is a mistake upstream), shape or `count`.
    """
    vectors = np.asarray(vectors)
    if vectors.dtype not in dtypes:
        names = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        raise PartitionError(f"vectors must be {names}, not {vectors.dtype}")
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise PartitionError(f"vectors must be of shape (n, {dimension}), not {vectors.shape}")
    if count is not None and len(vectors) != count:
        raise PartitionError(f"{count} ids came with {len(vectors)} vectors")
    return np.ascontiguousarray(vectors, np.float32)


def unit_rows_of(vectors: Float32Array) -> BoolArray:
    """Which rows have length 1, `(n,) bool`. A row that is not finite has none."""
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float32)
    return np.asarray(np.abs(squares - 1) <= _UNIT_TOLERANCE)


def require_unit(vectors: Float32Array) -> None:
    """Raise PartitionError unless all rows of `(n, d)` have length 1."""
    usable = unit_rows_of(vectors)
    if not usable.all():
        row = int(np.argmin(usable))
        raise PartitionError(f"vector {row} has the length {np.linalg.norm(vectors[row]):.3g}, not 1")


def require_direction(vectors: Float32Array) -> None:
    """Raise PartitionError if a row of `(n, d)` is zero or not finite: it has no direction to search in."""
    squares = np.einsum("ij,ij->i", vectors, vectors)
    if not bool(np.all(np.isfinite(squares) & (squares > 0))):
        raise PartitionError("a query vector is zero or not finite")


def as_ids(ids: Int64Array) -> Int64Array:
    """Ids as `(n,) int64`. Raises PartitionError for another shape, a fractional type or a negative id."""
    ids = np.asarray(ids)
    if not len(ids):
        return np.empty(0, np.int64)
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise PartitionError(f"ids must be a row of integers, not {ids.dtype} of shape {ids.shape}")
    if ids.min() < 0:
        raise PartitionError(f"ids can't be negative: {ids.min()}")
    return ids.astype(np.int64, copy=False)


def last_of_each(ids: Int64Array, vectors: Float32Array) -> tuple[Int64Array, Float32Array]:
    """Unique ids `(m,)`, ascending, with their rows `(m, d)`; an id that occurs twice has its last row."""
    if len(ids) < 2 or bool(np.all(ids[1:] > ids[:-1])):
        return ids, vectors
    unique, first_from_behind = np.unique(ids[::-1], return_index=True)
    return unique, vectors[len(ids) - 1 - first_from_behind]


def padded(scores: Float32Array, ids: Int64Array, k: int) -> tuple[Float32Array, Int64Array]:
    """Scores and ids `(n, <= k)` -> `(n, k)`, filled up with -inf and -1."""
    missing = k - scores.shape[1]
    if not missing:
        return scores, ids
    return (
        np.pad(scores, ((0, 0), (0, missing)), constant_values=-np.inf),
        np.pad(ids, ((0, 0), (0, missing)), constant_values=-1),
    )
