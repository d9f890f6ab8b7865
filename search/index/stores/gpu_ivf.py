"""Lists as on a CPU, and the same lists once more on GPUs, which find the candidates instead of the codes.

A card holds each row in half precision, or in 8 bits a value where that is too much, so fewer candidates have to be
scored again than with one-bit codes. What the CPU's store knows and does stays: the plan under a filter, the measured
number of lists, the snapshot. Where a card fails, its codes go on. Knows no FAISS.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np

from search.arrays import Float32Array, Int64Array, IntArray
from search.index.exact import best_of_blocks, keep_best
from search.index.gpu import ADDED_ROWS, MOST_PROPOSALS, WORTH_ADDING, DeviceError, DeviceIndex, Gpu
from search.index.planner import Planner, plan_lists
from search.index.stores.ivf import IvfStore
from search.index.stores.slots import ABSENT
from search.index.stores.snapshot import Tuning

_log = logging.getLogger(__name__)

_DEEPER, _SPARE = 2, 32  # proposals: this many times k, and some more
_SAMPLE_ROWS = 65_536  # that show 8-bit codes their range


class GpuIvfStore(IvfStore):
    """An approximate store that lets GPUs read the lists."""

    def __init__(self, index: Any, tuning: Tuning, folder: Path | None, plan: Planner = plan_lists) -> None:
        super().__init__(index, tuning, folder, plan)
        self._device: DeviceIndex | None = None  # its positions are the slots

    @property
    def on_device(self) -> bool:
        """Whether cards hold the rows."""
        return self._device is not None

    def upload(self, gpu: Gpu) -> None:
        """Put all rows on the cards: in half precision, else in 8 bits a value, else not at all."""
        for half in (True, False):
            if self._device is not None:
                return
            sample = self.rows(np.linspace(0, self.extent - 1, min(self.extent, _SAMPLE_ROWS)).astype(np.int64))
            centroids = self._quantizer.reconstruct_n(0, self._index.nlist)
            try:
                device = gpu.lists(centroids, sample, half)
            except DeviceError as error:
                _log.warning("%d rows are searched on the CPU: %s", self.count, str(error))
                return
            try:
                self._fill(device, least=1)
                self._device = device
            except DeviceError as error:
                device.close()
                # The error's text alone: a record that kept it would keep the frames that hold the card's memory.
                instead = "take 8 bits a value on the GPU" if half else "are searched on the CPU"
                _log.warning("%d rows %s: %s", self.count, instead, str(error))

    def release(self) -> None:
        """Leave the cards to others."""
        if self._device is not None:
            self._device.close()
        self._device = None

    def prepare(self, vectors: Float32Array) -> Any:
        """See Store. Puts the latest rows on a card when there are enough of them."""
        if self._device is not None:
            try:
                self._fill(self._device, WORTH_ADDING)
            except DeviceError as error:
                self._lost(error)
        return super().prepare(vectors)

    def probe(
        self, queries: Float32Array, k: int, tuning: Tuning, slots: IntArray | None = None
    ) -> tuple[Float32Array, Int64Array]:
        """See IvfStore."""
        device = self._device
        matches = self.count if slots is None else len(slots)
        # The cards ignore filters, so what may not be found takes places among the proposals.
        proposals = math.ceil((k * _DEEPER + _SPARE) * self.extent / max(1, matches))
        if device is None or not matches or proposals > MOST_PROPOSALS:
            return super().probe(queries, k, tuning, slots)
        known = device.count  # what comes later is scored here, so that nothing is found twice
        try:
            best_slots = device.search(queries, proposals, nprobe=min(tuning.nprobe, self._index.nlist))[1]
        except DeviceError as error:
            self._lost(error)
            return super().probe(queries, k, tuning, slots)
        tail = np.arange(known, self.extent)
        tail = tail[self._ids[tail] != ABSENT]
        usable = (best_slots >= 0) & (best_slots < known)
        usable &= self._ids[np.where(usable, best_slots, 0)] != ABSENT
        if slots is not None:
            marks = np.zeros(self.extent, bool)
            marks[slots] = True
            usable &= marks[np.where(usable, best_slots, 0)]
            tail = tail[marks[tail]]
        scores = np.full(best_slots.shape, -np.inf, np.float32)
        for row, query in enumerate(queries):
            scores[row, usable[row]] = self.rows(best_slots[row, usable[row]]) @ query
        best_slots = np.where(usable, best_slots, ABSENT)
        if len(tail):
            more_scores, more = best_of_blocks(queries, min(k, len(tail)), tail, self.rows)
            scores, best_slots = (
                np.concatenate([scores, more_scores], axis=1),
                np.concatenate([best_slots, more], axis=1),
            )
        return keep_best(scores, best_slots, k)

    def _fill(self, device: DeviceIndex, least: int) -> None:
        while self.extent - device.count >= least:
            part = slice(device.count, min(device.count + ADDED_ROWS, self.extent))
            device.add(self._file.rows[part].astype(np.float32))

    def _lost(self, error: DeviceError) -> None:
        _log.warning("%d rows are searched on the CPU from now on: %s", self.count, str(error))
        self.release()
