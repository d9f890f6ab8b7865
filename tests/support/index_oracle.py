"""A history of changes lived through beside a plain dict: what any index must answer, as NumPy does."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from search.index.protocol import VectorIndex

DIMENSION = 8
IDS = 60  # few, so that histories collide
POOL = np.random.default_rng(0).standard_normal((200, DIMENSION)).astype(np.float32)
# Repeated and opposite rows: ties and negative scores.
POOL[50:60] = POOL[0]
POOL[60:70] = -POOL[:10]
POOL = (POOL / np.linalg.norm(POOL, axis=1, keepdims=True)).astype(np.float16)

ids = st.lists(st.integers(0, IDS - 1), max_size=30)
# Far apart too, because ids only grow.
spread = st.sampled_from([1, 5000])
change: st.SearchStrategy[tuple[str, list[int]]] = st.one_of(
    st.tuples(st.just("add"), ids),
    st.tuples(st.just("remove"), ids),
    st.tuples(st.just("tend"), st.just([])),
)
history = st.lists(change, max_size=12)
allowed = st.one_of(st.none(), st.lists(st.integers(0, IDS + 5), max_size=40))


def check_history(
    partition: VectorIndex,
    history: list[tuple[str, list[int]]],
    allowed: list[int] | None,
    k: int,
    query_rows: list[int],
    spread: int,
    seed: int,
) -> None:
    """Live through the history beside a dict, then compare."""
    truth: dict[int, np.ndarray] = {}
    rng = np.random.default_rng(seed)
    for what, numbers in history:
        chosen = np.array(numbers, np.int64) * spread
        if what == "add":
            rows = rng.integers(0, len(POOL), len(chosen))
            partition.add(chosen, POOL[rows])
            truth.update(zip(chosen.tolist(), POOL[rows].astype(np.float32), strict=True))
        elif what == "remove":
            assert partition.remove(chosen) == len(truth.keys() & set(chosen.tolist()))
            truth = {key: row for key, row in truth.items() if key not in set(chosen.tolist())}
        else:
            partition.tend()
    assert len(partition) == len(truth)
    queries = POOL[query_rows].astype(np.float32)
    wanted = None if allowed is None else np.array(allowed, np.int64) * spread
    passing = {key: row for key, row in truth.items() if wanted is None or key in set(wanted.tolist())}
    for is_exact in {True, not partition.approximate}:
        scores, ids = partition.search(queries, k, wanted, exact=is_exact)
        assert_honest(scores, ids, queries, k, passing)
        if is_exact:
            assert_best(scores, queries, passing)
    if partition.approximate:
        assert_honest(*partition.search(queries, k, wanted), queries, k, passing)


def assert_honest(
    scores: np.ndarray, found: np.ndarray, queries: np.ndarray, k: int, passing: dict[int, np.ndarray]
) -> None:
    """Never an outsider, never too few, never twice, best first, with true scores."""
    count = min(k, len(passing))
    assert scores.shape == found.shape == (len(queries), k)
    assert np.all(found[:, count:] == -1)
    assert np.all(np.isneginf(scores[:, count:]))
    for query, row_scores, row in zip(queries, scores[:, :count], found[:, :count], strict=True):
        assert len(set(row.tolist())) == count
        assert set(row.tolist()) <= passing.keys()
        expected = np.array([passing[key] @ query for key in row.tolist()])
        assert np.allclose(row_scores, expected, atol=2e-6)
        assert np.all(np.diff(row_scores) <= 0)


def assert_best(scores: np.ndarray, queries: np.ndarray, passing: dict[int, np.ndarray]) -> None:
    matrix = np.array(list(passing.values()), np.float32).reshape(-1, DIMENSION)
    best = -np.sort(-(queries @ matrix.T), axis=1)[:, : scores.shape[1]]
    assert np.allclose(scores[:, : best.shape[1]], best, atol=2e-6)
