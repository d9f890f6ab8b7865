"""How much memory is left, on a machine and in a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.runtime.room import free_bytes, has_room


def test_a_little_room_is_there_and_endless_room_is_not() -> None:
    assert has_room(1024**2)
    assert not has_room(2**62)


@pytest.mark.parametrize(
    ("limit", "free"),
    [("max\n", 4096 * 1024), ("3000000\n", 3000000 - 2000000 + 500000), ("1000000\n", 0), (None, 4096 * 1024)],
)
def test_what_is_free_is_what_machine_and_container_leave(tmp_path: Path, limit: str | None, free: int) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:       8192 kB\nMemAvailable:   4096 kB\n")
    if limit:
        (tmp_path / "memory.max").write_text(limit)
        (tmp_path / "memory.current").write_text("2000000\n")
        (tmp_path / "memory.stat").write_text("anon 1500000\ninactive_file 500000\n")
    assert free_bytes(tmp_path, tmp_path) == free


def test_elsewhere_nobody_can_tell(tmp_path: Path) -> None:
    assert free_bytes(tmp_path, tmp_path) is None
