"""Search and encoding on a GPU: FAISS flat, lists and CAGRA beside a torch product and the CPU; open_clip's towers.

    python -m benchmarks.gpu [--rows 100000,1000000] [--dimension 512] [--rounds 5] [--json FILE]
    python -m benchmarks.gpu --only encoders,ingestion [--models ViT-B-32,ViT-B-16,ViT-L-14] [--photos FOLDER]

Search: synthetic vectors as in benchmarks/search.py, unfiltered and under random filters, by batch size; recall@10
against the CPU's exact answers, and beside the unfiltered single query the time in which the card's memory can be read
once. It needs a build of FAISS for GPUs (`faiss-gpu-cuvs` for CAGRA and for filters on the card).

Encoders: random weights, because only the rate counts, in the number type that Medley chooses, beside open_clip as it
comes, as shares of the rate at which the same run multiplies large matrices. Ingestion: photographs from files to
vectors, beside bare decoding and bare encoding; encoding alone over end to end is how busy the encoder was.

Has not been run on a GPU yet: tests run all of it small, on a CPU that stands in for the card.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.ingest import Ingestion, make_photos, print_rows
from benchmarks.search import K, Vectors, filled, searching, show
from search.arrays import Float32Array, Int64Array
from search.index.faiss_setup import faiss
from search.index.gpu import Gpu
from search.index.partition import Partition, PartitionOptions
from search.index.planner import Lists, Plan, plan_approximate
from search.index.stores.ivf_building import recall
from search.settings import Settings
from search.spaces.clip import Towers, inspect_model
from search.spaces.clip_space import ClipSpace
from search.spaces.specification import ClipSpecification, newest_starter
from search.spaces.starter import StarterSpace

BATCHES = (1, 8, 32, 128, 1024)
SELECTIVITIES = (None, 0.001, 0.01, 0.1, 0.5)
SLOW_SECONDS = 2.0  # what takes longer is timed once
MATRIX_ROWS = 8192
ENCODED_TOGETHER = 256
GRAPH_DEGREE = 32
CAGRA_KEPT = 128  # candidates that a search of the graph keeps
PRODUCT_BLOCK_ROWS = 1 << 18
Search = Callable[[Float32Array], Int64Array]


def main(arguments: Sequence[str] | None = None, library: Any = faiss) -> dict[str, Any]:
    """Run what is asked for. `library` is FAISS's package, or what stands in for its GPU API."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="100000,1000000")
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", default=",".join(map(str, BATCHES)))
    parser.add_argument("--models", default="ViT-B-32,ViT-B-16,ViT-L-14")
    parser.add_argument("--photos", type=Path, help="folder of JPEGs for the ingestion; without it they are made")
    parser.add_argument("--count", type=int, default=2000, help="photographs")
    parser.add_argument("--only", default="search,encoders,ingestion")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    wanted = set(options.only.split(","))
    results: dict[str, Any] = {"on": describe(library), "faiss": faiss.__version__, "torch": torch.__version__}
    print(f"on {results['on']}, FAISS {results['faiss']}, torch {results['torch']}")
    if "search" in wanted:
        sizes = [int(rows) for rows in options.rows.split(",")]
        batches = [int(size) for size in options.batches.split(",")]
        results["search"] = [
            row for rows in sizes for row in searches(library, rows, options.dimension, batches, options.rounds)
        ]
    if wanted & {"encoders", "ingestion"}:
        results |= encoding(options, wanted)
    if options.json:
        options.json.write_text(json.dumps(results, default=str, indent=1))
    return results


def describe(library: Any) -> str:
    """The card in words."""
    if torch.cuda.is_available():
        return f"{library.get_num_gpus()} x {torch.cuda.get_device_name()}"
    return f"{library.get_num_gpus()} GPUs that torch does not see"


