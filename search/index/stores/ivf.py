"""Rows as one-bit codes in lists, for partitions too large to scan: codes find candidates, exact rows score them.

FAISS holds the codes (RaBitQ, arXiv 2405.12497: 64 bytes and some factors for 512 dimensions, an eighth of
8-bit codes and three times as fast at equal recall after scoring); the exact rows lie in a mapped file as
float16, as the catalogue stores them. A removed row stays as a dead slot until the store is rebuilt.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from msgspec import Struct, structs

from search.arrays import Float32Array, FloatArray, Int64Array, IntArray, UInt8Array
from search.errors import PartitionError
from search.index.exact import best_of_blocks
from search.index.faiss_setup import faiss, use_threads
from search.index.planner import Lists, Planner, Way, plan_lists
from search.index.stores.rowfile import RowFile
from search.index.stores.slots import ABSENT
from search.index.stores.snapshot import Contents, Tuning
from search.index.stores.store import Store

_FEWEST_CANDIDATES = 50  # scored exactly, also when one result is wanted
_WIDER = 4  # times as many lists when too few rows were found
_BATCH = 8  # queries from which reading all rows once for one matrix product pays


class _Codes(Struct, frozen=True):
    """Encoded rows, about to be filed in lists."""

    lists: Int64Array  # (n,)
    codes: UInt8Array  # (n, bytes)
    pointers: list[Any]  # to the codes, for FAISS


class IvfStore(Store[_Codes]):
    """Slots in the order of arrival; `count` of `extent` are alive."""

    def __init__(self, index: Any, tuning: Tuning, folder: Path | None, plan: Planner = plan_lists) -> None:
        super().__init__(index.d)
        self.tuning = tuning
        self._plan = plan
        self._index = index
        self._quantizer = faiss.downcast_index(index.quantizer)
        self._file = RowFile(index.d, folder)
        self._shown = self._file.rows
        self._list_of = np.empty(0, np.int32)  # by slot
        self._exact = _exact_index(index.d)
        self._exact.ntotal = index.ntotal
        self._refined = faiss.IndexRefine(index, self._exact)
        self._alive = np.empty(0, np.uint8)  # a bit a slot

    @classmethod
    def over(cls, contents: Contents, folder: Path | None, plan: Planner = plan_lists) -> Self:
        """A store over the arrays of a snapshot. Raises PartitionError when its parts don't fit together."""
        try:
            index = faiss.deserialize_index(contents.index)
        except RuntimeError as error:
            raise PartitionError(f"a partition's lists can't be read: {error}") from None
        if not isinstance(index, faiss.IndexIVFRaBitQ) or contents.tuning is None:
            raise PartitionError("a partition's lists are of another kind")
        if index.ntotal != len(contents.ids) or index.d != contents.rows.shape[1]:
            raise PartitionError("a partition's lists do not fit its rows")
        store = cls(index, contents.tuning, folder, plan)
        store._ids, store.extent = contents.ids, len(contents.ids)
        store._file = RowFile(index.d, folder, contents.rows)
        alive = np.flatnonzero(contents.ids != ABSENT).astype(np.int32)
        store._slots.put(contents.ids[alive], alive)
        store.count = len(alive)
        store._reserve_lists(store.extent)
        store._reserve_bits(store.extent)
        store._mark(0, store.extent)
        for number in range(index.nlist):
            store._list_of[_members(index.invlists, number)] = number
        store._publish()
        return store

    @property
    def lists(self) -> Lists:
        """How many lists there are, and how many a query probes."""
        count = self._index.nlist
        return Lists(count, min(self.tuning.nprobe, count), min(self.tuning.filtered, count))

    @property
    def size_bytes(self) -> int:
        """Memory held: codes, centroids and bookkeeping; exact rows are in the file."""
        codes: int = self.extent * (self._index.code_size + 8)
        centroids: int = self._index.nlist * self.dimension * 4
        return codes + centroids + self._ids.nbytes + self._list_of.nbytes + self._slots.size_bytes

    def prepare(self, vectors: Float32Array) -> _Codes:
        """See Store. Writes the exact rows where no reader looks, and encodes them.

        Under the lock this would hold up searches ten times as long as filing the codes does.
        """
        use_threads(len(vectors))
        self._reserve_ids(len(vectors))
        self._reserve_lists(len(self._ids))
        self._file.reserve(self.extent + len(vectors))
        self._file.rows[self.extent : self.extent + len(vectors)] = vectors
        vectors, pointer = np.ascontiguousarray(vectors, np.float32), faiss.swig_ptr
        lists = self._quantizer.search(vectors, 1)[1][:, 0].copy()
        codes = np.empty((len(vectors), self._index.code_size), np.uint8)
        self._index.encode_vectors(len(vectors), pointer(vectors), pointer(lists), pointer(codes))
        return _Codes(lists, codes, [pointer(code) for code in codes])

    def place(self, ids: Int64Array, vectors: Float32Array, prepared: _Codes | None) -> None:
        """See Store."""
        codes = prepared or self.prepare(vectors)
        use_threads(len(ids))
        self._kill(ids)
        slots = np.arange(self.extent, self.extent + len(ids), dtype=np.int64)
        add_entry = self._index.invlists.add_entry
        for number, slot, pointer in zip(codes.lists.tolist(), slots.tolist(), codes.pointers, strict=True):
            add_entry(number, slot, pointer)
        self._index.ntotal += len(ids)
        self._ids[slots], self._list_of[slots] = ids, codes.lists
        self._slots.put(ids, slots.astype(np.int32))
        self._reserve_bits(len(self._ids))
        self._mark(self.extent, self.extent + len(ids))
        self.extent += len(ids)
        self.count += len(ids)
        self._publish()

    def drop(self, ids: Int64Array) -> int:
        """See Store."""
        gone = self._kill(ids)
        if gone:
            self._publish()
        return gone

    def rows(self, slots: IntArray) -> Float32Array:
        """See Store."""
        return self._file.rows[slots].astype(np.float32)

    def search(
        self, queries: Float32Array, k: int, slots: IntArray | None, exact: bool
    ) -> tuple[Float32Array, Int64Array]:
        """See Store. Probes more lists until `k` rows are found, and finally reads all rows."""
        use_threads(len(queries))
        if slots is not None and len(slots) == self.count:
            slots = None
        plan = self._plan(self.count, None if slots is None else len(slots), self.dimension, self.lists)
        if exact or plan.way not in (Way.PROBE, Way.NARROW):
            return self._search_exactly(queries, k, slots, gather=plan.way is Way.GATHER)
        if plan.way is Way.PROBE and slots is None and plan.nprobe == self.tuning.nprobe:
            scores, slots_found = self.probe(queries, k, self.tuning)
            if slots_found[:, -1].min() >= 0:
                return scores, slots_found
        scores, slots_found = (
            np.full((len(queries), k), -np.inf, np.float32),
            np.full((len(queries), k), ABSENT, np.int64),
        )
        todo, nprobe = np.arange(len(queries)), plan.nprobe
        while len(todo) and nprobe < self.lists.count:
            if plan.way is Way.PROBE:
                tuning = structs.replace(self.tuning, nprobe=nprobe)
                scores[todo], slots_found[todo] = self.probe(queries[todo], k, tuning, slots)
            elif slots is not None:
                for row in todo:
                    scores[row], slots_found[row] = self._narrow(queries[row : row + 1], k, nprobe, slots)
            todo = todo[slots_found[todo, -1] == ABSENT]
            nprobe *= _WIDER
        if len(todo):
            scores[todo], slots_found[todo] = self._search_exactly(queries[todo], k, slots, gather=False)
        return scores, slots_found

    def contents(self) -> Contents:
        """See Store."""
        return Contents(
            self._ids[: self.extent], self._file.rows[: self.extent], self.tuning, faiss.serialize_index(self._index)
        )

    def probe(
        self, queries: Float32Array, k: int, tuning: Tuning, slots: IntArray | None = None
    ) -> tuple[Float32Array, Int64Array]:
        """`(n, k)` scores and slots of the best `k` per query in `tuning.nprobe` lists; -1 where they hold fewer.

        Among `slots` (sorted, unique, int64) if given.
        """
        selector = self._selector(slots)
        # Parameters go with the call: a shared index whose nprobe is changed answers others wrongly.
        nprobe, factor = min(tuning.nprobe, self._index.nlist), max(tuning.candidates, _FEWEST_CANDIDATES / k)
        make = _parameters if selector is None else _make_parameters
        scores, slots_found = self._refined.search(queries, k, params=make(nprobe, factor, selector))
        return scores, slots_found

    def depths(self, queries: Float32Array, slots: IntArray) -> Int64Array:
        """How many of its closest lists each query must probe to reach `slots`.

        `(n, d) float32` queries and `(n, k)` slots -> `(n, k) int64`, -1 where the slot is ABSENT.
        """
        order = self._quantizer.search(queries, self.lists.count)[1]
        depth = np.empty_like(order)
        np.put_along_axis(depth, order, np.arange(1, self.lists.count + 1)[None], axis=1)
        return np.where(
            slots == ABSENT, ABSENT, np.take_along_axis(depth, self._list_of[slots].astype(np.int64), axis=1)
        )

    def _narrow(self, query: Float32Array, k: int, nprobe: int, slots: IntArray) -> tuple[Float32Array, Int64Array]:
        """Exact scores of those `slots` that lie in the `nprobe` closest lists.

        Codes are too coarse to choose among them: where neighbours are rare, they differ by less than the codes' error.
        """
        probed = np.zeros(self.lists.count, bool)
        probed[self._quantizer.search(query, nprobe)[1][0]] = True
        slots = slots[probed[self._list_of[slots]]]
        scores, slots_found = np.full(k, -np.inf, np.float32), np.full(k, ABSENT, np.int64)
        count = min(k, len(slots))
        if count:
            best, best_slots = self._search_exactly(query, count, slots, gather=True)
            scores[:count], slots_found[:count] = best[0], best_slots[0]
        return scores, slots_found

    def _search_exactly(
        self, queries: Float32Array, k: int, slots: IntArray | None, gather: bool
    ) -> tuple[Float32Array, Int64Array]:
        if len(queries) >= _BATCH:
            slots = np.flatnonzero(self._ids[: self.extent] != ABSENT) if slots is None else slots
            return best_of_blocks(queries, k, slots, self.rows)
        if slots is not None and gather:
            gathered = _exact_index(self.dimension)
            rows = self._file.rows[slots]
            _look_at(gathered, rows, len(rows))
            scores, places = gathered.search(queries, k)
            return scores, slots[places]
        selector = self._selector(slots)
        parameters = faiss.SearchParameters(sel=selector) if selector is not None else None
        scores, slots_found = self._exact.search(queries, k, params=parameters)
        return scores, slots_found

    def _reserve_lists(self, capacity: int) -> None:
        if capacity > len(self._list_of):
            self._list_of = np.concatenate([self._list_of, np.empty(capacity - len(self._list_of), np.int32)])

    def _reserve_bits(self, capacity: int) -> None:
        needed = (capacity + 7) // 8
        if needed > len(self._alive):
            self._alive = np.concatenate([self._alive, np.zeros(needed - len(self._alive), np.uint8)])

    def _mark(self, start: int, end: int) -> None:
        """Mark slots from `start` to `end` as alive where they hold an id, and those after them as dead."""
        first = start // 8
        alive = self._ids[first * 8 : end] != ABSENT
        bits = np.packbits(alive, bitorder="little")
        self._alive[first : first + len(bits)] = bits

    def _selector(self, slots: IntArray | None) -> Any:
        if slots is None:
            return None if self.count == self.extent else faiss.IDSelectorBitmap(self._alive)
        marks = np.zeros(self.extent, bool)
        marks[slots] = True
        return faiss.IDSelectorBitmap(np.packbits(marks, bitorder="little"))

    def _kill(self, ids: Int64Array) -> int:
        slots = self._slots.get(ids)
        held = slots != ABSENT
        if held.any():
            self._slots.forget(ids[held])
            self._ids[slots[held]] = ABSENT
            # Bit by bit: packing everything again takes a millisecond per million rows, under the lock.
            dead = np.left_shift(1, slots[held] & 7).astype(np.uint8)
            np.bitwise_and.at(self._alive, slots[held] >> 3, ~dead)
        gone = int(np.count_nonzero(held))
        self.count -= gone
        return gone

    def _publish(self) -> None:
        """Let the exact index see the rows added so far."""
        # Held here because FAISS reads it: when the file grows, another thread may still be searching.
        self._shown = self._file.rows
        _look_at(self._exact, self._shown, self.extent)
        self._refined.ntotal = self.extent


def _exact_index(dimension: int) -> Any:
    return faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def _make_parameters(nprobe: int, factor: float, selector: Any = None) -> Any:
    return faiss.IndexRefineSearchParameters(
        k_factor=factor, base_index_params=faiss.SearchParametersIVF(nprobe=nprobe, sel=selector)
    )


# Making them takes longer than reading a list.
_parameters = lru_cache(maxsize=64)(_make_parameters)


def _look_at(index: Any, rows: FloatArray, count: int) -> None:
    """Let a float16 index read `rows` where they are. The caller keeps them alive."""
    size = count * rows.shape[1] * rows.itemsize
    index.codes = faiss.MaybeOwnedVectorUInt8.create_view(faiss.swig_ptr(rows.view(np.uint8)), size, index.codes.owner)
    index.ntotal = count


def _members(lists: Any, number: int) -> Int64Array:
    """The slots filed in one list, `(n,) int64`."""
    size = lists.list_size(number)
    return faiss.rev_swig_ptr(lists.get_ids(number), size) if size else np.empty(0, np.int64)
