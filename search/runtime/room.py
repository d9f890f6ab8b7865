"""Whether this process may take so much more memory: its limit on address space, or a full machine, may forbid it."""

from __future__ import annotations

import mmap


def has_room(size_bytes: int) -> bool:
    """Whether `size_bytes` more can be had now. They are asked for and given back unused, which takes microseconds."""
    try:
        mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True
