"""FAISS on GPUs: the one file that knows its GPU API. Rows lie on the cards, answers come back as positions.

The cards propose and never decide: the caller scores the proposals again from exact rows in memory. Whether this
build of FAISS honours selectors is asked once at start, not believed: the plain GPU build ignores them in silence
(https://github.com/facebookresearch/faiss/issues/3114), the build with cuVS does not. Several cards each hold a part
of the rows, and each gets its own selector: FAISS's `IndexShards` hands one selector to all parts, whose labels it
then takes for others' (it answers from outside the filter), and `IndexReplicas` refuses them. Knows no ids, no
filters and no store.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from search.arrays import BoolArray, Float32Array, Int32Array, Int64Array
from search.index.exact import keep_best
from search.index.faiss_setup import faiss

_log = logging.getLogger(__name__)

MOST_PROPOSALS = 2048  # FAISS selects no more on a GPU (GPU_MAX_SELECTION_K)
# Rounding unit vectors to half precision (or to TF32) and adding up their products in single precision moves a score
# by less than this.
ERROR = 3 * 2.0**-11
ADDED_ROWS = 8192  # put on a card at a time, at most
WORTH_ADDING = 1024  # and at least: each time the card copies what it holds of a part, to make room
PART_ROWS = 1 << 20  # in one index: bounds the copy to a gigabyte at 512 dimensions, and spreads rows over cards
_TEMPORARY_BYTES = 256 * 1024**2  # kept on each card for FAISS's intermediate results; its own default is 1.5 GiB
_TESTED_ROWS = 300  # of the self-test; no multiple of 32, so that the last word of the bitmap is not full
_DRIVER = Path("/proc/driver/nvidia/version")
BUILDS = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cuvs")  # distributions that install the package `faiss`
_SWAP = "pip uninstall -y faiss-cpu faiss-gpu-cuvs, then pip install faiss-gpu-cuvs"

ResultT = TypeVar("ResultT")


class DeviceError(Exception):
    """A card failed, mostly for lack of memory. The CPU takes over; only the log reports it."""


class _Card:
    """One GPU: FAISS's resources for it, which only one thread may use at a time."""

    def __init__(self, library: Any, number: int) -> None:
        self.number = number
        self.lock = threading.Lock()
        self.resources = library.StandardGpuResources()
        self.resources.setTempMemory(_TEMPORARY_BYTES)
        self.rows = 0

    def run(self, work: Callable[[], ResultT]) -> ResultT:
        """`work()`, alone on this card. Raises DeviceError."""
        with self.lock:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                raise DeviceError(f"GPU {self.number}: {str(error).splitlines()[-1].strip()}") from None


