"""The attacks of `make chaos`, small: each runs, and its promise holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from chaos import files, workers
from chaos.report import Row, table

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "pause", "disturb"),
    [
        ("kills", (0.3, 0.9), lambda _clocks: workers.kill),
        ("freezes", (0.3, 0.6), lambda _clocks: workers.freeze),
        ("clock steps", (0.1, 0.4), workers.step_clock),
    ],
)
def test_disturbed_workers_index_everything_once(
    database_url: str,
    tmp_path: Path,
    name: str,
    pause: tuple[float, float],
    disturb: Callable[[workers.Clocks], workers.Disturb],
) -> None:
    row = workers.attack(
        name, database_url, tmp_path / "run", files=24, times=3, seconds=60.0, pause=pause, disturb=disturb
    )
    assert row.broken == ()


@pytest.mark.postgres
def test_workers_whose_connections_are_cut_index_everything_once(postgresql_url: str, tmp_path: Path) -> None:
    row = workers.attack(
        "connections cut",
        postgresql_url,
        tmp_path / "run",
        files=24,
        times=4,
        seconds=60.0,
        pause=(0.2, 0.5),
        disturb=lambda _clocks: workers.cut_connections(postgresql_url),
    )
    assert row.broken == ()


@pytest.mark.skipif(not workers.has_namespaces(), reason="this machine allows no mount namespaces")
def test_a_worker_that_sees_an_empty_mount_leaves_the_files_to_others(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "WITHOUT_HELP_SECONDS", 3.0)
    assert workers.blind_worker(sqlite_url, tmp_path / "run", files=12, seconds=60.0).broken == ()


def test_damaged_files_of_every_format_end_in_words(sqlite_url: str, tmp_path: Path) -> None:
    assert files.attack(tmp_path / "run", sqlite_url, files=108, seconds=60.0).broken == ()


def test_a_broken_promise_stands_in_the_table() -> None:
    row = Row(attack="kills", on="SQLite", amount="1", seconds=1.4, promise="all", broken=("2 files lost", "3 doubled"))
    assert table([row]).splitlines()[-1] == "| kills | SQLite | 1 | 1 | all | 2 files lost; 3 doubled |"
