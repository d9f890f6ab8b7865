"""Whether this process may take so much more memory: its limit on address space, or a full machine, may forbid it."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_MACHINE = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = "0::/"  # begins the line of version 2 in /proc/self/cgroup


def has_room(size_bytes: int) -> bool:
    """Whether `size_bytes` more can be had now. They are asked for and given back unused, which takes microseconds."""
    try:
        mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True


def free_bytes(machine: Path = _MACHINE, groups: Path = _GROUPS) -> int | None:
    """Memory that can be filled before the machine, or a container or service, has none; None where nobody can tell.

    Containers and systemd's `MemoryMax=` limit control groups (version 2): this process's own and those above it.
    """
    try:
        free = 1024 * _number(machine / "meminfo", "MemAvailable:")
    except (OSError, ValueError):
        return None
    return max(0, min([free, *_left_in_groups(machine, groups)]))


def _left_in_groups(machine: Path, groups: Path) -> Iterator[int]:
    """Bytes that each control group with a limit leaves, from the process's own to the root."""
    try:
        lines = (machine / "self" / "cgroup").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    own = next((PurePosixPath(line.removeprefix(_OWN_GROUP)) for line in lines if line.startswith(_OWN_GROUP)), None)
    # In a container the root is its own group, and the path may name one that only the host sees.
    for path in (own, *own.parents) if own and own.parts and ".." not in own.parts else (PurePosixPath(),):
        try:
            limit = int((groups / path / "memory.max").read_text("ascii"))
            used = int((groups / path / "memory.current").read_text("ascii"))
            # What it holds of files is given up when memory is short.
            yield limit - used + _number(groups / path / "memory.stat", "inactive_file")
        except (OSError, ValueError):  # no such group, or one without a limit ("max")
            continue


def _number(path: Path, name: str) -> int:
    """What stands behind a name. Raises OSError, ValueError."""
    for line in path.read_text("ascii").splitlines():
        words = line.split()
        if words[:1] == [name]:
            return int(words[1])
    raise ValueError(name)
