"""The vectors of one signal in one space, searchable while they change.

Checks what comes in, lets many searches or one change run at a time, and knows the snapshot file. Ids are
segment ids. Knows neither the catalogue nor what a vector means.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

from search.errors import PartitionError
from search.index.building import DEPTH, Cancelled, build_lists, held_out, measured_tuning, sample_size
from search.index.checks import as_ids, as_rows, last_of_each, padded, require_direction, require_unit
from search.index.device import DeviceStore
from search.index.exact import best_rows, keep_best
from search.index.flat import FlatStore
from search.index.ivf import IvfStore
from search.index.locks import ReadWriteLock
from search.index.options import EXACT, PartitionOptions
from search.index.planner import Lists, are_stale, wants_lists
from search.index.resolving import Resolver
from search.index.slots import ABSENT
from search.index.snapshot import Tuning, read_snapshot, write_snapshot
from search.index.store import Store

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
        self._store: Store[Any] = self._flat(dimension)
        self._lock = ReadWriteLock()
        self._writer = threading.Lock()  # one change at a time; searches go on until it publishes
        self._touched: list[np.ndarray] | None = None  # ids that changed while a new store is being built
        self._filters = Resolver()
        self._live: deque[np.ndarray] = deque(maxlen=_LIVE_QUERIES)
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

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        """Add `(n, d)` float16 or float32 unit rows under `(n,)` ids; an id that is held is replaced.

        Where an id comes twice its last row wins. Raises PartitionError.
        """
        ids = as_ids(ids)
        vectors = as_rows(vectors, self.dimension, (np.float16, np.float32), len(ids))
        require_unit(vectors)
        ids, vectors = last_of_each(ids, vectors)
        with self._writer:
            self._touch(ids)
            for start in range(0, len(ids), _WRITE_ROWS):
                part = slice(start, start + _WRITE_ROWS)
                prepared = self._store.prepare(vectors[part])
                with self._changing():
                    self._store.place(ids[part], vectors[part], prepared)

    def remove(self, ids: np.ndarray) -> int:
        """Drop ids; those that are not held don't matter. Returns how many were."""
        ids = np.unique(as_ids(ids))
        with self._writer:
            self._touch(ids)
            with self._changing():
                return self._store.drop(ids)

    def search(
        self,
        queries: np.ndarray,
        k: int,
        allowed: np.ndarray | None = None,
        exact: bool = False,
        remember: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
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
            scores, found = self._store.search(queries, wanted, slots, exact)
            ids = self._store.ids_at(found)
        return padded(*keep_best(scores, ids, wanted), k)

    def score(self, query: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Exact scores `(n,) float32` of ids against one `(d,) float32` query; -inf for ids not held."""
        query = as_rows(np.asarray(query)[None], self.dimension, (np.float32,))[0]
        rows, held = self._rows(as_ids(ids))
        return np.where(held, rows @ query, np.float32(-np.inf))

    def vectors(self, ids: np.ndarray) -> np.ndarray:
        """Stored rows `(n, d) float32` of ids; zeros for ids not held."""
        return self._rows(as_ids(ids))[0]

    def ids(self) -> np.ndarray:
        """All ids, `(n,) int64`, in no order."""
        with self._lock.read():
            return self._store.ids

    def live_queries(self) -> np.ndarray:
        """The latest queries, `(n, d) float32`: what audits and tuning sample."""
        live = list(self._live)
        return np.stack(live) if live else np.empty((0, self.dimension), np.float32)

    def save(self, path: Path, fingerprint: str = "", sequence: int = 0) -> None:
        """Publish a snapshot by an atomic rename. Searches go on; changes wait."""
        with self._writer:
            write_snapshot(path, fingerprint, sequence, self._store.contents())

    @classmethod
    def load(cls, path: Path, fingerprint: str = "", options: PartitionOptions = EXACT) -> tuple[Self, int]:
        """Open a snapshot: the partition, and the sequence number it stands at.

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
            partition._store = IvfStore.over(contents, options.folder, options.plan)
        return partition, header.sequence

    def needs_tending(self) -> bool:
        """Whether the rows have outgrown, or no longer fill, the store they are in, or it knows old queries only."""
        return self._needs_store() or (self.approximate and self._untuned >= self._tune_after)

    def tend(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Move the rows into the store that fits them now, tuned to the latest queries.

        Slow; searches and changes go on meanwhile.
        """
        if self._needs_store():
            self._rebuild(cancelled)
        store = self._store
        if isinstance(store, IvfStore) and self._untuned >= self._tune_after and len(self):
            self._untuned = 0
            # What people ask changes slowly, and measuring reads every row.
            self._tune_after *= 4
            self._tune(store)

    def truth(self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> np.ndarray:
        """Ids `(n, k) int64` as an exact search finds them, read in pieces that hold up nobody. Slow."""
        ids = self.ids() if allowed is None else np.intersect1d(self.ids(), as_ids(allowed))
        scores, found = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        for part, rows in self._blocks(ids):
            best, places = best_rows(queries, rows, min(k, len(part))) if len(part) else (scores[:, :0], found[:, :0])
            scores, found = np.concatenate([scores, best], axis=1), np.concatenate([found, part[places]], axis=1)
            scores, found = keep_best(scores, found, k)
        return padded(scores, found, k)[1]

    def _tune(self, store: IvfStore) -> None:
        sample = np.random.default_rng(0).permutation(self.ids())[:_LIVE_QUERIES]
        rows, held = self._rows(sample)
        kinds = held_out(rows[held], self.live_queries())
        k = min(DEPTH, len(self))

        def probe(queries: np.ndarray, tuning: Tuning) -> np.ndarray:
            found = []
            for start in range(0, len(queries), _PROBED_AT_ONCE):
                with self._lock.read():
                    slots = store.probe(queries[start : start + _PROBED_AT_ONCE], k, tuning)[1]
                    found.append(np.where(slots == ABSENT, ABSENT, store.ids_at(slots)))
            return np.concatenate(found)

        def depths(queries: np.ndarray, found: np.ndarray) -> np.ndarray:
            with self._lock.read():
                return store.depths(queries, store.slots_of(found))

        def truth(queries: np.ndarray, left: np.ndarray | None) -> np.ndarray:
            return self.truth(queries, k, left)

        store.tuning = measured_tuning(store.tuning, store.lists.count, kinds, self.ids(), truth, probe, depths)

    def _needs_store(self) -> bool:
        return self._wants_lists() != self.approximate or (self.approximate and self._is_stale())

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
        return DeviceStore(dimension, self._options.device) if self._options.device else FlatStore(dimension)

    def _wants_lists(self) -> bool:
        return wants_lists(len(self), self._options.ivf_threshold, self.approximate)

    def _is_stale(self) -> bool:
        store = self._store
        return isinstance(store, IvfStore) and are_stale(store.count, store.extent, store.tuning.trained_rows)

    def _build(self, ids: np.ndarray, cancelled: Callable[[], bool]) -> Store[Any]:
        if not self._wants_lists():
            store = self._flat(self.dimension)
            for part, rows in self._blocks(ids):
                store.prepare(rows)
                store.place(part, rows, None)
            return store
        sample = np.random.default_rng(0).permutation(ids)[: sample_size(len(ids))]
        rows, held = self._rows(sample)

        def empty_store(index: Any, tuning: Tuning) -> IvfStore:
            return IvfStore(index, tuning, self._options.folder, self._options.plan)

        return build_lists(rows[held], len(ids), self._blocks(ids), self.live_queries(), empty_store, cancelled)

    def _blocks(self, ids: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(ids), _BLOCK_ROWS):
            part = ids[start : start + _BLOCK_ROWS]
            rows, held = self._rows(part)
            yield part[held], rows[held]

    def _replay(self, store: Store[Any], touched: np.ndarray) -> None:
        """What changed while `store` was being built is taken from the old one."""
        store.drop(touched)
        for part, rows in self._blocks(touched):
            store.place(part, rows, store.prepare(rows))

    def _touch(self, ids: np.ndarray) -> None:
        if self._touched is not None:
            self._touched.append(ids)

    def _rows(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of ids, zeros where not held; and which are held."""
        out = np.zeros((len(ids), self.dimension), np.float32)
        with self._lock.read():
            slots = self._store.slots_of(ids)
            held = slots != ABSENT
            out[held] = self._store.rows(slots[held])
        return out, held

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Alone with the store."""
        with self._lock.write():
            self._filters.forget()
            yield