class Gpu:
    """The cards that partitions may use. `selectors` tells whether flat indexes honour filters on this build.

    `library` is FAISS's package: a build for GPUs, or a stand-in for tests. Raises DeviceError where the cards
    can't be used.
    """

    def __init__(self, library: Any, cards: Sequence[int]) -> None:
        self._library = library
        try:
            self.cards = [_Card(library, number) for number in cards]
        except (RuntimeError, MemoryError) as error:
            raise DeviceError(f"GPUs {list(cards)} can't be used: {error}") from None
        self._threads = ThreadPoolExecutor(len(cards), "gpu") if len(cards) > 1 else None
        self._cuvs = False
        self.selectors = False
        try:
            self._cuvs = self.selectors = self._honours_selectors()
        except DeviceError as error:
            _log.info("filters are not left to the GPU: %s", error)

    def flat(self, dimension: int) -> DeviceIndex:
        """An empty index that scores every row in half precision, by inner product."""

        def make(card: _Card) -> Any:
            settings = self._library.GpuIndexFlatConfig()
            settings.device, settings.useFloat16, settings.use_cuvs = card.number, True, self._cuvs
            return self._library.GpuIndexFlatIP(card.resources, dimension, settings)

        return DeviceIndex(self, make, PART_ROWS)

    def lists(self, centroids: Float32Array, sample: Float32Array, half: bool) -> DeviceIndex:
        """An empty index of inverted lists around `(lists, d) float32` centroids, in half precision or 8 bits a value.

        By distance, which orders unit rows as inner products do. `sample` `(n, d) float32` shows 8 bits their range.
        """
        count, dimension = centroids.shape
        quantizer = faiss.IndexFlatL2(dimension)
        quantizer.add(centroids)
        kind = faiss.ScalarQuantizer.QT_fp16 if half else faiss.ScalarQuantizer.QT_8bit
        empty = faiss.IndexIVFScalarQuantizer(quantizer, dimension, count, kind, faiss.METRIC_L2, False)
        empty.train(sample)

        def make(card: _Card) -> Any:
            return self._library.index_cpu_to_gpu(card.resources, card.number, empty)

        return DeviceIndex(self, make, None)

    def knn(self, queries: Float32Array, rows: Float32Array, k: int) -> tuple[Float32Array, Int64Array]:
        """Scores and places `(n, k)` of the best of rows that are in memory. Raises DeviceError."""
        card = min(self.cards, key=lambda card: card.lock.locked())

        def work() -> tuple[Float32Array, Int64Array]:
            return self._library.knn_gpu(  # type: ignore[no-any-return]
                card.resources, queries, rows, k, metric=faiss.METRIC_INNER_PRODUCT, device=card.number
            )

        return card.run(work)

    def side_by_side(self, works: Sequence[Callable[[], ResultT]]) -> list[ResultT]:
        """The results of all of them; those of different cards run at the same time."""
        if self._threads is None or len(works) < 2:
            return [work() for work in works]
        return [started.result() for started in [self._threads.submit(work) for work in works]]

    def ask(
        self, index: Any, queries: Float32Array, k: int, nprobe: int | None, allowed: BoolArray | None
    ) -> tuple[Float32Array, Int64Array]:
        """Ask one index, on whose card the caller has the only thread, for `(n, k)` scores and positions.

        `allowed` only where `selectors` says so.
        """
        parameters = None
        if nprobe is not None:
            parameters = self._library.SearchParametersIVF(nprobe=nprobe)
        elif allowed is not None:
            selector = self._library.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
            parameters = self._library.SearchParameters(sel=selector)
        scores, labels = index.search(queries, k, params=parameters)
        return scores, labels

    def _honours_selectors(self) -> bool:
        """Whether a flat index of this build, given a filter, returns the rows that pass and no others."""
        rows = np.random.default_rng(0).standard_normal((_TESTED_ROWS, 32)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        allowed = np.arange(_TESTED_ROWS) % 7 == 3
        queries, k = rows[:5], 20
        for card in self.cards:

            def work(card: _Card = card) -> Int64Array:
                settings = self._library.GpuIndexFlatConfig()
                settings.device, settings.useFloat16, settings.use_cuvs = card.number, True, True
                index = self._library.GpuIndexFlatIP(card.resources, rows.shape[1], settings)
                index.add(rows)
                return self.ask(index, queries, k, None, allowed)[1]

            positions = card.run(work)
            among = np.flatnonzero(allowed)
            expected = queries @ rows[among].T
            if not np.isin(positions, among).all():
                return False
            scores = np.take_along_axis(queries @ rows.T, positions, 1)
            if np.any(np.sort(scores, axis=1) < np.sort(expected, axis=1)[:, -k:] - ERROR):
                return False
        return True


class DeviceIndex:
    """Rows on the cards, in positions from 0 to `count` in the order in which they came. Never changed, only added to.

    Not to be added to by two threads at once; searches may run meanwhile. All methods raise DeviceError.
    """

    def __init__(self, gpu: Gpu, make: Callable[[_Card], Any], part_rows: int | None) -> None:
        self._gpu = gpu
        self._make = make
        self._part_rows = part_rows  # None: one part a card, whatever its size
        self._parts: list[_Part] = []
        self.count = 0
        if part_rows is None:
            self._parts = [self._new_part(card) for card in gpu.cards]

    def add(self, rows: Float32Array) -> None:
        """Append `(n, d) float32` rows, n at most ADDED_ROWS."""
        part = self._part_for(len(rows))
        part.card.run(lambda: part.index.add(rows))
        part.append(np.arange(self.count, self.count + len(rows), dtype=np.int32))
        part.card.rows += len(rows)
        self.count += len(rows)

    def search(
        self, queries: Float32Array, k: int, nprobe: int | None = None, allowed: BoolArray | None = None
    ) -> tuple[Float32Array, Int64Array]:
        """Scores and positions `(n, k)`, best first; -inf and -1 fill up. k is at most MOST_PROPOSALS.

        `nprobe` lists are read where the index has lists. `allowed` marks the positions that may be found; only a flat
        index takes it, and only where `Gpu.selectors` says that it is heeded.
        """
        assert allowed is None or (self._gpu.selectors and nprobe is None)

        def work(part: _Part) -> Callable[[], tuple[Float32Array, Int64Array]]:
            def ask() -> tuple[Float32Array, Int64Array]:
                count = part.count
                positions = part.positions[:count]
                here = None if allowed is None else allowed[positions]
                if here is not None and not here.any():
                    return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
                scores, labels = part.card.run(lambda: self._gpu.ask(part.index, queries, min(k, count), nprobe, here))
                # A row that was added a moment ago is not ours yet.
                missing = (labels < 0) | (labels >= count)
                if nprobe is not None:
                    scores = -scores  # distances
                return (
                    np.where(missing, np.float32(-np.inf), scores),
                    np.where(missing, -1, positions[np.where(missing, 0, labels)]),
                )

            return ask

        answers = self._gpu.side_by_side([work(part) for part in tuple(self._parts) if part.count])
        if not answers:
            answers = [(np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64))]
        if len(answers) == 1:
            scores, best_positions = answers[0]
        else:
            scores = np.concatenate([scores for scores, _ in answers], axis=1)
            best_positions = np.concatenate([best_positions for _, best_positions in answers], axis=1)
            scores, best_positions = keep_best(scores, best_positions, k)
        missing = k - scores.shape[1]
        return (
            np.pad(scores, ((0, 0), (0, missing)), constant_values=-np.inf),
            np.pad(best_positions, ((0, 0), (0, missing)), constant_values=-1),
        )

    def close(self) -> None:
        """Free the cards' memory."""
        for part in self._parts:
            part.card.rows -= part.count
        self._parts = []
        self.count = 0

    def _part_for(self, count: int) -> _Part:
        if self._part_rows is None:
            return min(self._parts, key=lambda part: part.count)
        if not self._parts or self._parts[-1].count + count > self._part_rows:
            self._parts = [*self._parts, self._new_part(min(self._gpu.cards, key=lambda card: card.rows))]
        return self._parts[-1]

    def _new_part(self, card: _Card) -> _Part:
        return _Part(card, card.run(lambda: self._make(card)))


