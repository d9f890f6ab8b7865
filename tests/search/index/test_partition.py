"""A partition finds exactly what NumPy finds, while rows come, change and go."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from search.errors import PartitionError
from search.index.partition import Partition
from search.index.stores.snapshot import read_snapshot


def unit(count: int, dimension: int = 16, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def filled(count: int, dimension: int = 16) -> tuple[Partition, np.ndarray, np.ndarray]:
    ids, vectors = np.arange(100, 100 + count), unit(count, dimension)
    partition = Partition(dimension)
    partition.add(ids, vectors)
    return partition, ids, vectors


def test_search_returns_the_closest_rows_best_first() -> None:
    partition, ids, vectors = filled(500)
    queries = unit(7, seed=1)
    scores, found_ids = partition.search(queries, 10)
    assert np.array_equal(found_ids[:, 0], ids[np.argmax(queries @ vectors.T, axis=1)])
    assert np.allclose(scores, np.sort(queries @ vectors.T, axis=1)[:, ::-1][:, :10], atol=1e-5)
    assert scores.dtype == np.float32
    assert found_ids.dtype == np.int64


def test_fewer_rows_than_asked_for_are_padded() -> None:
    partition, ids, _ = filled(3)
    scores, found_ids = partition.search(unit(1), 5)
    assert sorted(found_ids[0, :3]) == list(ids)
    assert list(found_ids[0, 3:]) == [-1, -1]
    assert np.all(np.isneginf(scores[0, 3:]))


def test_an_empty_partition_finds_nothing() -> None:
    scores, ids = Partition(16).search(unit(2), 3)
    assert np.all(ids == -1)
    assert np.all(np.isneginf(scores))


@pytest.mark.parametrize("queries", [1, 3, 4, 40])
@pytest.mark.parametrize("matches", [1, 5, 30, 400, 499])
def test_a_filter_never_lets_an_outsider_in_and_never_returns_too_few(queries: int, matches: int) -> None:
    partition, ids, vectors = filled(500)
    chosen = np.random.default_rng(2).permutation(500)[:matches]
    wanted = unit(queries, seed=3)
    _, found_ids = partition.search(wanted, 20, allowed=ids[chosen])
    count = min(20, matches)
    expected = -np.sort(-(wanted @ vectors[chosen].T), axis=1)[:, :count]
    assert np.isin(found_ids[:, :count], ids[chosen]).all()
    assert all(len(set(row)) == count for row in found_ids[:, :count])
    # By score and not by id: rows that are equally close up to rounding may change places.
    assert np.allclose(np.einsum("nd,nkd->nk", wanted, vectors[found_ids[:, :count] - 100]), expected, atol=1e-5)
    assert np.all(found_ids[:, count:] == -1)


def test_a_filter_may_repeat_ids_and_name_ids_that_are_not_held() -> None:
    partition, ids, _ = filled(50)
    _, found_ids = partition.search(unit(1), 5, allowed=np.array([ids[4], ids[4], 7, 10**12, ids[9]]))
    assert sorted(found_ids[0]) == [-1, -1, -1, ids[4], ids[9]]


def test_a_filter_that_comes_again_is_resolved_anew_after_changes() -> None:
    partition, ids, vectors = filled(4000)
    allowed = np.concatenate([ids[:2000], [9000]])
    queries = vectors[[5, 7, 4001 % 4000]]
    assert np.array_equal(partition.search(queries, 1, allowed)[1][:, 0], ids[[5, 7, 1]])
    partition.remove(ids[5:6])
    partition.add(np.array([9000]), vectors[5:6])
    assert np.array_equal(partition.search(queries, 1, allowed)[1][:, 0], [9000, ids[7], ids[1]])
    partition.add(ids[5:6], vectors[7:8])
    partition.remove(np.array([9000, ids[7]]))
    assert np.array_equal(partition.search(queries, 1, allowed)[1][1:, 0], ids[[5, 1]])


def test_a_filter_that_its_caller_changes_is_another_filter() -> None:
    partition, ids, vectors = filled(4000)
    allowed = ids[:2000].copy()
    partition.search(vectors[:1], 1, allowed)
    allowed[:] = ids[2000:]
    _, found_ids = partition.search(vectors[:1], 5, allowed)
    assert np.all(np.isin(found_ids, ids[2000:]))


def test_an_empty_filter_matches_nothing() -> None:
    partition, _, _ = filled(50)
    _, ids = partition.search(unit(1), 5, allowed=np.empty(0, np.int64))
    assert np.all(ids == -1)


def test_adding_an_id_again_replaces_its_row() -> None:
    partition, ids, vectors = filled(50)
    partition.add(ids[7:8], vectors[9:10])
    assert len(partition) == 50
    _, found_ids = partition.search(vectors[9:10], 2)
    assert set(found_ids[0]) == {ids[7], ids[9]}


def test_the_last_row_of_a_repeated_id_wins() -> None:
    partition, vectors = Partition(16), unit(2)
    partition.add(np.array([5, 5]), vectors)
    assert len(partition) == 1
    assert np.allclose(partition.vectors(np.array([5])), vectors[1:])


def test_removed_rows_are_never_found_again_and_the_rest_stays() -> None:
    partition, ids, vectors = filled(200)
    gone = np.random.default_rng(4).permutation(200)[:120]
    assert partition.remove(np.concatenate([ids[gone], [3]])) == 120
    left = np.setdiff1d(np.arange(200), gone)
    assert np.array_equal(np.sort(partition.ids()), ids[left])
    assert np.allclose(partition.vectors(ids[left]), vectors[left])
    _, found_ids = partition.search(vectors, 200)
    assert set(found_ids.ravel()) == {*ids[left], -1}


def test_removing_everything_leaves_an_empty_partition_that_can_grow() -> None:
    partition, ids, vectors = filled(30)
    partition.remove(ids)
    assert len(partition) == 0
    partition.add(ids, vectors)
    assert np.array_equal(partition.search(vectors, 1)[1][:, 0], ids)


def test_scores_are_exact_and_minus_infinity_for_strangers() -> None:
    partition, ids, vectors = filled(20)
    query = unit(1, seed=5)[0]
    scores = partition.score(query, np.array([ids[3], 9, ids[8]]))
    assert np.allclose(scores[[0, 2]], vectors[[3, 8]] @ query, atol=1e-6)
    assert np.isneginf(scores[1])
    assert not partition.vectors(np.array([9])).any()


def test_float16_rows_are_taken_as_the_catalogue_stores_them() -> None:
    partition, vectors = Partition(16), unit(5).astype(np.float16)
    partition.add(np.arange(5), vectors)
    assert np.array_equal(partition.vectors(np.arange(5)), vectors.astype(np.float32))


@pytest.mark.parametrize(
    ("vectors", "reason"),
    [
        (unit(2).astype(np.float64), "float64"),
        (unit(2, 15), "shape"),
        (unit(3), "2 ids"),
        (np.zeros((2, 16), np.float32), "length"),
        (np.full((2, 16), np.nan, np.float32), "length"),
        (unit(2) * 3, "length"),
    ],
)
def test_rows_that_would_spoil_the_partition_are_refused(vectors: np.ndarray, reason: str) -> None:
    partition = Partition(16)
    with pytest.raises(PartitionError, match=reason):
        partition.add(np.arange(2), vectors)
    assert len(partition) == 0


@pytest.mark.parametrize(
    "query",
    [unit(1).astype(np.float64), unit(1, 8), np.zeros((1, 16), np.float32), np.full((1, 16), np.inf, np.float32)],
)
def test_queries_without_a_direction_are_refused(query: np.ndarray) -> None:
    partition, _, _ = filled(5)
    with pytest.raises(PartitionError):
        partition.search(query, 1)


@pytest.mark.parametrize("ids", [np.array([-1, 2]), np.array([0.5, 1.0]), np.array([[1, 2]])])
def test_ids_that_are_no_segment_ids_are_refused(ids: np.ndarray) -> None:
    with pytest.raises(PartitionError, match="ids"):
        Partition(16).add(ids, unit(2))


def test_a_snapshot_brings_everything_back(tmp_path: Path) -> None:
    partition, ids, vectors = filled(300)
    partition.remove(ids[:50])
    partition.save(tmp_path / "a", "print", 42)
    again, sequence = Partition.load(tmp_path / "a", "print")
    assert sequence == 42
    assert np.array_equal(again.search(vectors, 5)[1], partition.search(vectors, 5)[1])
    again.remove(ids[60:70])
    again.add(ids[:5], vectors[:5])
    assert len(again) == 245
    assert len(Partition.load(tmp_path / "a", "print")[0]) == 250, "the file must not change with its readers"


def test_an_empty_partition_has_a_snapshot_too(tmp_path: Path) -> None:
    Partition(16).save(tmp_path / "a", "print", 7)
    again, sequence = Partition.load(tmp_path / "a", "print")
    assert (len(again), again.dimension, sequence) == (0, 16, 7)


@pytest.mark.parametrize("damage", ["cut", "flip", "grow", "header", "magic", "empty", "absent"])
def test_a_damaged_snapshot_is_refused(tmp_path: Path, damage: str) -> None:
    partition, _, _ = filled(300)
    path = tmp_path / "a"
    partition.save(path, "print", 1)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[20_000] ^= 1
    damaged = {
        "cut": whole[:-1],
        "flip": bytes(flipped),
        "grow": whole + b"x",
        "header": whole.replace(b'"count":300', b'"count":-30'),
        "magic": b"X" + whole[1:],
        "empty": b"",
    }
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes(damaged[damage])
    with pytest.raises(PartitionError):
        read_snapshot(path)


def test_a_snapshot_of_another_space_is_refused(tmp_path: Path) -> None:
    filled(3)[0].save(tmp_path / "a", "one")
    with pytest.raises(PartitionError, match="belongs"):
        Partition.load(tmp_path / "a", "two")


def test_a_failed_write_leaves_the_old_snapshot_and_no_litter(tmp_path: Path) -> None:
    filled(3)[0].save(tmp_path / "a", "print", 1)
    (tmp_path / "b").mkdir()
    with pytest.raises(OSError, match="b"):
        filled(4)[0].save(tmp_path / "b", "print", 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_what_killed_writers_left_is_removed_but_not_what_others_are_writing(tmp_path: Path) -> None:
    old, young = tmp_path / ".a.old.part", tmp_path / ".a.young.part"
    old.touch()
    young.touch()
    os.utime(old, (1, 1))
    filled(3)[0].save(tmp_path / "a", "print")
    assert (old.exists(), young.exists()) == (False, True)


def test_searches_never_see_a_half_made_change() -> None:
    """Ids come and go in pairs with one vector each; a search must find the row of the id it names."""
    dimension = 8
    partition, vectors = Partition(dimension), unit(4000, dimension)
    partition.add(np.arange(1000), vectors[:1000])
    stop, wrong = threading.Event(), []

    def search() -> None:
        rng = np.random.default_rng()
        while not stop.is_set():
            queries = vectors[rng.integers(0, 4000, 3)]
            scores, found_ids = partition.search(queries, 20)
            expected = np.einsum("nd,nkd->nk", queries, vectors[found_ids])
            if not np.allclose(scores, expected, atol=1e-4) or any(len(set(row)) < 20 for row in found_ids):
                wrong.append(found_ids)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    rng = np.random.default_rng(1)
    for _ in range(60):
        ids = rng.integers(0, 4000, 200)
        partition.add(ids, vectors[ids])
        partition.remove(rng.integers(0, 4000, 100))
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong


def test_memory_follows_what_is_held_not_the_history_of_ids() -> None:
    partition, vectors = Partition(4), unit(5000, 4)
    for start in range(0, 2_000_000, 50_000):
        partition.remove(partition.ids())
        partition.add(np.arange(start, start + 5000), vectors)
    assert partition.size_bytes < 5000 * (4 * 4 + 8 + 4) * 3
