"""Any index, any library, any history of changes, any filter: the same answers as NumPy over a plain dict.

The exact index must find the very best rows. The approximate ones may miss, but never return an item
outside the filter, never too few, never twice, never with a wrong score, and when told to be exact they are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.index.partition import Partition, PartitionOptions
from search.index.planner import Lists, Plan, Way
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
change = st.one_of(
    st.tuples(st.just("add"), ids),
    st.tuples(st.just("remove"), ids),
    st.tuples(st.just("tend"), st.just([])),
)
history = st.lists(change, max_size=12)
allowed = st.one_of(st.none(), st.lists(st.integers(0, IDS + 5), max_size=40))


def exact() -> Partition:
    return Partition(DIMENSION)


def lists() -> Partition:
    return Partition(DIMENSION, PartitionOptions(ivf_threshold=10))


def on_device() -> Partition:
    return Partition(DIMENSION, PartitionOptions(device="cpu"))


def probed() -> Partition:
    return Partition(DIMENSION, PartitionOptions(ivf_threshold=10, plan=lambda *_: Plan(Way.PROBE, 1)))


def narrowed() -> Partition:
    def plan(_rows: int, matches: int | None, _dimension: int, _lists: Lists) -> Plan:
        return Plan(Way.PROBE if matches is None else Way.NARROW, 1)

    return Partition(DIMENSION, PartitionOptions(ivf_threshold=10, plan=plan))


@pytest.mark.parametrize("make", [exact, lists, probed, narrowed, on_device])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    history=history,
    allowed=allowed,
    k=st.integers(1, 70),
    query_rows=st.lists(st.integers(0, 199), min_size=1, max_size=9),
    spread=spread,
    seed=st.integers(0, 1000),
)
def test_an_index_answers_like_numpy(
    make: Callable[[], Partition],
    history: list[tuple[str, list[int]]],
    allowed: list[int] | None,
    k: int,
    query_rows: list[int],
    spread: int,
    seed: int,
) -> None:
    check_history(make(), history, allowed, k, query_rows, spread, seed)


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
        scores, found = partition.search(queries, k, wanted, exact=is_exact)
        assert_honest(scores, found, queries, k, passing)
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


@pytest.mark.parametrize("make", [probed, narrowed])
def test_the_approximate_ways_are_really_taken(make: Callable[[], Partition]) -> None:
    partition = make()
    partition.add(np.arange(150), POOL[:150])
    partition.tend()
    assert partition.approximate
    queries = POOL[150:].astype(np.float32)
    filtered = np.arange(0, 150, 3)
    missed = [
        np.any(partition.search(queries, 1, allowed)[1] != partition.search(queries, 1, allowed, exact=True)[1])
        for allowed in (None, filtered)
    ]
    assert all(missed), "one list of many can't hold every answer"
