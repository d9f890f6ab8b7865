"""Building an approximate store: centroids from a sample, and as many probed lists as the recall needs.

Recall is measured while building, against exact search, for queries of two kinds: rows of the partition
themselves ("more like this"), and queries from outside its cone, as texts are to images. A store tuned
with rows alone serves texts badly. Knows no catalogue and no locks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from msgspec import structs

from search.arrays import Float32Array, Int64Array
from search.index.faiss_setup import faiss, use_threads
from search.index.planner import TENTH, list_count
from search.index.stores.ivf import IvfStore
from search.index.stores.snapshot import Tuning

TARGET_RECALL = 0.985  # on some hundred held-out queries; 0.98 is promised for all
DEPTH = 10  # recall@10
_SAMPLES_PER_LIST = 40  # FAISS asks for 39 at least
_LEAST_PER_LIST = 4  # of rows, when there are very few
_ROUNDS = 5
# Candidates scored exactly per result. With 5 the codes of 512 dimensions cost no recall
# (docs/benchmarks/partitions.md).
_FEWEST_CANDIDATES = 5
_MOST_CANDIDATES = 80
_HELPFUL = 0.003  # a gain of recall that is worth more lists
_HELD_OUT = 100  # queries of each kind
# Emulated texts may be easier than those that people type (measured at 50,000 made-up vectors: recall 0.985 and 0.969;
# on 100,000 captions they are harder): until enough of these are known, this many times the lists and candidates.
_UNKNOWN = 1.5
_BLUR = 1.0  # noise on emulated texts, against the length of what sets the row apart

Probe = Callable[[Float32Array, Tuning], Int64Array]  # queries -> labels `(n, k)`
Block = tuple[Int64Array, Float32Array]  # ids `(n,)`, rows `(n, d) float32`


class Cancelled(Exception):
    """The build was cancelled because its result is no longer wanted."""


def build_lists(
    sample: Float32Array,
    rows: int,
    blocks: Iterable[Block],
    live: Float32Array,
    empty_store: Callable[[Any, Tuning], IvfStore],
    cancelled: Callable[[], bool],
) -> IvfStore:
    """A store with everything in `blocks`, about `rows` rows, trained on `sample` `(n, d) float32`.

    `live` are recent queries `(m, d) float32`, perhaps none. Raises Cancelled.
    """
    use_threads(len(sample))
    lists = min(list_count(rows), max(1, len(sample) // _LEAST_PER_LIST))
    quantizer = faiss.IndexFlatL2(sample.shape[1])
    quantizer.add(_centroids(sample, lists, cancelled))
    # Lists are chosen by distance, although rows are scored by inner product: by inner product, centroids
    # that are far out attract every text query (measured: recall 0.87 instead of 0.96).
    index = faiss.IndexIVFRaBitQ(quantizer, sample.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
    index.train(sample[: _SAMPLES_PER_LIST * lists])
    tuning = Tuning(nprobe=lists, filtered=lists, candidates=_FEWEST_CANDIDATES, trained_rows=rows)
    store = empty_store(index, tuning)
    for ids, vectors in blocks:
        _stop_if(cancelled)
        store.place(ids, vectors, store.prepare(vectors))
    store.tuning = _tuned(store, held_out(sample, live), cancelled)
    if len(live) < _HELD_OUT:
        # More rows by their codes need more of them scored exactly, too.
        known = store.tuning
        wide, filtered, deep = (
            math.ceil(_UNKNOWN * number) for number in (known.nprobe, known.filtered, known.candidates)
        )
        store.tuning = structs.replace(known, nprobe=min(lists, wide), filtered=min(lists, filtered), candidates=deep)
    return store


def sample_size(rows: int) -> int:
    """How many rows to train with."""
    return min(rows, list_count(rows) * _SAMPLES_PER_LIST)


def held_out(sample: Float32Array, live: Float32Array) -> list[Float32Array]:
    """Held-out queries of each kind, `(n, d) float32` unit rows: rows of the partition, and texts.

    Texts are emulated until enough live queries are known.
    """
    rows = sample[:_HELD_OUT]
    if len(live) >= _HELD_OUT:
        return [rows, live[-_HELD_OUT:]]
    # Texts and images lie in two cones with a gap between them (arXiv 2203.02053): what sets a row apart
    # from the mean is what a text about it shares with it, blurred.
    apart = rows - sample.mean(axis=0)
    noise = np.random.default_rng(0).standard_normal(apart.shape).astype(np.float32)
    noise *= _BLUR * np.linalg.norm(apart, axis=1, keepdims=True) / np.linalg.norm(noise, axis=1, keepdims=True)
    texts = apart + noise
    norms = np.linalg.norm(texts, axis=1, keepdims=True)
    texts = texts[norms[:, 0] > 0] / norms[norms[:, 0] > 0]
    return [queries for queries in (rows, texts, live[-_HELD_OUT:]) if len(queries)]


def needed_tuning(
    tuning: Tuning, lists: int, kinds: Sequence[Float32Array], truths: Sequence[Int64Array], probe: Probe
) -> Tuning:
    """The least work with which `probe` reaches TARGET_RECALL for every kind of query.

    For each kind: queries `(n, d)` and their true neighbours `(n, k)`.

    More lists, as long as they help; where they don't, the codes are too coarse for so few candidates.
    """

    def reaches(nprobe: int, candidates: int) -> float:
        tried = structs.replace(tuning, nprobe=nprobe, candidates=candidates)
        return min(recall(truth, probe(queries, tried)) for queries, truth in zip(kinds, truths, strict=True))

    nprobe, candidates, before = 1, _FEWEST_CANDIDATES, 0.0
    while True:
        reached = reaches(nprobe, candidates)
        may_widen, may_deepen = nprobe < lists, candidates < _MOST_CANDIDATES
        if reached >= TARGET_RECALL or not (may_widen or may_deepen):
            break
        if may_deepen and (not may_widen or reached - before < _HELPFUL):
            candidates *= 2
            before = -1.0
        else:
            nprobe = min(lists, nprobe + max(1, nprobe // 2))
            before = reached
    # More candidates were tried where more lists seemed not to help; in the end those may do alone.
    while candidates > _FEWEST_CANDIDATES and reaches(nprobe, candidates // 2) >= min(reached, TARGET_RECALL):
        candidates //= 2
    return structs.replace(tuning, nprobe=nprobe, candidates=candidates)


def measured_tuning(
    tuning: Tuning,
    lists: int,
    kinds: Sequence[Float32Array],
    labels: Int64Array,
    truth: Callable[[Float32Array, Int64Array | None], Int64Array],
    probe: Probe,
    depths: Callable[[Float32Array, Int64Array], Int64Array],
) -> Tuning:
    """What queries of these kinds need, without a filter and where a tenth of all `labels` `(rows,)` passes.

    `truth` gives the labels that an exact search finds, among all or those that are left; `depths` as of IvfStore.
    """
    tuning = needed_tuning(tuning, lists, kinds, [truth(queries, None) for queries in kinds], probe)
    left = a_tenth(labels)
    return structs.replace(tuning, filtered=needed_lists([depths(queries, truth(queries, left)) for queries in kinds]))


def needed_lists(depths: Sequence[Int64Array]) -> int:
    """How many lists must be probed to find TARGET_RECALL of the true neighbours for every kind of query.

    `depths` holds one array per kind. As `IvfStore.depths` returns them.
    """
    return max(
        (
            int(np.quantile(kind_depths[kind_depths > 0], TARGET_RECALL, method="higher"))
            for kind_depths in depths
            if kind_depths.max() > 0
        ),
        default=1,
    )


def a_tenth(of: Int64Array) -> Int64Array:
    """A tenth of `(n,)` rows, ascending: what a filter might leave."""
    count = max(1, round(TENTH * len(of)))
    return np.sort(np.random.default_rng(0).choice(of, count, replace=False))


def _tuned(store: IvfStore, kinds: list[Float32Array], cancelled: Callable[[], bool]) -> Tuning:
    if not store.count:
        return store.tuning
    k = min(DEPTH, store.count)

    def probe(queries: Float32Array, tuning: Tuning) -> Int64Array:
        _stop_if(cancelled)
        return store.probe(queries, k, tuning)[1]

    def truth(queries: Float32Array, left: Int64Array | None) -> Int64Array:
        return store.search(queries, k if left is None else min(k, len(left)), left, exact=True)[1]

    slots = store.slots_of(store.ids).astype(np.int64)
    return measured_tuning(store.tuning, store.lists.count, kinds, slots, truth, probe, store.depths)


def recall(truth: Int64Array, returned: Int64Array) -> float:
    """The share of each row of `truth` `(n, k)` that its row of `returned` holds, on average; -1 is padding."""
    pairs = zip(truth.tolist(), returned.tolist(), strict=True)
    held = sum(len((set(wanted) & set(got)) - {-1}) for wanted, got in pairs)
    return held / max(1, int(np.count_nonzero(truth >= 0)))


def _centroids(sample: Float32Array, lists: int, cancelled: Callable[[], bool]) -> Float32Array:
    """k-means centroids `(lists, d) float32`, trained in single rounds, so that it can be cancelled in between."""
    clustering = faiss.Clustering(sample.shape[1], lists)
    clustering.niter, clustering.seed, clustering.verbose = 1, 1, False
    clustering.min_points_per_centroid = 1
    clustering.max_points_per_centroid = _SAMPLES_PER_LIST
    assigner = _assigner(sample.shape[1])
    for _ in range(_ROUNDS):
        _stop_if(cancelled)
        clustering.train(sample, assigner)
    centroids: Float32Array = faiss.vector_to_array(clustering.centroids).reshape(lists, -1)
    return centroids


def _assigner(dimension: int) -> Any:
    """The index that assigns rows to centroids, on a GPU where FAISS can use one. Never searched with a filter."""
    index = faiss.IndexFlatL2(dimension)
    if getattr(faiss, "get_num_gpus", int)() > 0:
        return faiss.index_cpu_to_all_gpus(index)
    return index


def _stop_if(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Cancelled
