"""Milvus behind the same interface as our own partitions, held to the same properties, on Milvus Lite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from support.index_oracle import DIMENSION, POOL, allowed, check_history, history, spread

pytest.importorskip("pymilvus", reason="pymilvus is not installed: pip install 'medley-search[milvus]'")
pytest.importorskip("milvus_lite", reason="Milvus Lite is not installed: pip install 'medley-search[milvus]'")

from pymilvus import MilvusClient

from search.errors import PartitionError
from search.index.milvus import MOST_RESULTS, Milvus, MilvusPartition
from search.settings import Settings


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
    _, ids = partition.search(query, 25, wanted)
    assert np.array_equal(ids, partition.truth(query, 25, wanted))


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


class RecordingClient:
    """Takes what is asked of a server that nobody has here, and tells of one collection."""

    def __init__(self) -> None:
        self.created: dict[str, dict[str, Any]] = {}
        self.searched: list[dict[str, Any]] = []
        self.read: list[dict[str, Any]] = []

    def has_collection(self, name: str, **_: Any) -> bool:
        return name in self.created

    def load_collection(self, *_: Any, **__: Any) -> None:
        pass

    def create_schema(self, **more: Any) -> Any:
        return MilvusClient.create_schema(**more)

    def prepare_index_params(self) -> Any:
        return MilvusClient.prepare_index_params()

    def create_collection(self, name: str, **more: Any) -> None:
        self.created[name] = more

    def search(self, name: str, **more: Any) -> list[list[Any]]:
        self.searched.append(more)
        return [[] for _ in more["data"]]

    def get(self, name: str, **more: Any) -> list[Any]:
        self.read.append(more)
        return []

    query = get


@pytest.mark.parametrize("kind", get_args(get_type_hints(Settings, include_extras=True)["milvus_index"]))
def test_new_collections_have_the_index_and_the_consistency_of_the_settings(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = RecordingClient()
    monkeypatch.setattr("pymilvus.MilvusClient", lambda *_, **__: client)
    milvus = Milvus("http://milvus:19530", kind, "Bounded")
    partition = milvus.partition("starter_image", DIMENSION)
    made = client.created["medley_starter_image"]
    index = made["index_params"][0]
    assert (index.index_type, index.to_dict()["metric_type"]) == (kind, "IP")
    assert made["consistency_level"] == "Bounded"
    state = client.created["medley_state"]
    assert (state["index_params"][0].index_type, state["consistency_level"]) == ("FLAT", "Strong")
    query = np.eye(1, DIMENSION, dtype=np.float32)
    partition.search(query, 10)
    assert client.searched[0]["limit"] == 10
    assert all(isinstance(value, int) for value in client.searched[0]["search_params"]["params"].values())
    partition.remove(np.array([1, 2]))
    assert client.read[-1]["consistency_level"] == "Strong", "else a row written just now would not be removed"
    before = len(client.searched)
    partition.search(query, 1500)
    assert (len(client.searched) == before) == kind.startswith("GPU"), "GPUs give 1,024 results at most"
