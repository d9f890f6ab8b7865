"""Search on GPUs finds what the CPU finds, never leaves a filter, and ends on the CPU where a card fails.

On a stand-in for FAISS's GPU API everywhere (`support/gpu_twin.py`), and on GPUs where FAISS sees any.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from support.gpu_twin import TwinFaiss, faiss
from support.paths import ROOT
from support.processes import environment, medley

from search.index import gpu as gpu_module
from search.index.gpu import Gpu, find_gpu, installed_builds
from search.index.partition import Partition, PartitionOptions
from search.index.planner import GpuWay, Lists, Plan, plan_approximate, plan_gpu

DIMENSION = 64
ROWS_HELD = 5000


def unit(count: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


ROWS, QUERIES = unit(ROWS_HELD, 0), unit(20, 1)
needs_gpu = pytest.mark.skipif(not getattr(faiss, "get_num_gpus", int)(), reason="FAISS sees no GPU: a twin stands in")


@pytest.fixture(
    params=["cuvs", "plain", "three cards", pytest.param("real", marks=needs_gpu)],
)
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpu]:
    """Small parts, so that thousands of rows fill several."""
    monkeypatch.setattr(gpu_module, "PART_ROWS", 1500)
    if request.param == "real":
        device = find_gpu("cuda")
        assert device is not None
        yield device
    else:
        yield Gpu(TwinFaiss(cuvs=request.param != "plain"), range(3 if request.param == "three cards" else 1))


def changed(partition: Partition) -> Partition:
    partition.add(np.arange(ROWS_HELD), ROWS)
    partition.remove(np.arange(0, 3000, 7))
    partition.add(np.arange(100, 200), ROWS[:100])
    return partition


def never_exact(rows: int, matches: int | None, dimension: int, lists: Lists) -> Plan:
    """What costs little is answered exactly otherwise, and so is everything in a library of thousands."""
    return plan_approximate(rows, matches, dimension, lists).plan


def on(gpu: Gpu, ivf_threshold: int | None = None, small_card: bool = False) -> Partition:
    cpu_threshold, gpu_threshold = (ivf_threshold, 10**9) if small_card else (None, ivf_threshold)
    return Partition(
        DIMENSION,
        PartitionOptions(gpu=gpu, gpu_ivf_threshold=gpu_threshold, ivf_threshold=cpu_threshold, plan=never_exact),
    )


@pytest.mark.parametrize("matches", [None, 3, 50, 1000, 4000])
@pytest.mark.parametrize("k", [1, 10, 200])
@pytest.mark.parametrize("batch", [1, 3, 20])
def test_a_gpu_finds_what_the_cpu_finds(gpu: Gpu, matches: int | None, k: int, batch: int) -> None:
    here, there = changed(Partition(DIMENSION)), changed(on(gpu))
    allowed = None if matches is None else np.random.default_rng(2).permutation(ROWS_HELD)[:matches]
    scores, ids = there.search(QUERIES[:batch], k, allowed)
    expected_scores, expected = here.search(QUERIES[:batch], k, allowed)
    assert np.allclose(scores, expected_scores, atol=1e-6)
    assert np.mean(ids == expected) > 0.97, "rows that are equally close up to rounding may change places"


def test_rows_closer_together_than_half_precision_are_told_apart(gpu: Gpu) -> None:
    """Rounded to half precision these rows are all alike; the answer must not depend on it."""
    here, there = Partition(DIMENSION), on(gpu)
    rows = ROWS[:1] + 1e-5 * unit(4000, 3)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    for partition in (here, there):
        partition.add(np.arange(4000), rows)
    for allowed in (None, np.arange(0, 4000, 3), np.arange(10, 4000)):
        expected, _ = here.search(ROWS[:1], 10, allowed)
        scores, _ = there.search(ROWS[:1], 10, allowed)
        assert np.allclose(scores, expected, atol=1e-7)


def test_a_snapshot_opens_on_the_gpu(gpu: Gpu, tmp_path: Path) -> None:
    here, there = changed(Partition(DIMENSION)), changed(on(gpu))
    here.save(tmp_path / "a", "print")
    again, _ = Partition.load(tmp_path / "a", "print", PartitionOptions(gpu=gpu))
    again.remove(np.arange(4000, 4100))
    there.remove(np.arange(4000, 4100))
    assert np.array_equal(again.search(QUERIES, 10)[1], there.search(QUERIES, 10)[1])


def test_above_the_threshold_lists_lie_on_the_gpu(gpu: Gpu, tmp_path: Path) -> None:
    """Approximate as on a CPU: the recall is that of the lists read, results pass the filter, scores are true."""
    there = changed(on(gpu, ivf_threshold=1000))
    assert there.needs_tending()
    there.tend()
    assert there.approximate
    there.add(np.arange(9000, 9500), ROWS[-500:])
    truth = there.truth(QUERIES, 10)
    _, ids = there.search(QUERIES, 10)
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(truth, ids, strict=True)]) > 0.9
    allowed = np.arange(0, ROWS_HELD, 2)
    scores, ids = there.search(QUERIES, 10, allowed)
    assert set(ids.ravel()) <= set(allowed.tolist())
    assert np.allclose(scores, np.einsum("qd,qkd->qk", QUERIES, there.vectors(ids.ravel()).reshape(20, 10, -1)))
    there.save(tmp_path / "lists", "print", 7)
    options = PartitionOptions(gpu=gpu, gpu_ivf_threshold=1000, plan=never_exact)
    again, sequence = Partition.load(tmp_path / "lists", "print", options)
    assert sequence == 7
    assert np.allclose(again.search(QUERIES, 10)[0], there.search(QUERIES, 10)[0])
    on_cpu, _ = Partition.load(tmp_path / "lists", "print", PartitionOptions(ivf_threshold=1000))
    assert on_cpu.approximate


def test_a_filter_never_reaches_an_index_that_ignores_it() -> None:
    plain, cuvs = TwinFaiss(cuvs=False), TwinFaiss(cuvs=True)
    asked = {}
    for twin in (plain, cuvs):
        gpu = Gpu(twin, [0])
        assert gpu.selectors == twin.cuvs
        before = twin.selected
        partition = changed(on(gpu))
        allowed = np.arange(0, ROWS_HELD, 2)
        for batch in (1, 20):
            assert set(partition.search(QUERIES[:batch], 50, allowed)[1].ravel()) <= set(allowed.tolist())
        asked[twin.cuvs] = twin.selected - before
    assert asked[False] == 0
    assert asked[True] > 0


def test_a_build_that_pretends_to_heed_filters_is_found_out() -> None:
    """It takes the selector and the cuVS flag without a word, and answers with every row."""

    class Pretender(TwinFaiss):
        def GpuIndexFlatIP(self, resources, dims, config):  # type: ignore[no-untyped-def]  # noqa: N802
            config.use_cuvs = False
            return super().GpuIndexFlatIP(resources, dims, config)

    assert not Gpu(Pretender(cuvs=False), [0]).selectors


def test_what_does_not_fit_is_searched_on_the_cpu_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    twin = TwinFaiss(card_bytes=2 * DIMENSION * 3000)
    with caplog.at_level(logging.WARNING):
        there = changed(on(Gpu(twin, [0])))
        _, ids = there.search(QUERIES, 10)
    assert np.array_equal(ids, changed(Partition(DIMENSION)).search(QUERIES, 10)[1])
    assert "out of memory" in caplog.text
    assert "CPU" in caplog.text


def test_what_does_not_fit_in_half_precision_takes_lists_of_eight_bits(caplog: pytest.LogCaptureFixture) -> None:
    twin = TwinFaiss(card_bytes=(DIMENSION + 8) * 6500)
    gpu = Gpu(twin, [0])
    there = on(gpu, 1000, small_card=True)
    there.add(np.arange(ROWS_HELD), ROWS)
    assert there.needs_tending(), "the CPU would have lists for so many rows"
    with caplog.at_level(logging.WARNING):
        there.tend()
    assert "8 bits" in caplog.text
    assert there.approximate
    assert not there.needs_tending()
    before = twin.calls
    assert np.mean(there.search(QUERIES, 10)[1] == there.truth(QUERIES, 10)) > 0.9
    assert twin.calls > before


def test_what_does_not_fit_at_all_has_lists_on_the_cpu(caplog: pytest.LogCaptureFixture) -> None:
    gpu = Gpu(TwinFaiss(card_bytes=100_000), [0])
    there = on(gpu, 1000, small_card=True)
    there.add(np.arange(ROWS_HELD), ROWS)
    there.tend()
    assert there.approximate
    assert not there.needs_tending()
    assert np.mean(there.search(QUERIES, 10)[1] == there.truth(QUERIES, 10)) > 0.9


@pytest.mark.parametrize("ivf_threshold", [None, 1000])
def test_a_card_that_fails_later_leaves_the_answers_as_they_were(
    ivf_threshold: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    twin = TwinFaiss()
    there = changed(on(Gpu(twin, [0]), ivf_threshold))
    there.tend()
    expected = there.search(QUERIES, 10, exact=True)[1]
    twin.broken = True
    with caplog.at_level(logging.WARNING):
        assert np.mean(there.search(QUERIES, 10)[1] == expected) > 0.9
    assert "unspecified launch failure" in caplog.text
    caplog.clear()
    there.search(QUERIES, 10)
    assert not caplog.text, "said once"


def test_several_cards_share_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one card could not hold, three do."""
    monkeypatch.setattr(gpu_module, "PART_ROWS", 1000)
    gpu = Gpu(TwinFaiss(card_bytes=2 * DIMENSION * 3000), range(3))
    there = changed(on(gpu))
    assert sorted(card.rows > 0 for card in gpu.cards) == [True, True, True]
    assert np.array_equal(there.search(QUERIES, 10)[1], changed(Partition(DIMENSION)).search(QUERIES, 10)[1])


