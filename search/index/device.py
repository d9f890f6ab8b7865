"""Exact search on a GPU: one product of half-precision matrices, filtered by a mask, proved on the CPU.

The rows live twice: float32 in memory, as in any flat store, and float16 on the device. The device only
proposes; scores are computed from the rows in memory, and the proposals are widened until no row that was
left out could have scored as high. So the results are those of the CPU. Knows torch; the only file of this
package that does. FAISS's own GPU indexes ignore filters, so they serve in training alone (building.py).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from search.index.exact import keep_best
from search.index.flat import FlatStore

if TYPE_CHECKING:
    import torch

_log = logging.getLogger(__name__)

_BLOCK_ROWS = 1 << 18  # scored at a time; bounds the memory that scores take on the device
_SPARE = 32  # proposals beyond k
_WIDER = 4
# Rounding unit vectors and their product to half precision moves a score by less than three times 2^-11.
_ERROR = 3 * 2.0**-11


def find_device(setting: str) -> str:
    """What the setting `device` means for partitions; "" is the CPU. Imports torch only where there is a GPU."""
    if setting == "cpu" or (setting == "auto" and not Path("/proc/driver/nvidia/version").exists()):
        return ""
    import torch

    if torch.cuda.is_available():
        return "cuda" if setting == "auto" else setting
    return ""


class DeviceStore(FlatStore):
    """A flat store that searches on a torch device."""

    def __init__(self, dimension: int, device: str) -> None:
        super().__init__(dimension)
        import torch

        self._torch = torch
        self._device = torch.device(device)
        self._mirror: torch.Tensor | None = self._empty(0)

    def prepare(self, vectors: np.ndarray) -> None:
        """See Store. Where the device's memory ends, the CPU takes over."""
        super().prepare(vectors)
        capacity = len(self._matrix)
        if self._mirror is None or len(self._mirror) >= capacity:
            return
        try:
            grown = self._empty(capacity)
            grown[: len(self._mirror)] = self._mirror
            self._mirror = grown
        except self._torch.OutOfMemoryError:
            _log.warning("%d rows do not fit on %s: they are searched on the CPU", capacity, self._device)
            self._mirror = None

    def adopt(self, ids: np.ndarray, matrix: np.ndarray) -> None:
        """See FlatStore."""
        super().adopt(ids, matrix)
        self._mirror = self._empty(0)
        self.prepare(matrix[:0])
        for start in range(0, len(matrix), _BLOCK_ROWS):
            part = np.arange(start, min(start + _BLOCK_ROWS, len(matrix)))
            self._mirror_rows(part, matrix[part])

    def search(
        self, queries: np.ndarray, k: int, slots: np.ndarray | None, exact: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """See Store; always exact."""
        matches = self.count if slots is None else len(slots)
        # Few rows are quicker scored here than asked for there.
        if self._mirror is None or matches <= k + _SPARE:
            return super().search(queries, k, slots, exact)
        proposed = k + _SPARE
        while proposed < matches:
            lowest, found = self._propose(queries, proposed, slots)
            scores, found = keep_best(self._score(queries, found), found, k)
            lengths = np.linalg.norm(queries, axis=1)
            if np.all(scores[:, -1] >= lowest + _ERROR * lengths):
                return scores, found
            proposed *= _WIDER
        return super().search(queries, k, slots, exact)

    def _write(self, slots: np.ndarray, vectors: np.ndarray) -> None:
        super()._write(slots, vectors)
        self._mirror_rows(slots, vectors)

    def _move(self, sources: np.ndarray, targets: np.ndarray) -> None:
        super()._move(sources, targets)
        if self._mirror is not None and len(sources):
            self._mirror[self._to_device(targets)] = self._mirror[self._to_device(sources)]

    def _propose(self, queries: np.ndarray, count: int, slots: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """The `count` best by half-precision scores: the lowest of these scores, and all slots."""
        torch, mirror = self._torch, self._mirror
        assert mirror is not None
        half = self._to_device(queries).half()
        left_out = None
        if slots is not None:
            left_out = torch.ones(self.count, dtype=torch.bool, device=self._device)
            left_out[self._to_device(slots)] = False
        best, found = [], []
        for start in range(0, self.count, _BLOCK_ROWS):
            end = min(start + _BLOCK_ROWS, self.count)
            scores = half @ mirror[start:end].T
            if left_out is not None:
                scores.masked_fill_(left_out[start:end], -torch.inf)
            top = torch.topk(scores, min(count, end - start), dim=1)
            best.append(top.values)
            found.append(top.indices + start)
        top = torch.topk(torch.cat(best, dim=1), count, dim=1)
        chosen = torch.gather(torch.cat(found, dim=1), 1, top.indices)
        return top.values[:, -1].float().cpu().numpy(), chosen.cpu().numpy()

    def _score(self, queries: np.ndarray, slots: np.ndarray) -> np.ndarray:
        return np.stack([self._matrix[row] @ query for query, row in zip(queries, slots, strict=True)])

    def _mirror_rows(self, slots: np.ndarray, vectors: np.ndarray) -> None:
        if self._mirror is not None:
            self._mirror[self._to_device(slots)] = self._to_device(vectors).half()

    def _to_device(self, array: np.ndarray) -> torch.Tensor:
        wanted = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        return self._torch.from_numpy(wanted).to(self._device)

    def _empty(self, rows: int) -> torch.Tensor:
        return self._torch.empty((rows, self.dimension), dtype=self._torch.float16, device=self._device)
