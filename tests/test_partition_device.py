"""Exact search on a device finds what the CPU finds; on torch's CPU device everywhere, on CUDA where there is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from search.index.device import find_device
from search.index.partition import Partition, PartitionOptions

DIMENSION = 64


def unit(count: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


ROWS, QUERIES = unit(5000, 0), unit(20, 1)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: torch's CPU device stands in")
devices = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])


def both(device: str) -> tuple[Partition, Partition]:
    here, there = Partition(DIMENSION), Partition(DIMENSION, PartitionOptions(device=device))
    for partition in (here, there):
        partition.add(np.arange(5000), ROWS)
        partition.remove(np.arange(0, 3000, 7))
        partition.add(np.arange(100, 200), ROWS[:100])
    return here, there


@devices
@pytest.mark.parametrize("matches", [None, 3, 50, 1000, 4000])
@pytest.mark.parametrize("k", [1, 10, 200])
def test_a_device_finds_what_the_cpu_finds(device: str, matches: int | None, k: int) -> None:
    here, there = both(device)
    allowed = None if matches is None else np.random.default_rng(2).permutation(5000)[:matches]
    scores, found = there.search(QUERIES, k, allowed)
    expected_scores, expected = here.search(QUERIES, k, allowed)
    assert np.allclose(scores, expected_scores, atol=1e-6)
    assert np.mean(found == expected) > 0.99, "rows that are equally close up to rounding may change places"


@devices
def test_rows_closer_together_than_half_precision_are_told_apart(device: str) -> None:
    """Rounded to half precision these rows are all alike; the answer must not depend on it."""
    here, there = Partition(DIMENSION), Partition(DIMENSION, PartitionOptions(device=device))
    rows = ROWS[:1] + 1e-5 * unit(2000, 3)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    for partition in (here, there):
        partition.add(np.arange(2000), rows)
    expected, _ = here.search(ROWS[:1], 10)
    scores, _ = there.search(ROWS[:1], 10)
    assert np.allclose(scores, expected, atol=1e-7)


@devices
def test_a_snapshot_opens_on_the_device(device: str, tmp_path: Path) -> None:
    here, there = both(device)
    here.save(tmp_path / "a", "print")
    again, _ = Partition.load(tmp_path / "a", "print", PartitionOptions(device=device))
    again.remove(np.arange(4000, 4100))
    there.remove(np.arange(4000, 4100))
    assert np.array_equal(again.search(QUERIES, 10)[1], there.search(QUERIES, 10)[1])


def test_the_setting_decides_where_to_search() -> None:
    assert find_device("cpu") == ""
    assert find_device("auto") == ("cuda" if torch.cuda.is_available() else "")