def test_rows_that_are_gone_leave_the_cards_in_the_background(gpu: Gpu) -> None:
    there = on(gpu)
    there.add(np.arange(ROWS_HELD), ROWS)
    assert not there.needs_tending()
    there.remove(np.arange(0, ROWS_HELD, 2))
    assert there.needs_tending()
    there.tend()
    assert not there.needs_tending()
    assert sum(card.rows for card in gpu.cards) <= ROWS_HELD
    left = Partition(DIMENSION)
    left.add(np.arange(1, ROWS_HELD, 2), ROWS[1::2])
    assert np.array_equal(there.search(QUERIES, 10)[1], left.search(QUERIES, 10)[1])


def test_searches_and_changes_at_the_same_time_take_turns_on_a_card(gpu: Gpu) -> None:
    """The twin raises when two threads use one card; and nobody finds a row twice, or one that is gone."""
    partition = on(gpu)
    partition.add(np.arange(3000), ROWS[:3000])
    stop = threading.Event()

    def change() -> None:
        for start in range(3000, ROWS_HELD, 250):
            partition.add(np.arange(start, start + 250), ROWS[start : start + 250])
            partition.remove(np.arange(start - 3000, start - 2900))
        stop.set()

    def search(number: int) -> None:
        while not stop.is_set():
            for allowed in (None, np.arange(2500, 3000)):
                _, ids = partition.search(QUERIES[number : number + 5], 10, allowed)
                assert all(len(set(row)) == 10 for row in ids.tolist())

    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(search, number) for number in range(3)]
        threads.submit(change).result()
        for future in running:
            future.result()
    assert len(partition) == ROWS_HELD - 800


