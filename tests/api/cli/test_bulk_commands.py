"""`medley index` with `--out`, `--estimate` and `--on`, and `medley import`, as a person runs them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from support.bulk_world import word_spaces
from support.pictures import BLUE, GREEN, RED, save_coloured

from api.cli import progress, run
from api.cli.progress import million_cost, shown_progress
from indexer.bulk.ray_fleet import Share
from indexer.ingest.recorder import Tally
from indexer.ingest.task import StageSeconds
from indexer.ingest.worker import Progress
from search.catalog import spaces
from search.catalog.database import Database
from search.catalog.records import Counts
from search.catalog.states import SpaceState
from search.testing import WordSpace

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def medley_run(home: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process, with a space of words; gives exit status, standard output, standard error."""
    for name in [name for name in os.environ if name.startswith("MEDLEY_")]:
        monkeypatch.delenv(name)
    for name, value in {"HOME": str(home), "SPEECH": "false", "SOUND": "false", "OCR": "false"}.items():
        monkeypatch.setenv(f"MEDLEY_{name}", value)
    words = Share(open_space=word_spaces)
    monkeypatch.setattr("api.cli.bulk.jobs.BulkOptions.share", property(lambda _: words))
    database = Database.open(sqlite_url)
    with database.write() as connection:
        spaces.create_space(connection, "words", "{}", WordSpace().fingerprint.digest, state=SpaceState.ACTIVE)
    database.close()

    def invoke(*arguments: str) -> tuple[int, str, str]:
        status = run(list(arguments))
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return invoke


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    for number in range(6):
        save_coloured(folder / f"{number}.jpg", number, (RED, GREEN, BLUE)[number % 3])
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    return folder


def test_shards_are_written_and_taken_in(medley_run: Run, media: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="shards need the extra `ray`")
    shards = str(tmp_path / "shards")
    status, out, err = medley_run("index", str(media), "--out", shards)
    assert (status, err.count("Traceback")) == (0, 0)
    assert "6 files written, 6 segments, 1 that can't be made searchable" in out
    status, out, _ = medley_run("status")
    assert out.startswith("0 files")
    status, out, _ = medley_run("import", shards)
    assert status == 0
    assert "6 files, 6 segments taken in, 1 quarantined" in out
    status, out, _ = medley_run("import", shards)
    assert "0 files, 0 segments taken in" in out
    assert "passed by: 7 known already" in out
    status, out, _ = medley_run("index", str(media), "--out", shards)
    assert "7 of them in shards already" in out
    status, out, _ = medley_run("status")
    assert out.startswith("7 files: 6 searchable")


def test_an_estimate_says_what_it_was_measured_on_and_leaves_no_trace(medley_run: Run, media: Path) -> None:
    status, out, _ = medley_run("index", str(media), "--estimate", "--hourly-cost", "3.6")
    assert status == 0
    assert "7 files" in out
    assert "measured on 7 of them, 1 of which failed" in out
    assert re.search(r"(?m)^segments +6 image$", out)
    assert re.search(r"(?m)^for a million files +[\d:]+, [\d,.]+ at 3.6 an hour$", out)
    assert re.search(r"(?m)^memory to search +6\.2 kB$", out)
    assert medley_run("status")[1].startswith("0 files")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--on", "spark"], "--on takes ray or ray://HOST:PORT, not 'spark'"),
        (["--on", "http://head:10001"], "--on takes ray or ray://HOST:PORT"),
        (["--estimate", "--out", "x"], "--estimate writes nothing"),
    ],
)
def test_what_makes_no_sense_is_said_at_once(arguments: list[str], said: str, medley_run: Run, media: Path) -> None:
    status, _, err = medley_run("index", str(media), *arguments)
    assert status == 2
    assert said in err


def test_an_empty_folder_of_shards_is_wrong_usage(medley_run: Run, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    status, _, err = medley_run("import", str(tmp_path / "none"))
    assert (status, err) == (2, f"medley: {tmp_path / 'none'}: holds no shard\n")


def test_an_empty_folder_has_no_estimate(medley_run: Run, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    status, _, err = medley_run("index", str(tmp_path / "none"), "--estimate")
    assert status == 2
    assert "holds no media files" in err


def test_progress_tells_the_time_left_and_what_a_million_costs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)

    def told(done: int, seconds: float) -> Progress:
        counts = Counts(known=100, indexed=done, pending=100 - done)
        return Progress(counts, Tally(indexed=done), StageSeconds(), 4, seconds)

    with shown_progress(hourly_cost=3.6) as listener:
        for seconds in (1.0, 2.0):
            listener(told(0, seconds))
        listener(told(1, 30.0))
        listener(told(21, 40.0))
    assert capsys.readouterr().err.splitlines() == [
        "indexing: 0 of 100 files, starting, 0 quarantined",  # once, however long it takes
        "indexing: 1 of 100 files, starting, 0 quarantined",  # the loading of models says nothing about files
        "indexing: 21 of 100 files, 2.0 files/s, 500.00 a million, 0:39 left, 0 quarantined",
    ]
    assert million_cost(2.0, 3.6) == pytest.approx(500.0)
    with shown_progress() as listener:
        listener(told(21, 40.0))
    assert "a million" not in capsys.readouterr().err
