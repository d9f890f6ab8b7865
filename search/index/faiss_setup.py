"""FAISS, set up once for the whole process: thread counts and the BLAS threshold are set nowhere else.

Everything in `search/index` takes `faiss` from this module, so that no caller meets it in its factory state.
"""

from __future__ import annotations

import threading
from typing import Any

from search.errors import PartitionError

try:
    import faiss as _faiss
except (ImportError, OSError, RuntimeError) as error:
    # For GPU builds, whose CUDA libraries are separate packages.
    raise PartitionError(
        f"FAISS can't be loaded: {error} (docs/indexes.md tells how its builds are exchanged)"
    ) from None

__all__ = ["faiss", "set_threads", "use_threads"]

# Its type stubs know the C++ classes but not what its Python layer makes of them.
faiss: Any = _faiss

# FAISS compares batch * dimension with this number and, below it, scans the rows once per query. The
# factory value (128,000) makes a batch of 32 scan 32 times; from two queries on one matrix product wins.
BLAS_FROM = 800
faiss.cvar.distance_compute_blas_threshold = BLAS_FROM

# What OMP_NUM_THREADS says, else one per core.
_default = int(faiss.omp_get_max_threads())
_threads = _default
_of_this_thread = threading.local()


def set_threads(count: int) -> None:
    """Let each search use at most `count` threads; 0 means the default. See `threads` in the settings."""
    global _threads
    _threads = count or _default


def use_threads(parts: int) -> None:
    """Let OpenMP use the threads allowed, but no more than the work has parts, in the calling thread. Cheap.

    OpenMP keeps the number per thread: what the main thread sets does not reach a server's workers. And a
    team for a single query costs milliseconds on a busy machine and gains nothing.
    """
    count = max(1, min(parts, _threads))
    if getattr(_of_this_thread, "count", None) != count:
        faiss.omp_set_num_threads(count)
        _of_this_thread.count = count
