"""Milvus behind the same interface as our own partitions, held to the same properties, on Milvus Lite."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from test_partition_properties import DIMENSION, POOL, allowed, check_history, history, spread

pytest.importorskip("pymilvus", reason="pymilvus is not installed: pip install 'medley[milvus]'")
pytest.importorskip("milvus_lite", reason="Milvus Lite is not installed: pip install 'medley[milvus]'")

from search.errors import PartitionError
from search.index.milvus import MOST_RESULTS, Milvus, MilvusPartition


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Milvus]:
    milvus = Milvus(str(tmp_path_factory.mktemp("milvus") / "milvus.db"))
    yield milvus
    milvus.close()


@pytest.fixture
def partition(milvus: Milvus) -> Iterator[MilvusPartition]:
    partition = milvus.partition("test-image", DIMENSION)
    yield partition
    milvus.drop(partition)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=history, allowed=allowed, spread=spread)
def test_milvus_answers_like_numpy(
    milvus: Milvus, history: list[tuple[str, list[int]]], allowed: list[int] | None, spread: int
) -> None:
    partition = milvus.partition("property", DIMENSION)
    try:
        check_history(partition, history, allowed, k=7, query_rows=[0, 3, 55], spread=spread, seed=1)
    finally:
        milvus.drop(partition)


def test_rows_and_scores_come_back(partition: MilvusPartition) -> None:
    partition.add(np.arange(20), POOL[:20])
    query = POOL[100].astype(np.float32)
    assert np.allclose(partition.vectors(np.array([3, 99])), [POOL[3].astype(np.float32), np.zeros(DIMENSION)])
    scores = partition.score(query, np.array([3, 99]))
    assert scores[0] == pytest.approx(float(POOL[3].astype(np.float32) @ query), abs=1e-6)
    assert np.isneginf(scores[1])
    assert np.array_equal(partition.ids(), np.arange(20))


def test_a_long_filter_is_asked_in_parts(partition: MilvusPartition, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.index.milvus._IDS_AT_ONCE", 7)
    partition.add(np.arange(40), POOL[:40])
    query = POOL[100:101].astype(np.float32)
    wanted = np.arange(0, 40, 2)
    _, found = partition.search(query, 25, wanted)
    assert np.array_equal(found, partition.truth(query, 25, wanted))


def test_where_a_collection_stands_is_remembered_for_its_owner_alone(
    milvus: Milvus, partition: MilvusPartition
) -> None:
    assert milvus.sequence(partition, "me") is None
    milvus.save(partition, "me", 42)
    assert milvus.sequence(partition, "me") == 42
    assert milvus.sequence(partition, "another catalogue") is None


def test_more_results_than_milvus_gives_are_refused(partition: MilvusPartition) -> None:
    with pytest.raises(PartitionError, match="16384"):
        partition.search(POOL[:1].astype(np.float32), MOST_RESULTS + 1)


def test_a_server_that_is_away_is_a_plain_error() -> None:
    with pytest.raises(PartitionError, match="milvus_uri"):
        Milvus("http://127.0.0.1:9")
