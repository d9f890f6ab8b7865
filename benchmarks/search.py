"""How fast, how complete and how large partitions are, beside FAISS as it comes.

    OMP_NUM_THREADS=1 python -m benchmarks.search [--rows 100000] [--dimension 512] [--rounds 5] [--json FILE]

Vectors are synthetic: rows around 2,000 topics in one cone, queries of two kinds, from the rows' own cone (as
images) and from another one (as texts). With `--data ../shared/data` they are real: captions in the starter space,
as speech is searched by words (embedding a hundred thousand takes ten minutes, once). Rivals take turns in every
round; medians over the rounds, wall and CPU time.
`--growth 10000,100000,1000000` measures growth up to a million (ten minutes, 4 GB). HNSW32 takes
minutes to build: `--no-hnsw` leaves it out. `--only threshold` looks for the size from which lists are faster.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.catalog import Bench, one_asset, write_segments
from search.arrays import Float32Array, Int64Array
from search.index.faiss_setup import BLAS_FROM, faiss, set_threads
from search.index.partition import Partition, PartitionOptions
from search.index.planner import Lists, Plan, Way, plan_lists
from search.index.stores.ivf_building import recall
from search.settings import Settings
from search.signals import Signal
from search.spaces.registry import open_space
from search.spaces.specification import newest_starter

K = 10
STOCK_BLAS_FROM = 128_000  # what FAISS comes with
SELECTIVITIES = (0.001, 0.01, 0.1, 0.5, 1.0)
QUERIES = 200
LIVE = 256  # after that many queries lists are tuned to what is asked
SINGLE_QUERIES = 100
EMBEDDED_AT_ONCE = 512
GROWTH_ROWS = 2_000  # written at a time
THRESHOLD = Settings.load().ivf_threshold
THRESHOLDS = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000)
Search = Callable[[Float32Array], Int64Array]  # queries -> labels


def main() -> None:
    """Run all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--data", type=Path, help="take captions from here instead of synthetic vectors")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--growth", default="10000,100000")
    parser.add_argument("--no-hnsw", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", default="batches,rates,filters,changes,growth", help="tables to make")
    arguments = parser.parse_args()
    wanted = set(arguments.only.split(","))
    set_threads(1)
    results: dict[str, Any] = {}
    if wanted - {"growth", "threshold"}:
        results = of_one_size(arguments, wanted)
    if "threshold" in wanted:
        results["threshold"] = thresholds(arguments.dimension, arguments.rounds)
    if "growth" in wanted:
        results["growth"] = growth([int(rows) for rows in arguments.growth.split(",")], arguments.dimension)
    if arguments.json:
        arguments.json.write_text(json.dumps({"arguments": vars(arguments), **results}, default=str, indent=1))


def of_one_size(arguments: argparse.Namespace, wanted: set[str]) -> dict[str, Any]:
    """All tables but growth."""
    if arguments.data:
        asked, live, rows = np.split(captions(arguments.data, arguments.rows), [QUERIES, QUERIES + LIVE])
        world = World(rows, {"text": asked}, live)
    else:
        vectors = Vectors(arguments.dimension)
        queries = {"image": vectors.images(QUERIES, 2), "text": vectors.texts(QUERIES, 3)}
        world = World(vectors.images(arguments.rows, 1), queries)
    needs_hnsw = wanted & {"rates", "filters"} and not arguments.no_hnsw
    hnsw = build_hnsw(world.rows) if needs_hnsw else None
    results: dict[str, Any] = {}
    if "batches" in wanted:
        results["batches"] = batches(world, arguments.rounds)
    if "rates" in wanted:
        results["rates"] = rates(world, hnsw, arguments.rounds)
    if "filters" in wanted:
        results["filters"] = filters(world, hnsw, arguments.rounds)
    if "changes" in wanted:
        results["changes"] = changes(world, arguments.rounds)
    return results


class Vectors:
    """Rows and queries around topics whose spectrum falls, as embeddings' does."""

    def __init__(self, dimension: int, topics: int = 2000) -> None:
        rng = np.random.default_rng(0)
        self._spectrum = (1 / np.sqrt(1 + np.arange(dimension) / 20)).astype(np.float32)
        self._topics = unit(rng.standard_normal((topics, dimension), dtype=np.float32) * self._spectrum)
        self._cones = unit(rng.standard_normal((2, dimension), dtype=np.float32))

    def images(self, count: int, seed: int) -> np.ndarray:
        """Rows, or queries by example."""
        return self._around(count, self._cones[0], 0.9, seed)

    def texts(self, count: int, seed: int) -> np.ndarray:
        """Queries by words: another cone, less alike."""
        return self._around(count, self._cones[1], 1.2, seed)

    def _around(self, count: int, cone: np.ndarray, spread: float, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        out = np.empty((count, len(self._spectrum)), np.float32)
        for start in range(0, count, 50_000):
            part = out[start : start + 50_000]
            noise = unit(rng.standard_normal(part.shape, dtype=np.float32) * self._spectrum)
            part[:] = unit(self._topics[rng.integers(0, len(self._topics), len(part))] + spread * noise + cone)
        return out.astype(np.float16).astype(np.float32)


def captions(data: Path, count: int) -> np.ndarray:
    """`count` captions in the starter space, which embeds passages and questions about them alike."""
    with gzip.open(data / "text" / "captions.txt.gz", "rt", encoding="utf-8") as file:
        lines = sorted(set(file.read().splitlines()))
    chosen = [lines[i] for i in np.random.default_rng(0).permutation(len(lines))[:count]]
    cache = Path(tempfile.gettempdir()) / "medley-search-benchmark"
    cache.mkdir(exist_ok=True)
    space = open_space(newest_starter(), Settings.load(home=cache))
    kept = cache / f"{space.fingerprint.digest[:12]}-{count}.npy"
    if not kept.is_file():
        blocks = range(0, count, EMBEDDED_AT_ONCE)
        np.save(kept, np.concatenate([space.embed(Signal.SPEECH, chosen[at : at + EMBEDDED_AT_ONCE]) for at in blocks]))
    vectors: np.ndarray = np.load(kept)
    return vectors


class World:
    """One library, flat and in lists, with what exact search finds. `live` has been asked before."""

    def __init__(self, rows: np.ndarray, queries: dict[str, np.ndarray], live: np.ndarray | None = None) -> None:
        dimension = rows.shape[1]
        self.rows, self.queries = rows, queries
        self.ids = np.arange(len(rows), dtype=np.int64)
        self.flat = filled(Partition(dimension), self.rows)
        self._nprobe = 0
        self.lists = filled(Partition(dimension, PartitionOptions(ivf_threshold=1, plan=self._plan)), self.rows)
        if live is not None:
            self.lists.search(live, K)
        started = time.process_time()
        self.lists.tend()
        print(f"building lists took {time.process_time() - started:.1f} s of CPU: {self.lists.lists}")
        self.truth = {kind: self.flat.truth(queries, K) for kind, queries in self.queries.items()}

    def with_lists(self, nprobe: int) -> Search:
        """Searches that read that many lists, whatever was tuned."""

        def search(queries: np.ndarray) -> np.ndarray:
            self._nprobe = nprobe
            try:
                return self.lists.search(queries, K, remember=False)[1]
            finally:
                self._nprobe = 0

        return search

    def _plan(self, rows: int, matches: int | None, dimension: int, lists: Lists) -> Plan:
        return Plan(Way.PROBE, self._nprobe) if self._nprobe else plan_lists(rows, matches, dimension, lists)


def unit(rows: np.ndarray) -> np.ndarray:
    """Unit rows."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def filled(partition: Partition, rows: np.ndarray) -> Partition:
    """With ids from 0."""
    partition.add(np.arange(len(rows)), rows)
    return partition


def build_hnsw(rows: np.ndarray) -> Any:
    """HNSW32 as people use it."""
    index = faiss.IndexHNSWFlat(rows.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    started = time.process_time()
    index.add(rows)
    print(f"building HNSW32 took {time.process_time() - started:.1f} s of CPU")
    return index


def batches(world: World, rounds: int) -> list[dict[str, Any]]:
    """Goal 7: unfiltered exact search by batch size, beside a stock flat index."""
    stock = faiss.IndexFlatIP(world.rows.shape[1])
    stock.add(world.rows)

    def stock_search(queries: np.ndarray) -> np.ndarray:
        faiss.cvar.distance_compute_blas_threshold = STOCK_BLAS_FROM
        try:
            return np.asarray(stock.search(queries, K)[1])
        finally:
            faiss.cvar.distance_compute_blas_threshold = BLAS_FROM

    rivals: dict[str, Search] = {"medley": lambda q: world.flat.search(q, K)[1], "stock": stock_search}
    table = []
    for size in (1, 8, 32, 128):
        queries = world.queries["text"][:size]
        times = in_turn({name: timed(search, [queries]) for name, search in rivals.items()}, rounds)
        row = {"batch": size, **flattened(times), "gain": times["stock"][0] / times["medley"][0]}
        table.append(row)
    show("Batches on the flat partition, ms a batch (goal 7: 4 times stock FAISS at 32 to 128)", table)
    return table


def rates(world: World, hnsw: Any, rounds: int) -> list[dict[str, Any]]:
    """Goal 9: single queries: recall, time and memory of approximate indexes."""
    rivals: dict[str, Search] = {
        "medley lists": lambda q: world.lists.search(q, K, remember=False)[1],
        "medley flat": lambda q: world.flat.search(q, K, remember=False)[1],
    }
    memory = {"medley lists": world.lists.size_bytes, "medley flat": world.flat.size_bytes}
    for nprobe in (2, 4):
        rivals[f"medley, {nprobe} lists"] = world.with_lists(nprobe)
        memory[f"medley, {nprobe} lists"] = world.lists.size_bytes
    if hnsw is not None:
        for depth in (12, 16, 32, 64):
            name = f"HNSW32 efSearch {depth}"
            parameters = faiss.SearchParametersHNSW(efSearch=depth)
            rivals[name] = searching_faiss(hnsw, parameters)
            memory[name] = hnsw.ntotal * (world.rows.shape[1] * 4 + 2 * 32 * 4 + 16)
    table = []
    for kind, queries in world.queries.items():
        results = {name: one_by_one(search, queries) for name, search in rivals.items()}
        singles = [queries[i : i + 1] for i in range(SINGLE_QUERIES)]
        times = in_turn({name: timed(search, singles) for name, search in rivals.items()}, rounds)
        for name in rivals:
            table.append(
                {
                    "index": name,
                    "queries": kind,
                    "recall@10": recall(world.truth[kind], results[name]),
                    "ms": times[name][0],
                    "cpu ms": times[name][1],
                    "bytes/vector": memory[name] / len(world.rows),
                }
            )
    show("Single queries (goal 9: recall 0.95, 650 bytes, 0.85 x the rate of HNSW32)", table)
    return table


def filters(world: World, hnsw: Any, rounds: int) -> list[dict[str, Any]]:
    """Goal 8: text queries under random filters."""
    table = []
    queries = world.queries["text"][:SINGLE_QUERIES]
    singles = [query[None] for query in queries]
    for share in SELECTIVITIES:
        chosen = np.sort(np.random.default_rng(5).permutation(world.ids)[: int(share * len(world.ids))])
        rivals: dict[str, Search] = {
            "medley flat": searching(world.flat, chosen),
            "medley lists": searching(world.lists, chosen),
        }
        if hnsw is not None:
            marks = np.zeros(len(world.ids), bool)
            marks[chosen] = True
            selector = faiss.IDSelectorBitmap(np.packbits(marks, bitorder="little"))
            parameters = faiss.SearchParametersHNSW(efSearch=64, sel=selector)
            rivals["HNSW32 selector"] = searching_faiss(hnsw, parameters)
        truth = world.flat.truth(queries, K, chosen)
        times = in_turn({name: timed(search, singles) for name, search in rivals.items()}, rounds)
        for name, search in rivals.items():
            results = one_by_one(search, queries)
            table.append(
                {
                    "index": name,
                    "selectivity": share,
                    "recall@10": recall(truth, results),
                    "too few": float(np.mean((results >= 0).sum(axis=1) < min(K, len(chosen)))),
                    "ms": times[name][0],
                    "cpu ms": times[name][1],
                }
            )
    show("Text queries under filters (goal 8: recall 0.98, never too few, at most twice the unfiltered time)", table)
    return table


def changes(world: World, rounds: int) -> list[dict[str, Any]]:
    """Goal 10: deletions, and searches while rows are added."""
    gone = np.random.default_rng(6).permutation(world.ids)[:1000]
    stock = faiss.index_factory(world.rows.shape[1], "IDMap2,Flat", faiss.METRIC_INNER_PRODUCT)
    ivf = faiss.index_factory(world.rows.shape[1], "IVF1024,SQ8", faiss.METRIC_INNER_PRODUCT)
    ivf.cp.niter, ivf.cp.min_points_per_centroid = 2, 1
    stock.add_with_ids(world.rows, world.ids)
    ivf.train(world.rows[:50_000])
    ivf.add_with_ids(world.rows, world.ids)
    removals: Mapping[str, Callable[[], Any]] = {
        "medley flat": lambda: world.flat.remove(gone),
        "medley lists": lambda: world.lists.remove(gone),
        "FAISS flat": lambda: stock.remove_ids(gone),
        "FAISS IVF": lambda: ivf.remove_ids(gone),
    }
    restore: Mapping[str, Callable[[], Any]] = {
        "medley flat": lambda: world.flat.add(gone, world.rows[gone]),
        "medley lists": lambda: world.lists.add(gone, world.rows[gone]),
        "FAISS flat": lambda: stock.add_with_ids(world.rows[gone], gone),
        "FAISS IVF": lambda: ivf.add_with_ids(world.rows[gone], gone),
    }
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in removals}
    for _ in range(rounds):
        for name, remove in removals.items():
            spent[name].append(clock(remove))
            restore[name]()
    table: list[dict[str, Any]] = [
        {
            "what": f"1,000 deletions, {name}",
            "ms": median(wall for wall, _ in runs),
            "cpu ms": median(c for _, c in runs),
        }
        for name, runs in spent.items()
    ]
    for name, partition in (("flat", world.flat), ("lists", world.lists)):
        idle, busy = [], []
        for _ in range(rounds):
            idle.append(latencies(partition, world.queries["text"]))
            with ingesting(partition, world.rows):
                busy.append(latencies(partition, world.queries["text"]))
        for what, runs in (("idle", idle), ("while ingesting", busy)):
            for point in (50, 99):
                wall, cpu = np.median([np.percentile(run, point, axis=0) for run in runs], axis=0)
                table.append({"what": f"search p{point}, {name}, {what}", "ms": wall, "cpu ms": cpu})
    show("Life under change (goal 10: 1,000 deletions in 2 ms; p99 while ingesting at most 1.5 x idle)", table)
    return table


class ingesting:  # noqa: N801 - reads as a verb
    """Adds 100 rows twenty times a second, under ids of their own, and takes them out in the end."""

    def __init__(self, partition: Partition, rows: np.ndarray) -> None:
        self._partition, self._rows = partition, rows
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._first = len(rows)
        self._next = self._first

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._partition.remove(np.arange(self._first, self._next))

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            self._partition.add(np.arange(self._next, self._next + 100), self._rows[:100])
            self._next += 100


def latencies(partition: Partition, queries: np.ndarray) -> list[tuple[float, float]]:
    """Wall and CPU milliseconds of 500 single queries."""
    return [clock(partial(partition.search, queries[[i % len(queries)]], K, remember=False)) for i in range(500)]


def thresholds(dimension: int, rounds: int) -> list[dict[str, Any]]:
    """From which size on lists answer faster than exact search does, at the recall they are tuned for."""
    vectors, table = Vectors(dimension), []
    queries = vectors.texts(SINGLE_QUERIES, 3)
    for size in THRESHOLDS:
        rows = vectors.images(size, 1)
        flat = filled(Partition(dimension), rows)
        lists = filled(Partition(dimension, PartitionOptions(ivf_threshold=1)), rows)
        built = clock(lists.tend)[1]
        rivals: dict[str, Search] = {
            "flat": searching(flat),
            "lists": searching(lists),
        }
        singles = [query[None] for query in queries]
        times = in_turn({name: timed(search, singles) for name, search in rivals.items()}, rounds)
        table.append(
            {
                "rows": size,
                **flattened(times),
                "recall@10 of lists": recall(flat.truth(queries, K), one_by_one(rivals["lists"], queries)),
                "building lists, cpu s": built / 1e3,
            }
        )
    show("Exact search and lists by size: where `ivf_threshold` may lie", table)
    return table


def growth(sizes: Sequence[int], dimension: int) -> list[dict[str, Any]]:
    """Goal 14: what a segment costs as the library grows, with the threshold that ships.

    Per size: writing it (the catalogue's rows) and following it (the partition), over the last ten thousand
    segments, and the time of one search.
    """
    vectors, table = Vectors(dimension), []
    queries = vectors.texts(200, 3)
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            catalogue = Bench(f"sqlite:///{folder}/medley.sqlite")
            asset_id = one_asset(catalogue)
            partition = Partition(dimension, PartitionOptions(ivf_threshold=THRESHOLD, folder=Path(folder)))
            written, followed = [], []
            for start in range(0, size, GROWTH_ROWS):
                rows = vectors.images(min(GROWTH_ROWS, size - start), 100 + start)
                ids = np.arange(start, start + len(rows)) + 1
                written.append(clock(partial(write, catalogue, asset_id, ids, rows)))
                followed.append(clock(partial(partition.add, ids, rows)))
                partition.tend()
            last = max(1, 10_000 // GROWTH_ROWS)
            results = one_by_one(searching(partition), queries)
            times = [clock(partial(partition.search, query[None], K, remember=False)) for query in queries]
            table.append(
                {
                    "rows": size,
                    "approximate": partition.approximate,
                    "written/s": GROWTH_ROWS * 1e3 / median(wall for wall, _ in written[-last:]),
                    "written/cpu s": GROWTH_ROWS * 1e3 / median(cpu for _, cpu in written[-last:]),
                    "followed/cpu s": GROWTH_ROWS * 1e3 / median(cpu for _, cpu in followed[-last:]),
                    "search ms": median(w for w, _ in times),
                    "search cpu ms": median(c for _, c in times),
                    "recall@10": recall(partition.truth(queries, K), results),
                    "bytes/vector": partition.size_bytes / size,
                }
            )
            catalogue.database.close()
    show("Growth (goal 14: at a million within 3 x the search time of 10,000 and 1.2 x of the ingest rate)", table)
    return table


def write(catalogue: Bench, asset_id: int, ids: np.ndarray, rows: np.ndarray) -> None:
    """What a worker writes of its segments, in a transaction."""
    with catalogue.database.write() as connection:
        write_segments(connection, catalogue.space.id, asset_id, range(ids[0], ids[-1] + 1), rows)


def searching(partition: Partition, allowed: Int64Array | None = None) -> Search:
    """Labels of the best K per query, perhaps among `allowed` ids."""
    return lambda queries: partition.search(queries, K, allowed, remember=False)[1]


def searching_faiss(index: Any, parameters: Any = None) -> Search:
    """The same from an index of FAISS."""
    return lambda queries: np.asarray(index.search(queries, K, params=parameters)[1])


def one_by_one(search: Search, queries: np.ndarray) -> np.ndarray:
    """Labels of single queries."""
    return np.concatenate([search(query[None]) for query in queries])


def timed(search: Search, batches: Sequence[np.ndarray]) -> Callable[[], tuple[float, float]]:
    """Medians over the batches, wall and CPU milliseconds."""

    def run() -> tuple[float, float]:
        spent = [clock(partial(search, queries)) for queries in batches]
        return median(wall for wall, _ in spent), median(cpu for _, cpu in spent)

    return run


def in_turn(runs: Mapping[str, Callable[[], tuple[float, float]]], rounds: int) -> dict[str, tuple[float, float]]:
    """Medians over rounds in which everyone has a turn."""
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            results[name].append(run())
    return {name: (median(w for w, _ in all_), median(c for _, c in all_)) for name, all_ in results.items()}


def clock(work: Callable[[], Any]) -> tuple[float, float]:
    """Milliseconds of wall and of this thread's CPU."""
    wall, cpu = time.perf_counter(), time.thread_time()
    work()
    return (time.perf_counter() - wall) * 1e3, (time.thread_time() - cpu) * 1e3


def flattened(times: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """One column each."""
    wall = {f"{name} ms": value[0] for name, value in times.items()}
    return wall | {f"{name} cpu ms": value[1] for name, value in times.items()}


def show(title: str, table: Sequence[Mapping[str, Any]]) -> None:
    """As Markdown."""
    print(f"\n{title}\n\n| {' | '.join(table[0])} |\n|{'---|' * len(table[0])}")
    for row in table:
        print(
            "| " + " | ".join(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row.values()) + " |"
        )
    print(flush=True)


if __name__ == "__main__":
    main()
