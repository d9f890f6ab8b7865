"""How much memory is left, on a machine and in a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.runtime.room import free_bytes, has_room


def test_a_little_room_is_there_and_endless_room_is_not() -> None:
    assert has_room(1024**2)
    assert not has_room(2**62)


def machine(folder: Path, own: str | None = None) -> Path:
    """One with 4096 kB free, on which the process is in this control group."""
    (folder / "meminfo").write_text("MemTotal:       8192 kB\nMemAvailable:   4096 kB\n")
    if own is not None:
        (folder / "self").mkdir()
        (folder / "self" / "cgroup").write_text(f"4:memory:/old\n0::{own}\n")
    return folder


def limited(group: Path, limit: str) -> None:
    """A control group that uses 2,000,000 bytes, 500,000 of them of files."""
    group.mkdir(parents=True, exist_ok=True)
    (group / "memory.max").write_text(limit)
    (group / "memory.current").write_text("2000000\n")
    (group / "memory.stat").write_text("anon 1500000\ninactive_file 500000\n")


@pytest.mark.parametrize(
    ("limit", "free"),
    [("max\n", 4096 * 1024), ("3000000\n", 3000000 - 2000000 + 500000), ("1000000\n", 0), (None, 4096 * 1024)],
)
@pytest.mark.parametrize("own", [None, "/", "/only/the/host/sees/it", "/../../beside"])
def test_what_is_free_is_what_machine_and_container_leave(
    tmp_path: Path, own: str | None, limit: str | None, free: int
) -> None:
    if limit:
        limited(tmp_path / "groups", limit)
    assert free_bytes(machine(tmp_path, own), tmp_path / "groups") == free


@pytest.mark.parametrize("group", ["system.slice/medley.service", "system.slice", "."])
def test_a_limit_of_the_service_or_of_a_group_above_it_counts(tmp_path: Path, group: str) -> None:
    groups = tmp_path / "groups"
    limited(groups / "system.slice" / "medley.service", "max\n")
    limited(groups / "beside.service", "1000000\n")
    own = machine(tmp_path, "/system.slice/medley.service")
    assert free_bytes(own, groups) == 4096 * 1024
    limited(groups / group, "3000000\n")
    assert free_bytes(own, groups) == 1500000


def test_elsewhere_nobody_can_tell(tmp_path: Path) -> None:
    assert free_bytes(tmp_path, tmp_path) is None
