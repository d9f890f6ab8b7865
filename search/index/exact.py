"""The best rows of a matrix by inner product: the one place that asks FAISS for exact answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from search.arrays import Float32Array, Int64Array, IntArray
from search.index.faiss_setup import faiss, use_threads

_BLOCK_ROWS = 16_384  # rows copied at a time; bounds the memory of the copy


def best_rows(
    queries: Float32Array, matrix: Float32Array, k: int, selector: Any = None
) -> tuple[Float32Array, Int64Array]:
    """Scores and row numbers `(n, k)` of the best rows of `(m, d) float32`, best first."""
    use_threads(len(queries))
    scores, labels = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    pointer = faiss.swig_ptr
    faiss.knn_inner_product(
        pointer(queries),
        pointer(matrix),
        matrix.shape[1],
        len(queries),
        len(matrix),
        k,
        pointer(scores),
        pointer(labels),
        selector,
    )
    return scores, labels


def best_of_blocks(
    queries: Float32Array, k: int, slots: IntArray, rows_of: Callable[[IntArray], Float32Array]
) -> tuple[Float32Array, Int64Array]:
    """As `best_rows`, among the rows at `slots` `(m,)`, of which `rows_of` makes float32 copies; returns slots."""
    scores, best_slots = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    for start in range(0, len(slots), _BLOCK_ROWS):
        part = slots[start : start + _BLOCK_ROWS]
        best, places = best_rows(queries, rows_of(part), min(k, len(part)))
        scores, best_slots = np.concatenate([scores, best], axis=1), np.concatenate([best_slots, part[places]], axis=1)
        scores, best_slots = keep_best(scores, best_slots, k)
    return scores, best_slots


def keep_best(scores: Float32Array, labels: Int64Array, k: int) -> tuple[Float32Array, Int64Array]:
    """The `k` highest scores of each row of `(n, m)` with their labels, best first; equal scores by label."""
    if scores.shape[1] > k:
        kept = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        scores, labels = np.take_along_axis(scores, kept, 1), np.take_along_axis(labels, kept, 1)
    if not bool((scores[:, 1:] >= scores[:, :-1]).any()):
        return scores, labels
    order = np.lexsort((labels, -scores), axis=1)
    return np.take_along_axis(scores, order, 1), np.take_along_axis(labels, order, 1)
