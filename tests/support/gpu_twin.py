"""FAISS's GPU API on the CPU: the same names, as much arithmetic in half precision, and the same bad habits.

It ignores selectors unless it is told to be a build with cuVS, runs out of memory after so many rows a card, selects
2,048 at most, has no removal, and notices when two threads use the resources of one card at once. `USED` are the names,
attributes and parameters that Medley may use; `tests/search/index/test_gpu_api.py` holds both it and the code to them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import faiss as _faiss
import numpy as np

faiss: Any = _faiss


class Resources:
    def __init__(self, twin: TwinFaiss) -> None:
        self._twin = twin
        self._busy = threading.Lock()
        self.bytes = 0

    def setTempMemory(self, size: int) -> None:  # noqa: N802 - FAISS's name
        pass

    @contextmanager
    def used(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise AssertionError("two threads use the resources of one card")
        try:
            self._twin.calls += 1
            if self._twin.broken:
                raise RuntimeError("Error in virtual void faiss::gpu::x()\nCUDA error 719 unspecified launch failure")
            yield
        finally:
            self._busy.release()

    def take(self, size: int) -> None:
        if self.bytes + size > self._twin.card_bytes:
            raise RuntimeError(
                "Error in virtual void* faiss::gpu::StandardGpuResourcesImpl::allocMemory(const AllocRequest&)\n"
                "StandardGpuResources: alloc fail type FlatData dev 0 space Device (cudaMalloc error out of memory [2])"
            )
        self.bytes += size

    def give(self, size: int) -> None:
        self.bytes -= size


class FlatConfig:
    device: int = 0
    useFloat16: bool = False  # noqa: N815
    use_cuvs: bool = False


class CagraConfig:
    device: int = 0
    graph_degree: int = 64
    intermediate_graph_degree: int = 128


class CagraParameters:
    """Stands for a class of FAISS that only a build with cuVS has."""

    itopk_size: int = 64
    sel: Any = None


class TwinIndex:
    """An index on a card, over one of FAISS's on the CPU."""

    def __init__(self, twin: TwinFaiss, resources: Resources, index: Any, row_bytes: int, half: bool) -> None:
        self._twin = twin
        self._resources = resources
        self._index = index
        self._row_bytes = row_bytes
        self._half = half

    @property
    def ntotal(self) -> int:
        return int(self._index.ntotal)

    def add(self, rows: np.ndarray) -> None:
        with self._resources.used():
            self._resources.take(len(rows) * self._row_bytes)
            self._index.add(self._rounded(rows))

    def train(self, rows: np.ndarray) -> None:
        """Of CAGRA, which takes its rows so."""
        assert not self.ntotal
        self.add(rows)

    def search(self, queries: np.ndarray, k: int, *, params: Any = None) -> tuple[np.ndarray, np.ndarray]:
        if k > 2048:
            raise RuntimeError("GPU index only supports min/max-K selection up to 2048")
        with self._resources.used():
            if params is not None and params.sel is not None:
                self._twin.selected += 1
                if not self._twin.cuvs:
                    params = None  # in silence, as the plain build does
            if isinstance(params, CagraParameters):
                params = faiss.SearchParameters(sel=params.sel)
            if isinstance(params, faiss.SearchParametersIVF):
                params = faiss.SearchParametersIVF(nprobe=params.nprobe)
            scores, labels = self._index.search(self._rounded(queries), k, params=params)
            return scores, labels

    def _rounded(self, rows: np.ndarray) -> np.ndarray:
        return rows.astype(np.float16).astype(np.float32) if self._half else rows

    def __del__(self) -> None:
        self._resources.give(self.ntotal * self._row_bytes)


class TwinFaiss:
    """Stands where the package `faiss` of a GPU build would."""

    GpuIndexFlatConfig = FlatConfig
    SearchParameters = faiss.SearchParameters
    SearchParametersIVF = faiss.SearchParametersIVF
    IDSelectorBitmap = faiss.IDSelectorBitmap

    def __init__(self, cuvs: bool = True, card_bytes: int = 1 << 40) -> None:
        self.cuvs = cuvs
        self.card_bytes = card_bytes
        self.broken = False
        self.calls = 0
        self.selected = 0  # searches with a selector

    def StandardGpuResources(self) -> Resources:  # noqa: N802
        return Resources(self)

    def GpuIndexFlatIP(self, resources: Resources, dims: int, config: FlatConfig) -> TwinIndex:  # noqa: N802
        if config.use_cuvs and not self.cuvs:
            raise RuntimeError("cuVS has not been compiled into the current version so it cannot be used.")
        assert config.useFloat16
        return TwinIndex(self, resources, faiss.IndexFlatIP(dims), 2 * dims, half=True)

    GpuIndexCagraConfig = CagraConfig
    SearchParametersCagra = CagraParameters

    def GpuIndexCagra(self, resources: Resources, dims: int, metric: int, config: CagraConfig) -> TwinIndex:  # noqa: N802
        assert metric == faiss.METRIC_INNER_PRODUCT
        return TwinIndex(self, resources, faiss.IndexFlatIP(dims), 4 * dims, half=True)

    def get_num_gpus(self) -> int:
        return 1

    def index_cpu_to_gpu(self, provider: Resources, device: int, index: Any) -> TwinIndex:
        assert isinstance(index, faiss.IndexIVFScalarQuantizer)
        assert not index.by_residual
        provider.take(0)
        return TwinIndex(self, provider, faiss.clone_index(index), index.code_size + 8, half=False)

    def knn_gpu(
        self, res: Resources, xq: np.ndarray, xb: np.ndarray, k: int, metric: int, device: int
    ) -> tuple[np.ndarray, np.ndarray]:
        with res.used():
            assert metric == faiss.METRIC_INNER_PRODUCT
            assert k <= 2048
            size = xb.nbytes
            res.take(size)
            try:
                scores, labels = faiss.knn(xq, xb, k, metric=metric)
                return scores, labels
            finally:
                res.give(size)
