"""Exact search on a GPU beside the CPU, and beside FAISS's GPU indexes where they are installed.

    python -m benchmarks.gpu [--rows 1000000] [--dimension 512] [--device cuda] [--rounds 5] [--json FILE]

Synthetic vectors as in benchmarks/search.py. Every answer of the device is compared with the CPU's. FAISS on
the GPU needs `faiss-gpu` or `faiss-gpu-cuvs` (for CAGRA) in place of `faiss-cpu`; without it its rows are left
out. `--device cpu` runs the same code on torch's CPU device, to try the script.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.search import K, Vectors, filled, in_turn, show, timed
from search.index.building import recall
from search.index.native import faiss
from search.index.partition import Partition, PartitionOptions

BATCHES = (1, 32, 1024)
SELECTIVITIES = (0.01, 0.1, 0.5)
Search = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    """Run both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    vectors = Vectors(arguments.dimension)
    rows, queries = vectors.images(arguments.rows, 1), vectors.texts(max(BATCHES), 2)
    here = filled(Partition(arguments.dimension), rows)
    there = filled(Partition(arguments.dimension, PartitionOptions(device=arguments.device)), rows)
    print(f"on {describe(arguments.device)}")
    results = {
        "unfiltered": unfiltered(here, there, faiss_indexes(rows), queries, arguments.rounds),
        "filtered": filtered(here, there, queries, arguments.rounds),
    }
    if arguments.json:
        arguments.json.write_text(json.dumps({"arguments": vars(arguments), **results}, default=str, indent=1))


def describe(device: str) -> str:
    """The device in words."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def faiss_indexes(rows: np.ndarray) -> dict[str, Any]:
    """FAISS's GPU indexes for unfiltered search, those that this build has."""
    if not getattr(faiss, "get_num_gpus", int)():
        return {}
    resources = faiss.StandardGpuResources()
    half = faiss.GpuIndexFlatConfig()
    half.useFloat16 = True
    indexes = {"FAISS GPU flat, half": faiss.GpuIndexFlatIP(resources, rows.shape[1], half)}
    if hasattr(faiss, "GpuIndexCagra"):
        indexes["FAISS CAGRA"] = faiss.GpuIndexCagra(resources, rows.shape[1], faiss.METRIC_INNER_PRODUCT)
    for index in indexes.values():
        index.train(rows)
        if not index.ntotal:  # CAGRA takes its rows in training
            index.add(rows)
        index.resources = resources  # or Python lets go of it first
    return indexes


def unfiltered(
    here: Partition, there: Partition, indexes: dict[str, Any], queries: np.ndarray, rounds: int
) -> list[dict[str, Any]]:
    """By batch size."""
    rivals: dict[str, Search] = {
        "medley CPU": lambda q: here.search(q, K, remember=False)[1],
        "medley device": lambda q: there.search(q, K, remember=False)[1],
    }
    for name, index in indexes.items():
        rivals[name] = lambda q, index=index: index.search(q, K)[1]  # type: ignore[misc]
    table = []
    for size in BATCHES:
        batch = queries[:size]
        truth = rivals["medley CPU"](batch)
        times = in_turn({name: timed(search, [batch]) for name, search in rivals.items()}, rounds)
        for name, search in rivals.items():
            row = {"index": name, "batch": size, "ms": times[name][0], "recall@10": recall(truth, search(batch))}
            table.append(row)
    show("Unfiltered, ms a batch", table)
    return table


def filtered(here: Partition, there: Partition, queries: np.ndarray, rounds: int) -> list[dict[str, Any]]:
    """Single queries under random filters; FAISS's GPU indexes would ignore them."""
    table = []
    single = [queries[i : i + 1] for i in range(20)]
    for share in SELECTIVITIES:
        allowed = np.random.default_rng(3).permutation(len(here))[: int(share * len(here))]
        rivals: dict[str, Search] = {
            "medley CPU": lambda q, a=allowed: here.search(q, K, a, remember=False)[1],  # type: ignore[misc]
            "medley device": lambda q, a=allowed: there.search(q, K, a, remember=False)[1],  # type: ignore[misc]
        }
        times = in_turn({name: timed(search, single) for name, search in rivals.items()}, rounds)
        truth = np.concatenate([rivals["medley CPU"](query) for query in single])
        found = np.concatenate([rivals["medley device"](query) for query in single])
        for name in rivals:
            equal = 1.0 if name == "medley CPU" else recall(truth, found)
            table.append({"index": name, "selectivity": share, "ms": times[name][0], "recall@10": equal})
    show("Filtered, ms a query", table)
    return table


if __name__ == "__main__":
    main()
