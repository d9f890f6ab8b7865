"""Rows in memory as in a flat store, and once more in half precision on GPUs, which find the candidates.

Exact: scores are computed from the rows in memory, and proposals are widened until no row that was left out could
have scored as high. So the results are those of the CPU, which goes on alone where a card fails.

A card's rows are only added to, at positions in the order of arrival: a row that was removed or replaced stays there as
a dead position until the store is rebuilt, and the latest rows are scored on the CPU until there are enough of them to
be worth a transfer. Knows no FAISS.
"""

from __future__ import annotations

import logging
import math

import numpy as np

from search.arrays import BoolArray, Float32Array, Int32Array, Int64Array, IntArray
from search.index.exact import keep_best
from search.index.gpu import ADDED_ROWS, ERROR, MOST_PROPOSALS, WORTH_ADDING, DeviceError, DeviceIndex, Gpu
from search.index.planner import GpuWay, plan_gpu
from search.index.stores.flat import FlatStore
from search.index.stores.slots import ABSENT

_log = logging.getLogger(__name__)

_SPARE = 32  # proposals beyond k
_WIDER = 4


class GpuStore(FlatStore):
    """A flat store that lets GPUs search."""

    def __init__(self, dimension: int, gpu: Gpu) -> None:
        super().__init__(dimension)
        self._gpu = gpu
        self._device: DeviceIndex | None = gpu.flat(dimension)
        self._placed = 0  # positions given out; those from `_device.count` on are not on a card yet
        self._slot_at: Int32Array = np.empty(0, np.int32)  # by position; ABSENT: dead
        self._position_of: Int32Array = np.empty(0, np.int32)  # by slot
        self._marked: tuple[IntArray, BoolArray] | None = None  # the last filter, and the positions it leaves

    @property
    def on_device(self) -> bool:
        """Whether the cards still hold the rows; False after one of them failed."""
        return self._device is not None

    @property
    def positions(self) -> int:
        """Rows on the cards or on the way there, dead ones included."""
        return self._placed

    def release(self) -> None:
        """Leave the cards to others: the CPU searches from now on."""
        if self._device is not None:
            self._device.close()
        self._device = None

    def prepare(self, vectors: Float32Array) -> None:
        """See Store. Puts the latest rows on a card when there are enough of them."""
        super().prepare(vectors)
        self._position_of = _grown(self._position_of, len(self._matrix))
        self._slot_at = _grown(self._slot_at, self._placed + len(vectors))
        self._upload()

    def adopt(self, ids: Int64Array, matrix: Float32Array) -> None:
        """See FlatStore."""
        super().adopt(ids, matrix)
        self._placed = len(ids)
        self._slot_at, self._position_of = np.arange(len(ids), dtype=np.int32), np.arange(len(ids), dtype=np.int32)
        self._upload()

    def drop(self, ids: Int64Array) -> int:
        """See Store."""
        slots = self._slots.get(ids)
        self._bury(slots[slots != ABSENT])
        return super().drop(ids)

    def search(
        self, queries: Float32Array, k: int, slots: IntArray | None, exact: bool
    ) -> tuple[Float32Array, Int64Array]:
        """See Store; always exact."""
        if slots is not None and len(slots) == self.count:
            slots = None
        device = self._device
        if device is not None:
            matches = self.count if slots is None else len(slots)
            way = plan_gpu(self.count, None if slots is None else matches, len(queries), k, self._gpu.selectors)
            try:
                if way is GpuWay.GATHER and slots is not None:
                    return self._gathered(queries, k, slots)
                if way in (GpuWay.WHOLE, GpuWay.SELECT):
                    proposed = self._proposed(device, queries, k, slots, selected=way is GpuWay.SELECT)
                    if proposed is not None:
                        return proposed
            except DeviceError as error:
                self._lost(error)
        return super().search(queries, k, slots, exact)

    def _proposed(
        self, device: DeviceIndex, queries: Float32Array, k: int, slots: IntArray | None, selected: bool
    ) -> tuple[Float32Array, Int64Array] | None:
        """The answer with proof; None where it would take too many proposals. Raises DeviceError."""
        known = device.count  # what comes later is scored here, so that nothing is found twice
        marks = None if slots is None else self._marks(slots)
        allowed = marks if selected else None
        # Rows that can't be found take places among the proposals: the dead, and without selectors those filtered out.
        share = self.count / max(1, self._placed)
        if slots is not None and not selected:
            share = len(slots) / max(1, self._placed)
        tail = self._slot_at[known : self._placed]
        tail = tail[tail != ABSENT].astype(np.int64)
        if slots is not None:
            tail = np.intersect1d(tail, slots)
        tail_scores, tail_slots = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        if len(tail):
            tail_scores, tail_slots = super().search(queries, min(k, len(tail)), np.sort(tail), exact=True)
        lengths = np.linalg.norm(queries, axis=1)
        proposals = math.ceil((k + _SPARE) / share)
        while proposals <= MOST_PROPOSALS:
            raw, positions = device.search(queries, proposals, allowed=allowed)
            usable = (positions >= 0) & (positions < known)
            positions = np.where(usable, positions, 0)
            best_slots = np.where(usable, self._slot_at[positions], ABSENT).astype(np.int64)
            if marks is not None:
                best_slots = np.where(marks[positions], best_slots, ABSENT)
            scores = np.concatenate([self._score(queries, best_slots), tail_scores], axis=1)
            best_slots = np.concatenate([best_slots, tail_slots], axis=1)
            scores, best_slots = keep_best(scores, best_slots, k)
            # -inf: nothing was left out.
            if scores.shape[1] == k and np.all(scores[:, -1] >= raw[:, -1] + ERROR * lengths):
                complete = np.isfinite(scores[:, -1]).all()
                return (scores, best_slots) if complete else None
            proposals *= _WIDER
        return None

    def _gathered(self, queries: Float32Array, k: int, slots: IntArray) -> tuple[Float32Array, Int64Array]:
        """The answer among copies of the rows that a filter leaves, multiplied on a card. Raises DeviceError."""
        proposals = min(k + _SPARE, len(slots))
        raw, places = self._gpu.knn(queries, self.rows(slots), proposals)
        best_slots = np.asarray(slots)[places].astype(np.int64)
        scores, best_slots = keep_best(self._score(queries, best_slots), best_slots, k)
        lengths = np.linalg.norm(queries, axis=1)
        if proposals < len(slots) and np.any(scores[:, -1] < raw[:, -1] + ERROR * lengths):
            return super().search(queries, k, slots, exact=True)
        return scores, best_slots

    def _score(self, queries: Float32Array, slots: Int64Array) -> Float32Array:
        """Exact scores; -inf for ABSENT slots."""
        scores = np.full(slots.shape, -np.inf, np.float32)
        for row, query in enumerate(queries):
            there = slots[row] != ABSENT
            scores[row, there] = self._matrix[slots[row, there]] @ query
        return scores

    def _marks(self, slots: IntArray) -> BoolArray:
        """Which positions hold one of `slots`. The last filter is remembered: pages and queries repeat it."""
        if self._marked is not None and self._marked[0] is slots:
            return self._marked[1]
        marks = np.zeros(self._placed, bool)
        marks[self._position_of[slots]] = True
        self._marked = slots, marks
        return marks

    def _write(self, slots: IntArray, vectors: Float32Array) -> None:
        super()._write(slots, vectors)
        self._bury(slots[slots < self.count])
        positions = np.arange(self._placed, self._placed + len(slots), dtype=np.int32)
        self._slot_at[positions], self._position_of[slots] = slots, positions
        self._placed += len(slots)

    def _move(self, sources: IntArray, targets: IntArray) -> None:
        super()._move(sources, targets)
        positions = self._position_of[sources]
        self._slot_at[positions], self._position_of[targets] = targets, positions

    def _bury(self, slots: IntArray) -> None:
        self._marked = None
        self._slot_at[self._position_of[slots]] = ABSENT

    def _upload(self) -> None:
        """Put rows on a card while enough of them are waiting."""
        try:
            while self._device is not None and self._placed - self._device.count >= WORTH_ADDING:
                start = self._device.count
                slots = self._slot_at[start : min(start + ADDED_ROWS, self._placed)]
                rows = self._matrix[np.maximum(slots, 0)]
                rows[slots == ABSENT] = 0
                self._device.add(rows)
        except DeviceError as error:
            self._lost(error)

    def _lost(self, error: DeviceError) -> None:
        # Its text alone: a record that kept the error would keep the frames that hold the card's memory.
        _log.warning("%d rows are searched on the CPU from now on: %s", self.count, str(error))
        self.release()


def _grown(array: Int32Array, length: int) -> Int32Array:
    if length <= len(array):
        return array
    grown = np.full(max(length, len(array) * 3 // 2), ABSENT, np.int32)
    grown[: len(array)] = array
    return grown