def searches(library: Any, count: int, dimension: int, batches: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    """Every rival by selectivity and batch, for one size."""
    vectors = Vectors(dimension)
    rows, queries = vectors.images(count, 1), vectors.texts(max(batches), 2)
    gpu = Gpu(library, range(library.get_num_gpus()))
    print(f"filters on the card: {'yes' if gpu.selectors else 'no, they are left to Medley'}")
    exact = filled(Partition(dimension), rows)
    partitions = {
        "CPU exact": exact,
        "CPU lists": tended(filled(Partition(dimension, PartitionOptions(ivf_threshold=1)), rows)),
        "GPU flat": filled(Partition(dimension, PartitionOptions(gpu=gpu)), rows),
        "GPU lists": tended(
            filled(Partition(dimension, PartitionOptions(gpu=gpu, gpu_ivf_threshold=1, plan=approximate)), rows)
        ),
    }
    product = TorchProduct(rows)
    graph = build_cagra(library, rows)
    limit = memory_milliseconds(count * dimension * 2)
    table = []
    for share in SELECTIVITIES:
        allowed = None if share is None else some_of(count, share)
        for size in batches:
            batch = queries[:size]
            truth = exact.search(batch, K, allowed, remember=False)[1]
            rivals: dict[str, Search] = {name: searching(partition, allowed) for name, partition in partitions.items()}
            rivals["torch product"] = product.searching(allowed)
            if graph is not None:
                rivals["CAGRA"] = searching_cagra(library, graph, gpu, allowed, count)
            times = in_turn(rivals, batch, rounds)
            for name, search in rivals.items():
                row = {
                    "rows": count,
                    "filter": "none" if share is None else f"{share:.1%}",
                    "batch": size,
                    "index": name,
                    "ms": times[name],
                    "queries/s": 1000 * size / times[name],
                    "recall@10": recall(truth, search(batch)),
                    "memory limit ms": limit if (share, size) == (None, 1) else "",
                }
                table.append(row)
    show(f"Search, {count:,} x {dimension}", table)
    return table


def tended(partition: Partition) -> Partition:
    """In the store that it wants."""
    partition.tend()
    return partition


def approximate(rows: int, matches: int | None, dimension: int, lists: Lists) -> Plan:
    """As the planner decides among the approximate ways; otherwise everything small would be exact."""
    return plan_approximate(rows, matches, dimension, lists).plan


def some_of(count: int, share: float) -> Int64Array:
    """Ids that a random filter leaves, ascending."""
    chosen = np.random.default_rng(3).permutation(count)[: max(K, int(share * count))]
    return np.sort(chosen).astype(np.int64)


def in_turn(rivals: dict[str, Search], batch: Float32Array, rounds: int) -> dict[str, float]:
    """Median milliseconds; everyone has a turn in every round, but for the slow, who have one."""
    taken: dict[str, list[float]] = {name: [] for name in rivals}
    for search in rivals.values():
        search(batch)
    for _ in range(rounds):
        for name, search in rivals.items():
            if taken[name] and taken[name][0] > SLOW_SECONDS * 1000:
                continue
            began = time.perf_counter()
            search(batch)
            taken[name].append((time.perf_counter() - began) * 1000)
    return {name: median(times) for name, times in taken.items()}


def memory_milliseconds(size_bytes: int) -> float | str:
    """How long the card takes to read that many bytes once, from how fast it copies; empty without a card."""
    if not torch.cuda.is_available():
        return ""
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    seconds = timed_on_device(lambda: target.copy_(source))
    return size_bytes / (2 * source.numel() / seconds) * 1000


class TorchProduct:
    """What served GPUs before: one product of half-precision matrices, filtered by a mask."""

    def __init__(self, rows: Float32Array) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._rows = torch.from_numpy(rows).half().to(self._device)

    def searching(self, allowed: Int64Array | None) -> Search:
        """The best rows by half-precision scores."""
        left_out = None
        if allowed is not None:
            left_out = torch.ones(len(self._rows), dtype=torch.bool, device=self._device)
            left_out[torch.from_numpy(allowed).to(self._device)] = False

        def search(queries: Float32Array) -> Int64Array:
            half = torch.from_numpy(queries).half().to(self._device)
            best, rows_found = [], []
            for start in range(0, len(self._rows), PRODUCT_BLOCK_ROWS):
                scores = half @ self._rows[start : start + PRODUCT_BLOCK_ROWS].T
                if left_out is not None:
                    scores.masked_fill_(left_out[start : start + PRODUCT_BLOCK_ROWS], -torch.inf)
                top = torch.topk(scores, min(K, scores.shape[1]), dim=1)
                best.append(top.values)
                rows_found.append(top.indices + start)
            top = torch.topk(torch.cat(best, dim=1), K, dim=1)
            labels: Int64Array = torch.gather(torch.cat(rows_found, dim=1), 1, top.indices).cpu().numpy()
            return labels

        return search


def build_cagra(library: Any, rows: Float32Array) -> Any:
    """FAISS's graph for GPUs, which can't be added to; None where this build has none."""
    if not hasattr(library, "GpuIndexCagra"):
        return None
    settings = library.GpuIndexCagraConfig()
    settings.graph_degree, settings.intermediate_graph_degree = GRAPH_DEGREE, 2 * GRAPH_DEGREE
    resources = library.StandardGpuResources()
    index = library.GpuIndexCagra(resources, rows.shape[1], faiss.METRIC_INNER_PRODUCT, settings)
    began = time.perf_counter()
    index.train(rows)
    print(f"building CAGRA took {time.perf_counter() - began:.1f} s")
    return index


def searching_cagra(library: Any, index: Any, gpu: Gpu, allowed: Int64Array | None, count: int) -> Search:
    """The graph, with a selector; found outside the filter counts as not found."""
    parameters = library.SearchParametersCagra()
    parameters.itopk_size = CAGRA_KEPT
    bits = None
    if allowed is not None and gpu.selectors:
        marks = np.zeros(count, bool)
        marks[allowed] = True
        bits = library.IDSelectorBitmap(np.packbits(marks, bitorder="little"))
        parameters.sel = bits

    def search(queries: Float32Array) -> Int64Array:
        assert bits is None or parameters.sel is not None  # held as long as the parameters
        neighbours: Int64Array = index.search(queries, K, params=parameters)[1]
        return neighbours if allowed is None else np.where(np.isin(neighbours, allowed), neighbours, -1)

    return search


def encoding(options: argparse.Namespace, wanted: set[str]) -> dict[str, Any]:
    """Both tables of encoders."""
    results: dict[str, Any] = {}
    rate = matrix_rate()
    print(f"matrices of {MATRIX_ROWS}: {rate / 1e12:.3g} TFLOP/s")
    with tempfile.TemporaryDirectory(prefix="medley-bench-") as folder:
        settings = Settings.load(environment={}, home=Path(folder))
        spaces = {name: random_weights(name, Path(folder), settings) for name in options.models.split(",")}
        if "encoders" in wanted:
            results["encoders"] = [encoder(model, settings, rate, options.rounds) for model in spaces.values()]
            show("Encoders", results["encoders"])
        if "ingestion" in wanted:
            results["ingestion"] = {}
            photos = make_photos(Path(folder), options.count, options.photos)
            for name, model in spaces.items():
                space = ClipSpace(model, settings, StarterSpace(settings))
                with tempfile.TemporaryDirectory(prefix="medley-bench-") as template:
                    rows = Ingestion(photos, settings, space, Path(template), 0).run(options.rounds, False)
                print(f"\n{name}")
                print_rows(rows)
                results["ingestion"][name] = [asdict(row) for row in rows]
    return results | {"matrix rate": rate}


def number_type() -> torch.dtype:
    """In which matrices are multiplied and models computed: what Medley takes, too."""
    return torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32


def matrix_rate() -> float:
    """Operations a second of one large product."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = MATRIX_ROWS if device.type == "cuda" else MATRIX_ROWS // 8
    left = torch.randn(rows, rows, device=device, dtype=number_type())
    return 2 * rows**3 / timed_on_device(lambda: left @ left)


def timed_on_device(work: Callable[[], Any], repeats: int = 20) -> float:
    """Seconds of one call, warm, with the card's clock where there is a card."""
    for _ in range(3):
        work()
    if not torch.cuda.is_available():
        began = time.perf_counter()
        work()
        return time.perf_counter() - began
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(repeats):
        work()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end)) / 1000 / repeats


