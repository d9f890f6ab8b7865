"""Measures of retrieval, on score matrices. Larger scores are better; ranks count from 1."""

from __future__ import annotations

import numpy as np


def own_ranks(scores: np.ndarray, own: np.ndarray) -> np.ndarray:
    """`(queries, candidates)` scores and the one wanted candidate of each query -> its rank.

    Ties count against the query, so that a space that gives equal scores to all earns nothing.
    """
    wanted = scores[np.arange(len(own)), own]
    return np.asarray((scores >= wanted[:, None]).sum(axis=1))


def first_ranks(scores: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """As `own_ranks`, with any number of wanted candidates: the rank of the best of them."""
    best = np.where(relevant, scores, -np.inf).max(axis=1)
    return np.asarray((np.where(relevant, -np.inf, scores) >= best[:, None]).sum(axis=1) + 1)


def recall_at(ranks: np.ndarray, k: int) -> float:
    """Share of `(queries,)` ranks that are among the first k."""
    return float((ranks <= k).mean())


def average_precisions(scores: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """`(queries, candidates)` scores and a boolean matrix -> average precision of each query."""
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(relevant, order, axis=1)
    precision = ranked.cumsum(axis=1) / np.arange(1, scores.shape[1] + 1)
    return np.asarray((precision * ranked).sum(axis=1) / np.maximum(ranked.sum(axis=1), 1))
