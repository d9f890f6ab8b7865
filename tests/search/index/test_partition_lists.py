"""Partitions beyond the threshold: built in the background, exact where told, growing and shrinking."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from search.errors import PartitionError
from search.index.audit import SELECTIVITIES, audit, audit_partitions
from search.index.partition import Partition, PartitionOptions
from search.index.planner import Lists, Plan, Way, plan_approximate, plan_lists, widened
from search.index.stores.ivf_building import TARGET_RECALL, needed_lists, recall
from search.index.stores.snapshot import Contents, read_snapshot, write_snapshot
from search.signals import Signal

DIMENSION = 64
THRESHOLD = 2000


def clustered(count: int, seed: int = 0, cone: float = 1.0) -> np.ndarray:
    """Rows around 100 topics, in one cone: with another `cone`, in another one, as texts to images."""
    topics = np.random.default_rng(99).standard_normal((100, DIMENSION))
    rng = np.random.default_rng(seed)
    rows = topics[rng.integers(0, 100, count)] + 0.7 * rng.standard_normal((count, DIMENSION))
    rows += cone * 3
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


IMAGES, TEXTS = clustered(6000), clustered(80, seed=1, cone=-1.0)


def never_exact(rows: int, matches: int | None, dimension: int, lists: Lists) -> Plan:
    """With so few rows every plan would be exact."""
    return plan_approximate(rows, matches, dimension, lists).plan


@pytest.fixture
def partition(tmp_path: Path) -> Partition:
    partition = Partition(
        DIMENSION, PartitionOptions(ivf_threshold=THRESHOLD, folder=tmp_path / "rows", plan=never_exact)
    )
    partition.add(np.arange(THRESHOLD), IMAGES[:THRESHOLD])
    partition.tend()
    return partition


def recall_of(partition: Partition, queries: np.ndarray, allowed: np.ndarray | None = None) -> float:
    return recall(partition.truth(queries, 10, allowed), partition.search(queries, 10, allowed)[1])


def test_a_partition_becomes_approximate_at_the_threshold_and_not_before() -> None:
    partition = Partition(DIMENSION, PartitionOptions(ivf_threshold=THRESHOLD))
    partition.add(np.arange(THRESHOLD - 1), IMAGES[: THRESHOLD - 1])
    assert not partition.needs_tending()
    partition.add(np.array([THRESHOLD]), IMAGES[:1])
    assert partition.needs_tending()
    partition.tend()
    assert partition.approximate
    assert len(partition) == THRESHOLD


def test_it_takes_a_fraction_of_the_memory(partition: Partition) -> None:
    flat = Partition(DIMENSION)
    flat.add(np.arange(THRESHOLD), IMAGES[:THRESHOLD])
    assert partition.size_bytes < flat.size_bytes


def test_texts_find_images_as_well_as_images_do(partition: Partition) -> None:
    assert recall_of(partition, clustered(80, seed=2)) >= TARGET_RECALL - 0.05
    assert recall_of(partition, TEXTS) >= TARGET_RECALL - 0.05


@pytest.mark.parametrize("selectivity", [0.001, 0.01, 0.1, 0.5, 1.0])
def test_filters_do_not_ruin_recall(partition: Partition, selectivity: float) -> None:
    allowed = np.random.default_rng(3).permutation(THRESHOLD)[: int(THRESHOLD * selectivity)]
    assert recall_of(partition, TEXTS, allowed) >= TARGET_RECALL - 0.05


def test_exact_rows_are_those_of_the_catalogue(partition: Partition) -> None:
    ids = np.array([5, 1999, 7])
    assert np.array_equal(partition.vectors(ids), IMAGES[ids].astype(np.float16).astype(np.float32))
    scores = partition.score(TEXTS[0], np.array([5, 99_999]))
    assert scores[0] == pytest.approx(float(IMAGES[5] @ TEXTS[0]), abs=1e-3)
    assert np.isneginf(scores[1])


def test_it_is_built_anew_when_it_has_doubled_or_is_full_of_dead_rows(partition: Partition) -> None:
    assert not partition.needs_tending()
    partition.add(np.arange(THRESHOLD, 2 * THRESHOLD + 1), IMAGES[THRESHOLD : 2 * THRESHOLD + 1])
    assert partition.needs_tending()
    partition.tend()
    assert not partition.needs_tending()
    partition.remove(np.arange(0, 1200))
    assert partition.needs_tending()
    before = partition.size_bytes
    partition.tend()
    assert partition.size_bytes < before
    assert len(partition) == THRESHOLD + 1 - 1200 + THRESHOLD


def test_it_becomes_exact_again_when_it_has_shrunk(partition: Partition) -> None:
    partition.remove(np.arange(THRESHOLD // 2 + 10, THRESHOLD))
    partition.tend()
    assert partition.approximate, "not at once, or it would change with every file"
    partition.remove(np.arange(20))
    partition.tend()
    assert not partition.approximate
    assert np.array_equal(np.sort(partition.ids()), np.arange(20, THRESHOLD // 2 + 10))


def test_live_queries_decide_how_far_a_search_looks(partition: Partition) -> None:
    """Queries that fit no topic are harder than any the build could imagine."""
    hard = np.random.default_rng(4).standard_normal((300, DIMENSION)).astype(np.float32)
    before = recall_of(partition, hard[:100])
    for query in hard:
        partition.search(query[None], 10)
    assert partition.needs_tending()
    partition.tend()
    assert not partition.needs_tending()
    assert before < TARGET_RECALL - 0.03 <= recall_of(partition, hard[:100])


def test_changes_during_a_build_are_not_lost(tmp_path: Path) -> None:
    partition = Partition(DIMENSION, PartitionOptions(ivf_threshold=THRESHOLD, folder=tmp_path))
    partition.add(np.arange(3000), IMAGES[:3000])
    building = threading.Thread(target=partition.tend)
    building.start()
    truth = dict.fromkeys(range(3000), 0)
    for step in range(40):
        partition.remove(np.arange(step * 10, step * 10 + 5))
        partition.add(np.arange(3000 + step * 10, 3010 + step * 10), IMAGES[3000 + step * 10 : 3010 + step * 10])
        partition.add(np.array([2999]), IMAGES[step : step + 1])
        for gone in range(step * 10, step * 10 + 5):
            del truth[gone]
        truth.update(dict.fromkeys(range(3000 + step * 10, 3010 + step * 10), 0))
        _, ids = partition.search(IMAGES[step : step + 1], 5)
        assert np.all(ids >= 0)
    building.join()
    partition.tend()
    assert partition.approximate
    assert np.array_equal(np.sort(partition.ids()), sorted(truth))
    assert np.allclose(partition.vectors(np.array([2999])), IMAGES[39], atol=1e-3)


def test_a_build_can_be_called_off(tmp_path: Path) -> None:
    partition = Partition(DIMENSION, PartitionOptions(ivf_threshold=THRESHOLD, folder=tmp_path))
    partition.add(np.arange(THRESHOLD), IMAGES[:THRESHOLD])
    partition.tend(cancelled=lambda: True)
    assert not partition.approximate
    assert recall_of(partition, TEXTS) == 1.0


def test_searches_go_on_while_the_store_grows(partition: Partition) -> None:
    stop, wrong = threading.Event(), []

    def search() -> None:
        while not stop.is_set():
            scores, ids = partition.search(TEXTS[:3], 10)
            expected = np.einsum("nd,nkd->nk", TEXTS[:3], IMAGES[ids])
            if not np.allclose(scores, expected, atol=2e-3):
                wrong.append(ids)

    thread = threading.Thread(target=search)
    thread.start()
    for start in range(THRESHOLD, 6000, 100):
        partition.add(np.arange(start, start + 100), IMAGES[start : start + 100])
    stop.set()
    thread.join()
    assert not wrong


def test_a_snapshot_spares_building_again(partition: Partition, tmp_path: Path) -> None:
    partition.remove(np.arange(0, 100, 3))
    partition.save(tmp_path / "a", "print", 3)
    again, sequence = Partition.load(
        tmp_path / "a", "print", PartitionOptions(ivf_threshold=THRESHOLD, folder=tmp_path, plan=never_exact)
    )
    assert (sequence, again.approximate, again.needs_tending()) == (3, True, False)
    assert np.array_equal(again.search(TEXTS, 10)[1], partition.search(TEXTS, 10)[1])
    again.add(np.arange(5000, 5100), IMAGES[5000:5100])
    assert np.array_equal(again.search(IMAGES[5000:5100], 1)[1][:, 0], np.arange(5000, 5100))
    assert np.array_equal(np.sort(again.ids())[:3], [1, 2, 4])


def test_lists_that_do_not_fit_their_rows_are_refused(partition: Partition, tmp_path: Path) -> None:
    partition.save(tmp_path / "good", "print")
    contents = read_snapshot(tmp_path / "good")[1]
    for number, odd in enumerate(
        (
            Contents(contents.ids[:-1], contents.rows[:-1], contents.tuning, contents.index),
            Contents(contents.ids, contents.rows, contents.tuning, np.zeros(100, np.uint8)),
        )
    ):
        write_snapshot(tmp_path / str(number), "print", 1, odd)
        with pytest.raises(PartitionError):
            Partition.load(tmp_path / str(number), "print")


def test_few_matches_are_scored_exactly_many_are_probed() -> None:
    shape = Lists(count=4000, nprobe=16, filtered=60)
    assert plan_lists(1_000_000, 0, 512, shape).way is Way.GATHER
    assert plan_lists(1_000_000, 500, 512, shape).way is Way.GATHER
    assert plan_lists(1_000_000, 3_000, 512, shape).way in (Way.GATHER, Way.SCAN)
    assert plan_lists(1_000_000, 100_000, 512, shape).way is Way.NARROW
    assert plan_lists(1_000_000, 500_000, 512, shape).way is Way.PROBE
    assert plan_lists(1_000_000, None, 512, shape).way is Way.PROBE


def test_rare_matches_are_looked_for_in_more_lists_but_never_in_more_than_there_are() -> None:
    shape = Lists(count=1000, nprobe=10, filtered=40)
    assert widened(shape, 1.0) == 10
    assert widened(shape, 10**-0.5) == 20, "half way between what was measured"
    assert widened(shape, 0.1) == 40
    assert widened(shape, 0.01) == 400
    assert widened(shape, 0.001) == 1000
    assert widened(shape, 0.0) == 1000
    assert widened(Lists(count=1000, nprobe=10, filtered=5), 0.5) == 10
    assert widened(Lists(count=7, nprobe=7, filtered=7), 0.5) == 7


def test_codes_are_never_probed_for_more_rows_than_an_unfiltered_query_sees() -> None:
    scattered = Lists(count=1000, nprobe=10, filtered=900)
    assert plan_approximate(100_000, 50_000, 512, scattered).plan == Plan(Way.PROBE, 20)
    assert plan_approximate(100_000, None, 512, scattered).plan == Plan(Way.PROBE, 10)


def test_the_lists_of_filtered_queries_are_measured(partition: Partition) -> None:
    assert needed_lists([np.array([[1, 2, 3, -1]]), np.array([[4] * 99 + [900]])]) == 4
    assert needed_lists([np.array([[-1, -1]])]) == 1
    lists = partition.lists
    assert lists is not None
    # Topics have twenty rows each here: of a tenth of them, the ten closest lie far apart.
    assert lists.nprobe < lists.filtered < lists.count
    assert recall_of(partition, TEXTS, np.arange(0, THRESHOLD, 10)) >= 0.98


def test_an_audit_of_an_exact_partition_finds_nothing_missing() -> None:
    flat = Partition(DIMENSION)
    flat.add(np.arange(1000), IMAGES[:1000])
    report = audit(Signal.IMAGE, flat)
    assert [row.recall for row in report.recall] == [1.0] * len(SELECTIVITIES)
    assert (report.vectors, report.approximate, report.queries) == (1000, False, 32)


def test_an_audit_sees_what_lists_miss_and_that_filters_hold(partition: Partition) -> None:
    partition.search(TEXTS[:7], 10)
    asked = partition.live_queries()
    report = audit(Signal.IMAGE, partition)
    assert report.approximate
    assert report.live_queries == 7
    assert all(0.9 <= row.recall <= 1.0 for row in report.recall)
    assert all(row.returned_too_few == row.outside_filter == 0 for row in report.recall)
    assert np.array_equal(partition.live_queries(), asked), "an audit's own questions are no live queries"


def test_an_audit_leaves_empty_partitions_out() -> None:
    assert audit_partitions({Signal.IMAGE: Partition(4)}) == ()