class _Part:
    """One FAISS index on one card, and the positions of its rows."""

    def __init__(self, card: _Card, index: Any) -> None:
        self.card = card
        self.index = index
        self.positions: Int32Array = np.empty(0, np.int32)
        self.count = 0

    def append(self, positions: Int32Array) -> None:
        end = self.count + len(positions)
        if end > len(self.positions):
            grown = np.empty(max(end, len(self.positions) * 3 // 2), np.int32)
            grown[: self.count] = self.positions[: self.count]
            self.positions = grown
        self.positions[self.count : end] = positions
        self.count = end  # last: readers look no further than this


def find_gpu(setting: str) -> Gpu | None:
    """The GPUs that the setting `device` means for partitions; None is the CPU. Made once in a process."""
    return None if setting == "cpu" else _opened(setting)


@cache
def _opened(setting: str) -> Gpu | None:
    warn_of_builds()
    count = getattr(faiss, "get_num_gpus", int)()
    wanted = [int(setting.partition(":")[2])] if ":" in setting else list(range(count))
    if not wanted or max(wanted) >= count:
        if setting != "auto" or _DRIVER.exists():
            built = importlib.util.find_spec("faiss._gpu_build") is not None
            remedy = (
                "is the driver there, and CUDA_VISIBLE_DEVICES right?"
                if built
                else f"it takes a build for them: {_SWAP}"
            )
            _log.warning("partitions are searched on the CPU: FAISS sees %d GPUs (%s)", count, remedy)
        return None
    try:
        gpu = Gpu(faiss, wanted)
    except DeviceError as error:
        _log.warning("partitions are searched on the CPU: %s", error)
        return None
    _log.info(
        "partitions are searched on GPUs %s; filters %s", wanted, "too" if gpu.selectors else "are left to the CPU"
    )
    return gpu


def installed_builds() -> list[str]:
    """The distributions that install a package `faiss` into this environment; more than one overwrite each other."""
    return [name for name in BUILDS if any(importlib.metadata.distributions(name=name))]


def warn_of_builds() -> None:
    """Warn if several builds of FAISS are installed over each other: which one is used is then a matter of chance."""
    builds = installed_builds()
    if len(builds) > 1:
        _log.warning("%s are both installed and overwrite each other's files: %s", " and ".join(builds), _SWAP)
