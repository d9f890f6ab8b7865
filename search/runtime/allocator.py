"""How the C library treats the memory of models: large blocks are kept for the next batch.

By default glibc gives every block of some megabytes back to the system when it is freed, and the next batch
faults all of it in again, page by page: a quarter of the time of encoding pictures. Other C libraries are
left as they are.
"""

from __future__ import annotations

import contextlib
import ctypes

# Of <malloc.h>.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_KEPT_BYTES = 256 * 1024**2  # free memory at the end of an arena that may stay
_ARENAS = 4
_LARGE_BYTES = 32 * 1024**2  # from here on a block comes from the system and goes back to it: partitions, not batches


def keep_blocks() -> None:
    """Keep freed blocks for the next batch, from now on in the whole process."""
    _tell("mallopt", _MMAP_THRESHOLD, _LARGE_BYTES)
    _tell("mallopt", _TRIM_THRESHOLD, _KEPT_BYTES)


def share_arenas() -> None:
    """Let the threads of a server share a few arenas, because an arena never returns its peak memory."""
    _tell("mallopt", _ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Return all free memory to the system, as after a model was released."""
    _tell("malloc_trim", 0)


def _tell(function: str, *numbers: int) -> None:
    """Call a function of glibc; does nothing where there is none."""
    with contextlib.suppress(OSError, AttributeError):
        getattr(ctypes.CDLL(None), function)(*numbers)