def random_weights(name: str, folder: Path, settings: Settings) -> ClipSpecification:
    """A model of this shape, without having learnt anything."""
    import open_clip

    torch.manual_seed(0)
    checkpoint = folder / f"{name}.pt"
    torch.save(open_clip.create_model(name, pretrained=None).state_dict(), checkpoint)
    wanted = ClipSpecification(model=name, pretrained=str(checkpoint), companion=newest_starter())
    return inspect_model(wanted, settings)


def encoder(model: ClipSpecification, settings: Settings, rate: float, rounds: int) -> dict[str, Any]:
    """Images a second through our tower and open_clip's, and the share of the matrix rate that is."""
    import open_clip

    towers = Towers(model, settings)
    count = ENCODED_TOGETHER if torch.cuda.is_available() else 8
    generator = np.random.default_rng(0)
    pictures = list(generator.integers(0, 255, (count, model.side, model.side, 3), dtype=np.uint8))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    stock = open_clip.create_model(model.model, pretrained=None).eval().to(device)
    pixels = torch.randn(count, 3, model.side, model.side, device=device)
    with FlopCounterMode(display=False) as counted, torch.inference_mode():
        stock.encode_image(pixels[:1])
    operations = counted.get_total_flops()
    ours, theirs = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        towers.pictures(pictures)
        ours.append(count / (time.perf_counter() - began))
        with torch.inference_mode():
            theirs.append(count / timed_on_device(lambda: stock.encode_image(pixels), 3))
    return {
        "model": model.model,
        "operations per image": operations,
        "images/s": median(ours),
        "open_clip images/s": median(theirs),
        "share of the matrix rate": median(ours) * operations / rate,
    }


if __name__ == "__main__":
    main()
