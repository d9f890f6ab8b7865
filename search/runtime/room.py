"""Whether this process may take so much more memory: its limit on address space, or a full machine, may forbid it."""

from __future__ import annotations

import mmap
from pathlib import Path

_MACHINE = Path("/proc")
_CONTAINER = Path("/sys/fs/cgroup")  # as a process in a container sees its own


def has_room(size_bytes: int) -> bool:
    """Whether `size_bytes` more can be had now. They are asked for and given back unused, which takes microseconds."""
    try:
        mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True


def free_bytes(machine: Path = _MACHINE, container: Path = _CONTAINER) -> int | None:
    """Memory that can be filled before the machine, or the container, has none; None where that can't be told."""
    try:
        free = 1024 * _number(machine / "meminfo", "MemAvailable:")
    except (OSError, ValueError):
        return None
    try:
        limit = int((container / "memory.max").read_text("ascii"))
        used = int((container / "memory.current").read_text("ascii"))
        # What it holds of files is given up when memory is short.
        return max(0, min(free, limit - used + _number(container / "memory.stat", "inactive_file")))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return free


def _number(path: Path, name: str) -> int:
    """What stands behind a name. Raises OSError, ValueError."""
    for line in path.read_text("ascii").splitlines():
        words = line.split()
        if words[:1] == [name]:
            return int(words[1])
    raise ValueError(name)