def test_the_plan_keeps_small_questions_here() -> None:
    assert plan_gpu(10**6, 500, 1, 10, selectors=True) is GpuWay.HERE
    assert plan_gpu(10**6, None, 1, 10, selectors=False) is GpuWay.WHOLE
    assert plan_gpu(10**6, 10**4, 1, 10, selectors=True) is GpuWay.SELECT
    assert plan_gpu(10**6, 10**4, 1, 10, selectors=False) is GpuWay.HERE
    assert plan_gpu(10**6, 10**4, 64, 10, selectors=False) is GpuWay.GATHER
    assert plan_gpu(10**6, 5 * 10**5, 1, 10, selectors=False) is GpuWay.WHOLE
    assert plan_gpu(10**6, None, 1, 1500, selectors=True) is GpuWay.HERE


def test_faiss_by_itself_would_answer_from_outside_the_filter() -> None:
    """Why the rows are shared out here and not by FAISS: each of its shards takes the selector for its own labels."""
    shards, first, second = faiss.IndexShards(DIMENSION, True, True), *(faiss.IndexFlatIP(DIMENSION) for _ in range(2))
    first.add(ROWS[:50])
    second.add(ROWS[50:100])
    shards.add_shard(first)
    shards.add_shard(second)
    selector = faiss.SearchParameters(sel=faiss.IDSelectorRange(0, 5))
    assert shards.search(QUERIES, 10, params=selector)[1].max() >= 5


def test_the_setting_decides_where_to_search(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    assert find_gpu("cpu") is None
    gpu_module._opened.cache_clear()  # noqa: SLF001 - or an earlier test's answer stands
    with caplog.at_level(logging.WARNING):
        device = find_gpu("cuda:7")
    gpu_module._opened.cache_clear()  # noqa: SLF001
    assert device is None
    assert "faiss-gpu-cuvs" in caplog.text


def test_a_build_that_can_t_be_loaded_is_said_in_a_sentence(home: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    (broken / "faiss").mkdir(parents=True)
    (broken / "faiss" / "__init__.py").write_text("raise RuntimeError('the CUDA 13 runtime wheels are missing')")
    path = os.pathsep.join([str(broken), *filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT)])
    outcome = medley(["search", "a cat"], environment(home) | {"PYTHONPATH": path})
    assert outcome.returncode == 1
    assert "FAISS can't be loaded: the CUDA 13 runtime wheels are missing" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_two_builds_of_faiss_over_each_other_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert installed_builds() == [name for name in ("faiss-cpu", "faiss-gpu-cuvs") if name in installed_builds()]
    other = tmp_path / "faiss_gpu_cuvs-1.15.1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: faiss-gpu-cuvs\nVersion: 1.15.1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with caplog.at_level(logging.WARNING):
        gpu_module.warn_of_builds()
    assert "faiss-cpu and faiss-gpu-cuvs are both installed" in caplog.text
    assert "pip uninstall" in caplog.text
