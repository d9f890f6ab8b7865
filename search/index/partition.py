"""The vectors of one signal in one space, searchable while they change.

Checks what it is given, lets many searches or one change run at a time, and knows the snapshot file. Ids are
segment ids. Knows neither the catalogue nor what a vector means.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

from search.arrays import BoolArray, Float32Array, FloatArray, Int64Array
from search.errors import PartitionError
from search.index.checks import as_ids, as_rows, last_of_each, padded, require_direction, require_unit
from search.index.exact import best_rows, keep_best
from search.index.filter_cache import FilterCache
from search.index.gpu import DeviceError
from search.index.locks import ReadWriteLock
from search.index.options import EXACT, PartitionOptions
from search.index.planner import Lists, are_stale, wants_lists
from search.index.stores.flat import FlatStore
from search.index.stores.gpu_flat import GpuStore
from search.index.stores.gpu_ivf import GpuIvfStore
from search.index.stores.ivf import IvfStore
from search.index.stores.ivf_building import DEPTH, Cancelled, build_lists, held_out, measured_tuning, sample_size
from search.index.stores.slots import ABSENT
from search.index.stores.snapshot import Tuning, read_snapshot, write_snapshot
from search.index.stores.store import Store

_log = logging.getLogger(__name__)

# Rows written under one lock: two tenths of a millisecond, so that searches hardly notice.
_WRITE_ROWS = 128
_BLOCK_ROWS = 8192  # rows read at a time while a store is built
_LIVE_QUERIES = 256
_PROBED_AT_ONCE = 16  # queries under one lock while tuning
_NO_IDS = np.empty(0, np.int64)

__all__ = ["Partition", "PartitionOptions"]


class Partition:
    """Inner products over unit rows. Thread-safe."""

    def __init__(self, dimension: int, options: PartitionOptions = EXACT) -> None:
        self._options = options
        self._too_large_for_gpu = False  # a card failed to hold the rows as they are
        self._store: Store[Any] = self._flat(dimension)
        self._lock = ReadWriteLock()
        self._writer = threading.Lock()  # one change at a time; searches go on until it publishes
        self._touched: list[Int64Array] | None = None  # ids that changed while a new store is being built
        self._filters = FilterCache()
        self._live: deque[Float32Array] = deque(maxlen=_LIVE_QUERIES)
        self._untuned = 0  # queries since the number of probed lists was last measured
        self._tune_after = _LIVE_QUERIES

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self._store.dimension

    def __len__(self) -> int:
        return self._store.count

    @property
    def size_bytes(self) -> int:
        """Memory held."""
        return self._store.size_bytes

    @property
    def approximate(self) -> bool:
        """Whether searches may miss; `audit` tells how often."""
        return isinstance(self._store, IvfStore)

    @property
    def lists(self) -> Lists | None:
        """How an approximate partition is searched."""
        store = self._store
        return store.lists if isinstance(store, IvfStore) else None

    def add(self, ids: Int64Array, vectors: FloatArray) -> None:
        """Add `(n, d)` float16 or float32 unit rows under `(n,)` ids; an id that is held is replaced.

        Where an id comes twice its last row wins. Raises PartitionError.
        """
        ids = as_ids(ids)
        rows = as_rows(vectors, self.dimension, (np.float16, np.float32), len(ids))
        require_unit(rows)
        ids, rows = last_of_each(ids, rows)
        with self._writer:
            self._touch(ids)
            for start in range(0, len(ids), _WRITE_ROWS):
                part = slice(start, start + _WRITE_ROWS)
                prepared = self._store.prepare(rows[part])
                with self._changing():
                    self._store.place(ids[part], rows[part], prepared)

    def remove(self, ids: Int64Array) -> int:
        """Drop ids `(n,)`; ids that are not held are ignored. Returns how many were held."""
        ids = np.unique(as_ids(ids))
        with self._writer:
            self._touch(ids)
            with self._changing():
                return self._store.drop(ids)

    def search(
        self,
        queries: Float32Array,
        k: int,
        allowed: Int64Array | None = None,
        exact: bool = False,
        remember: bool = True,
    ) -> tuple[Float32Array, Int64Array]:
        """The best `k` per query, among `allowed` ids if given: scores `(n, k) float32`, ids `(n, k) int64`.

        Best first; where fewer exist, -inf and -1 fill up. Queries are `(n, d) float32`. `exact` forbids
        approximation; queries that `remember` says count as live ones. Raises PartitionError.
        """
        queries = as_rows(queries, self.dimension, (np.float32,))
        require_direction(queries)
        if k < 1:
            raise PartitionError(f"k must be at least 1, not {k}")
        if remember:
            self._live.extend(queries[:_LIVE_QUERIES].copy())
            self._untuned += len(queries)
        with self._lock.read():
            slots = None if allowed is None else self._filters.slots(self._store, as_ids(allowed))
            wanted = min(k, self._store.count if slots is None else len(slots))
            if not wanted or not len(queries):
                return padded(np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64), k)
            scores, best_slots = self._store.search(queries, wanted, slots, exact)
            ids = self._store.ids_at(best_slots)
        return padded(*keep_best(scores, ids, wanted), k)

    def score(self, query: Float32Array, ids: Int64Array) -> Float32Array:
        """Exact scores `(n,) float32` of ids against one `(d,) float32` query; -inf for ids not held."""
        query = as_rows(np.asarray(query)[None], self.dimension, (np.float32,))[0]
        rows, held = self._rows(as_ids(ids))
        return np.where(held, rows @ query, np.float32(-np.inf))

    def vectors(self, ids: Int64Array) -> Float32Array:
        """Stored rows `(n, d) float32` of ids; zeros for ids not held."""
        return self._rows(as_ids(ids))[0]

    def ids(self) -> Int64Array:
        """All ids, `(n,) int64`, in no order."""
        with self._lock.read():
            return self._store.ids

    def live_queries(self) -> Float32Array:
        """The latest queries, `(n, d) float32`: what audits and tuning sample."""
        live = list(self._live)
        return np.stack(live) if live else np.empty((0, self.dimension), np.float32)

    def save(self, path: Path, fingerprint: str = "", sequence: int = 0) -> None:
        """Write a snapshot and publish it by an atomic rename. Searches continue; changes wait."""
        with self._writer:
            write_snapshot(path, fingerprint, sequence, self._store.contents())

    @classmethod
    def load(cls, path: Path, fingerprint: str = "", options: PartitionOptions = EXACT) -> tuple[Self, int]:
        """Open a snapshot: the partition, and the sequence number that it has reached.

        Raises PartitionError when it is absent, damaged, or of another space.
        """
        header, contents = read_snapshot(path)
        if header.fingerprint != fingerprint:
            raise PartitionError(f"{path} belongs to the space {header.fingerprint}, not to {fingerprint}")
        partition = cls(header.dimension, options)
        if header.tuning is None:
            store = partition._flat(header.dimension)
            store.adopt(contents.ids, contents.rows)
            partition._store = store
        else:
            if options.gpu is None:
                partition._store = IvfStore.over(contents, options.folder, options.plan)
            else:
                on_gpu = GpuIvfStore.over(contents, options.folder, options.plan)
                on_gpu.upload(options.gpu)
                partition._store = on_gpu
        return partition, header.sequence

    def needs_tending(self) -> bool:
        """Whether `tend` would move the rows: the store is too small or too large for them, or tuned to old queries."""
        return self._needs_store() or (self.approximate and self._untuned >= self._tune_after)

    def tend(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Move the rows into the store that fits them now, tuned to the latest queries.

        Slow; searches and changes continue meanwhile.
        """
        if self._needs_store():
            self._rebuild(cancelled)
        store = self._store
        if isinstance(store, IvfStore) and self._untuned >= self._tune_after and len(self):
            self._untuned = 0
            # What people ask changes slowly, and measuring reads every row.
            self._tune_after *= 4
            self._tune(store)

    def truth(self, queries: Float32Array, k: int, allowed: Int64Array | None = None) -> Int64Array:
        """Ids `(n, k) int64` as an exact search finds them, in pieces that delay no other search. Slow."""
        ids = self.ids() if allowed is None else np.intersect1d(self.ids(), as_ids(allowed))
        scores, best_ids = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        for part, rows in self._blocks(ids):
            best, places = (
                best_rows(queries, rows, min(k, len(part))) if len(part) else (scores[:, :0], best_ids[:, :0])
            )
            scores, best_ids = np.concatenate([scores, best], axis=1), np.concatenate([best_ids, part[places]], axis=1)
            scores, best_ids = keep_best(scores, best_ids, k)
        return padded(scores, best_ids, k)[1]

    def _tune(self, store: IvfStore) -> None:
        sample = np.random.default_rng(0).permutation(self.ids())[:_LIVE_QUERIES]
        rows, held = self._rows(sample)
        kinds = held_out(rows[held], self.live_queries())
        k = min(DEPTH, len(self))

        def probe(queries: Float32Array, tuning: Tuning) -> Int64Array:
            neighbours = []
            for start in range(0, len(queries), _PROBED_AT_ONCE):
                with self._lock.read():
                    slots = store.probe(queries[start : start + _PROBED_AT_ONCE], k, tuning)[1]
                    neighbours.append(np.where(slots == ABSENT, ABSENT, store.ids_at(slots)))
            return np.concatenate(neighbours)

        def depths(queries: Float32Array, neighbours: Int64Array) -> Int64Array:
            with self._lock.read():
                return store.depths(queries, store.slots_of(neighbours))

        def truth(queries: Float32Array, left: Int64Array | None) -> Int64Array:
            return self.truth(queries, k, left)

        store.tuning = measured_tuning(store.tuning, store.lists.count, kinds, self.ids(), truth, probe, depths)

    def _needs_store(self) -> bool:
        return self._wants_lists() != self.approximate or self._is_stale()

    def _rebuild(self, cancelled: Callable[[], bool]) -> None:
        with self._writer:
            self._touched = []
            ids = self._store.ids
        try:
            store = self._build(ids, cancelled)
            with self._writer:
                self._replay(store, np.unique(np.concatenate(self._touched)) if self._touched else _NO_IDS)
                with self._changing():
                    self._store = store
        except Cancelled:
            return
        finally:
            self._touched = None

    def _flat(self, dimension: int) -> FlatStore:
        gpu = self._options.gpu
        if gpu is None or self._too_large_for_gpu:
            return FlatStore(dimension)
        try:
            return GpuStore(dimension, gpu)
        except DeviceError as error:
            _log.warning("a partition is searched on the CPU: %s", error)
            self._too_large_for_gpu = True
            return FlatStore(dimension)

    def _wants_lists(self) -> bool:
        options, store = self._options, self._store
        if isinstance(store, GpuStore) and not store.on_device:
            self._too_large_for_gpu = True
        on_gpu = options.gpu is not None and not self._too_large_for_gpu
        threshold = options.gpu_ivf_threshold if on_gpu else options.ivf_threshold
        return wants_lists(len(self), threshold, self.approximate)

    def _is_stale(self) -> bool:
        store = self._store
        if isinstance(store, IvfStore):
            return are_stale(store.count, store.extent, store.tuning.trained_rows)
        return isinstance(store, GpuStore) and store.on_device and are_stale(store.count, store.positions, store.count)

    def _build(self, ids: Int64Array, cancelled: Callable[[], bool]) -> Store[Any]:
        if not self._wants_lists():
            store = self._filled_flat(ids)
            old = self._store
            if isinstance(store, GpuStore) and not store.on_device and isinstance(old, GpuStore) and old.on_device:
                # Both together were too much; the CPU answers until the new one is there.
                old.release()
                store = self._filled_flat(ids)
            return store
        sample = np.random.default_rng(0).permutation(ids)[: sample_size(len(ids))]
        rows, held = self._rows(sample)

        options = self._options

        def empty_store(index: Any, tuning: Tuning) -> IvfStore:
            kind = IvfStore if options.gpu is None else GpuIvfStore
            return kind(index, tuning, options.folder, options.plan)

        built = build_lists(rows[held], len(ids), self._blocks(ids), self.live_queries(), empty_store, cancelled)
        if isinstance(built, GpuIvfStore) and options.gpu is not None:
            old = self._store
            if isinstance(old, GpuStore | GpuIvfStore):
                # Lists are wanted where rows are many: the cards may not hold them twice.
                old.release()
            built.upload(options.gpu)
        return built

    def _filled_flat(self, ids: Int64Array) -> FlatStore:
        store = self._flat(self.dimension)
        for part, rows in self._blocks(ids):
            store.prepare(rows)
            store.place(part, rows, None)
        return store

    def _blocks(self, ids: Int64Array) -> Iterator[tuple[Int64Array, Float32Array]]:
        for start in range(0, len(ids), _BLOCK_ROWS):
            part = ids[start : start + _BLOCK_ROWS]
            rows, held = self._rows(part)
            yield part[held], rows[held]

    def _replay(self, store: Store[Any], touched: Int64Array) -> None:
        """Copy what changed while `store` was being built from the old one."""
        store.drop(touched)
        for part, rows in self._blocks(touched):
            store.place(part, rows, store.prepare(rows))

    def _touch(self, ids: Int64Array) -> None:
        if self._touched is not None:
            self._touched.append(ids)

    def _rows(self, ids: Int64Array) -> tuple[Float32Array, BoolArray]:
        """Rows `(n, d) float32` of ids, zeros where not held; and which are held, `(n,) bool`."""
        out = np.zeros((len(ids), self.dimension), np.float32)
        with self._lock.read():
            slots = self._store.slots_of(ids)
            held = slots != ABSENT
            out[held] = self._store.rows(slots[held])
        return out, held

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the store exclusively; what was cached about filters is dropped."""
        with self._lock.write():
            self._filters.forget()
            yield
