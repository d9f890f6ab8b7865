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
from support.gpu_twin import TwinFaiss
from support.index_oracle import DIMENSION, POOL, allowed, check_history, history, spread

from search.index.gpu import Gpu
from search.index.partition import Partition, PartitionOptions
from search.index.planner import Lists, Plan, Way


def exact() -> Partition:
    return Partition(DIMENSION)


def lists() -> Partition:
    return Partition(DIMENSION, PartitionOptions(ivf_threshold=10))


def on_gpu(cuvs: bool, cards: int, ivf_threshold: int | None) -> Callable[[], Partition]:
    """Every row goes to a card at once, and every search to the cards."""
    return lambda: Partition(
        DIMENSION, PartitionOptions(gpu=Gpu(TwinFaiss(cuvs), range(cards)), gpu_ivf_threshold=ivf_threshold)
    )


def probed() -> Partition:
    return Partition(DIMENSION, PartitionOptions(ivf_threshold=10, plan=lambda *_: Plan(Way.PROBE, 1)))


def narrowed() -> Partition:
    def plan(_rows: int, matches: int | None, _dimension: int, _lists: Lists) -> Plan:
        return Plan(Way.PROBE if matches is None else Way.NARROW, 1)

    return Partition(DIMENSION, PartitionOptions(ivf_threshold=10, plan=plan))


@pytest.fixture(autouse=True)
def small_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.index.gpu.PART_ROWS", 25)
    monkeypatch.setattr("search.index.stores.gpu_flat.WORTH_ADDING", 3)
    monkeypatch.setattr("search.index.stores.gpu_flat.ADDED_ROWS", 7)
    monkeypatch.setattr("search.index.stores.gpu_ivf.WORTH_ADDING", 3)
    monkeypatch.setattr("search.index.stores.gpu_ivf.ADDED_ROWS", 7)
    monkeypatch.setattr("search.index.planner._FEW_FOR_GPU", 0)


@pytest.mark.parametrize(
    "make",
    [
        exact,
        lists,
        probed,
        narrowed,
        pytest.param(on_gpu(True, 1, None), id="gpu"),
        pytest.param(on_gpu(False, 1, None), id="gpu without selectors"),
        pytest.param(on_gpu(True, 3, None), id="three gpus"),
        pytest.param(on_gpu(True, 1, 10), id="lists on a gpu"),
        pytest.param(on_gpu(False, 2, 10), id="lists on two gpus"),
    ],
)
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
