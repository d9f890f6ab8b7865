"""The command line: what it prints, how it ends, and that nobody ever sees a stack trace."""

from __future__ import annotations

import importlib
import itertools
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from PIL import Image
from support.catalog_world import add_library, claims_held, index_all, result
from support.processes import environment

from api.cli import COMMANDS, medley, run
from api.cli.output import print_result
from api.routes.search import RESULT_EXAMPLE
from indexer.ingest import worker as worker_module
from search.catalog import assets, queue, sources
from search.catalog import database as database_module
from search.catalog.database import Database
from search.catalog.records import FoundFile
from search.errors import CatalogLostError
from search.results import SearchResult
from search.settings import Settings

Run = Callable[..., tuple[int, str, str]]

COMMANDS_OF_THE_CONTRACT = {
    "index", "search", "ask", "status", "failures", "worker", "serve", "spaces", "audit", "keys", "backup", "restore",
}  # fmt: skip


@pytest.fixture
def medley_run(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run a command in this process; gives exit status, standard output, standard error."""
    for name in [name for name in os.environ if name.startswith("MEDLEY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MEDLEY_HOME", str(home))
    monkeypatch.setenv("MEDLEY_VISION", "false")

    def invoke(*arguments: str) -> tuple[int, str, str]:
        status = run(list(arguments))
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield invoke
    # `serve` and `worker` log to this test's standard error, which is closed when the next one runs.
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def with_failure(home: Path, sqlite_url: str) -> str:
    """A catalogue with one file that failed; its name holds what could confuse a terminal."""
    name = "bad\n\x1b[31mname.jpg"
    database = Database.open(sqlite_url)
    with database.write() as connection:
        source = sources.add_source(connection, "/media")
        file = FoundFile(path=f"/media/{name}", path_bytes=f"/media/{name}".encode(), size_bytes=3, modified_ns=1)
        (asset_id,) = assets.sync_assets(connection, source.id, [file]).ids
        queue.claim(connection, "test", 10, 60)
        queue.quarantine(connection, claims_held(connection, "test"), asset_id, "is an empty file")
    database.close()
    return name


def test_a_search_says_how_its_query_was_taken_apart(capsys: pytest.CaptureFixture[str]) -> None:
    example = msgspec.convert(RESULT_EXAMPLE, SearchResult)
    print_result(example)
    assert "together" not in capsys.readouterr().out
    aspects = [{"text": "a \x1b[31mboat", "sense": "seen"}, {"text": "noon", "sense": "said"}]
    print_result(msgspec.structs.replace(example, query={"text": "", "aspects": aspects}))
    shown = capsys.readouterr().out
    assert shown.startswith("Looked for together: seen ")
    assert "said 'noon'" in shown
    assert "\x1b" not in shown


def test_status_says_what_was_left_out_of_searchable_files(home: Path, sqlite_url: str, medley_run: Run) -> None:
    database = Database.open(sqlite_url)
    add_library(database, ["talk.mp3", "whole.mp3", "late.mp3"])
    with database.write() as connection:
        claimed = queue.claim(connection, "test", 2, 60)
        results = [result(record.id) for record in claimed]
        results[0] = msgspec.structs.replace(results[0], note="12 seconds were left out")
        queue.finish(connection, claims_held(connection, "test"), results)
    database.close()
    _, out, _ = medley_run("status")
    assert "something was left out of 1 searchable files" in out
    assert "12 seconds" not in out
    _, out, _ = medley_run("status", "--notes")
    assert "/media/talk.mp3" in out
    assert "12 seconds were left out" in out
    assert "/media/whole.mp3" not in out
    assert json.loads(medley_run("status", "--json")[1])["noted"] == 1
    [listed] = json.loads(medley_run("status", "--notes", "--json")[1])["notes"]
    assert (listed["path"], listed["about"]) == ("/media/talk.mp3", ["other"])
    assert listed["left_out"] == "12 seconds were left out"
    assert "notes" not in json.loads(medley_run("status", "--json")[1])


def test_the_table_of_commands_is_the_contracts_and_each_says_the_same_of_itself() -> None:
    assert set(COMMANDS) >= COMMANDS_OF_THE_CONTRACT
    for name, (module, attribute, text) in COMMANDS.items():
        command = getattr(importlib.import_module(module), attribute)
        assert command.name == name
        assert command.short_help == text


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself_and_every_option(name: str, medley_run: Run) -> None:
    status, out, err = medley_run(name, "--help")
    assert (status, err) == (0, "")
    assert "Usage: medley " + name in out
    module, attribute, _ = COMMANDS[name]
    command = getattr(importlib.import_module(module), attribute)
    assert command.help, "a command says what it does"


def test_the_first_page_of_help_lists_all_commands(medley_run: Run) -> None:
    status, out, _ = medley_run("--help")
    assert status == 0
    for name, (_, _, text) in COMMANDS.items():
        assert f"  {name}" in out
        assert text in out
    assert isinstance(medley, click.Group)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["search", "--limit", "0"],
        ["search", "--limit", "x"],
        ["search", "--kind", "smell", "x"],
        ["search", "--image", "/no/such/file"],
        ["index"],
        ["index", "/no/such/folder"],
        ["serve", "--port", "99999"],
        ["keys", "create"],
        ["keys", "create", "x", "--scope", "god"],
        ["keys", "revoke", "x"],
        ["restore", "/no/such/file"],
        ["spaces", "nonsense"],
    ],
)
def test_wrong_usage_ends_with_2_and_at_most_two_plain_lines(arguments: list[str], medley_run: Run) -> None:
    status, out, err = medley_run(*arguments)
    assert status == 2
    assert out == ""
    assert err.startswith("medley: ")
    assert len(err.splitlines()) <= 2
    assert "Traceback" not in err


def test_a_wrong_setting_is_wrong_usage(medley_run: Run, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("MEDLEY_TYPO", "1")
    status, _, err = medley_run("status")
    assert (status, len(err.splitlines())) == (2, 1)
    assert "MEDLEY_TYPO" in err
    monkeypatch.delenv("MEDLEY_TYPO")
    (home / "medley.toml").write_text("workers = ")
    status, _, err = medley_run("status")
    assert status == 2
    assert "medley.toml" in err


def test_a_failure_ends_with_1(medley_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDLEY_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    status, out, err = medley_run("status")
    assert (status, out) == (1, "")
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 2


def test_an_empty_library_has_an_empty_account(medley_run: Run) -> None:
    status, out, _ = medley_run("status", "--json")
    assert status == 0
    assert json.loads(out)["assets"] == {
        "total": 0, "pending": 0, "working": 0, "indexed": 0, "quarantined": 0, "missing": 0,
    }  # fmt: skip
    assert medley_run("status")[1].startswith("0 files")
    assert medley_run("failures")[1] == "No file failed.\n"


def test_every_failure_is_listed_with_its_reason_and_cannot_repaint_the_terminal(
    with_failure: str, medley_run: Run
) -> None:
    status, out, _ = medley_run("failures")
    assert status == 0
    assert "is an empty file" in out
    assert "bad\\n\\x1b[31mname.jpg" in out
    listed = json.loads(medley_run("failures", "--json")[1])
    assert listed["items"][0]["path"].endswith(with_failure)
    assert listed["next_cursor"] is None


def test_a_folder_without_media_is_a_failure_that_says_so(medley_run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    status, _, err = medley_run("index", str(tmp_path / "empty"))
    assert status == 1
    assert "no media files" in err


def test_index_rides_out_a_lost_connection_at_any_of_its_steps(
    medley_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every transaction of a run is lost once, in one run after the other: each ends as the undisturbed one."""
    media = tmp_path / "media"
    (media / "inner").mkdir(parents=True)
    # Each run tries to add two: a folder, and one inside a source.
    arguments = ("index", str(media), str(media / "inner"))
    medley_run(*arguments)
    undisturbed = medley_run(*arguments)
    monkeypatch.setattr(database_module, "RETRY_SECONDS", 0.0)
    begun = itertools.count()
    lost: list[int] = []
    victim = -1

    def losing(way: Callable[[Database], Any]) -> Callable[[Database], Any]:
        def transaction(database: Database) -> Any:
            if next(begun) == victim:
                lost.append(victim)
                raise CatalogLostError("terminating connection due to administrator command")
            return way(database)

        return transaction

    for name in ("read", "write"):
        monkeypatch.setattr(Database, name, losing(getattr(Database, name)))
    for victim in itertools.count():
        begun = itertools.count()
        assert medley_run(*arguments) == undisturbed
        if victim not in lost:
            break
    assert len(lost) >= 8


@pytest.mark.parametrize(
    ("vision", "llm", "later"), [(None, None, True), ("false", None, False), (None, "openai:a-model", False)]
)
def test_indexing_waits_for_no_captions_and_says_that_they_come_later(
    home: Path,
    medley_run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    vision: str | None,
    llm: str | None,
    later: bool,
) -> None:
    off = {"MEDLEY_SPEECH": "false", "MEDLEY_SOUND": "false", "MEDLEY_OCR": "false"}
    for name, value in {**off, "MEDLEY_VISION": vision, "MEDLEY_LLM": llm}.items():
        monkeypatch.delenv(name, raising=False)
        if value:
            monkeypatch.setenv(name, value)
    environment(home)  # with the converted language model that tests share
    made: list[object] = []
    monkeypatch.setattr(worker_module, "Captioner", lambda *_: made.append(_))
    (tmp_path / "media").mkdir()
    Image.new("RGB", (64, 48), "red").save(tmp_path / "media" / "red.png")
    status, out, err = medley_run("index", str(tmp_path / "media"))
    assert (status, made) == (0, []), err
    assert "1 files are searchable" in out
    assert ("1 pictures get captions later" in out and "and 2 GB of memory are free" in out) is later


def test_an_adapter_that_can_not_be_used_is_a_note_and_no_failure(
    sqlite_url: str, home: Path, medley_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEDLEY_VISION")
    database = Database.open(sqlite_url)
    add_library(database, ["a.jpg", "b.jpg"])
    index_all(database)
    database.close()
    (home / "models" / "adapters").mkdir(parents=True)
    (home / "models" / "adapters" / "junk.safetensors").write_bytes(b"nothing")
    (tmp_path / "empty").mkdir()
    status, out, _ = medley_run("index", str(tmp_path / "empty"))
    assert status == 0
    assert "2 pictures get no captions: " in out
    assert "junk.safetensors: no multimodal adapter" in out


def test_filters_are_refused_where_nothing_is_searched_for(medley_run: Run) -> None:
    for filters in (("--kind", "image"), ("--after", "2024"), ("--path", "*.jpg")):
        status, _, err = medley_run("ask", "how large is the photo?", "--about", "1", *filters)
        assert status == 2
        assert "leave out the filters, or --about" in err


def test_a_folder_of_links_that_lead_out_says_where_they_lead(medley_run: Run, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "album").symlink_to(tmp_path / "real")
    status, out, err = medley_run("index", str(tmp_path / "links"))
    assert status == 1
    assert f"{tmp_path}/links/album is a link to {tmp_path}/real, which lies outside" in out
    assert "left out: 1 link out of the source" in out
    assert "index the folders that they lead to" in err


def test_a_key_is_shown_once_listed_without_itself_and_revoked(medley_run: Run) -> None:
    assert "only this machine" in medley_run("keys", "list")[1]
    status, out, _ = medley_run("keys", "create", "laptop", "--scope", "write")
    key = out.strip()
    assert status == 0
    assert key.startswith("medley_")
    listed = medley_run("keys", "list", "--json")[1]
    assert key not in listed
    (entry,) = json.loads(listed)["items"]
    assert (entry["name"], entry["scopes"], entry["revoked_at"]) == ("laptop", ["write"], None)
    assert medley_run("keys", "revoke", entry["id"])[0] == 0
    assert json.loads(medley_run("keys", "list", "--json")[1])["items"][0]["revoked_at"]
    assert medley_run("keys", "revoke", "99")[0] == 1


def test_a_backup_restores_into_an_empty_home_and_nowhere_else(
    with_failure: str, medley_run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path
) -> None:
    upload = home / "uploads" / "ab" / "abcd-photo.png"
    upload.parent.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(upload)
    database = Database.open(Settings.load({}, home=home))
    with database.write() as connection:
        source = sources.add_source(connection, str(home / "uploads"), watched=False)
        found = FoundFile(path=str(upload), path_bytes=bytes(upload), size_bytes=1, modified_ns=1)
        assets.sync_assets(connection, source.id, [found])
    database.close()
    file = tmp_path / "library.tar"
    assert medley_run("backup", str(file))[0] == 0
    assert file.stat().st_mode & 0o077 == 0, "what a library holds is its owner's"
    assert medley_run("backup", str(file))[0] == 2, "a file that is there is not replaced"
    monkeypatch.setenv("MEDLEY_HOME", str(tmp_path / "another"))
    status, _, err = medley_run("restore", str(file))
    assert status == 0, err
    assert json.loads(medley_run("failures", "--json")[1])["items"][0]["path"].endswith(with_failure)
    moved = tmp_path / "another" / "uploads" / "ab" / "abcd-photo.png"
    assert moved.read_bytes() == upload.read_bytes()
    database = Database.open(Settings.load({}, home=tmp_path / "another"))
    with database.read() as connection:
        assert assets.find_asset(connection, str(moved)) is not None, "the catalogue knows where uploads lie now"
    database.close()
    status, _, err = medley_run("restore", str(file))
    assert status == 1
    assert "not empty" in err


@pytest.mark.parametrize("damage", [b"", b"no tar at all", b"\0" * 10240])
def test_a_damaged_backup_is_refused(damage: bytes, medley_run: Run, tmp_path: Path) -> None:
    (tmp_path / "damaged.tar").write_bytes(damage)
    status, _, err = medley_run("restore", str(tmp_path / "damaged.tar"))
    assert status == 1
    assert "damaged.tar" in err


def test_help_and_status_load_no_model_library_and_no_web_framework(home: Path) -> None:
    script = (
        "import sys; from api.cli import run; code = run(sys.argv[1:]);"
        "heavy = {'torch', 'faiss', 'transformers', 'litestar', 'uvicorn', 'onnxruntime', 'PIL'} & set(sys.modules);"
        "assert not heavy, heavy; sys.exit(code)"
    )
    environment = {**os.environ, "MEDLEY_HOME": str(home)}
    for arguments in (["--help"], ["status"], ["failures"], ["keys", "list"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, (arguments, done.stderr)


def test_medley_alone_prints_its_help(medley_run: Run) -> None:
    status, out, err = medley_run()
    assert (status, err) == (0, "")
    assert "medley index FOLDER" in out
    assert "  duplicates" in out


@pytest.mark.parametrize(("typed", "meant"), [("serch", "search"), ("idnex", "index"), ("Status", "status")])
def test_an_unknown_command_is_answered_with_the_one_that_was_meant(typed: str, meant: str, medley_run: Run) -> None:
    status, _, err = medley_run(typed)
    assert status == 2
    assert f"did you mean {meant!r}?" in err


@pytest.mark.parametrize("arguments", [["search", "a dog"], ["ask", "who is it?"]])
def test_an_empty_library_says_what_to_do_first(arguments: list[str], medley_run: Run) -> None:
    status, out, err = medley_run(*arguments)
    assert (status, out) == (1, "")
    assert "index something first" in err


def test_a_question_about_assets_is_answered_from_these_alone(sqlite_url: str, medley_run: Run) -> None:
    database = Database.open(sqlite_url)
    add_library(database, ["small.jpg", "large.jpg"])
    with database.write() as connection:
        claimed = queue.claim(connection, "test", 10, 60)
        sizes = ((64, 48), (6000, 4000))
        results = [
            result(record.id, width=width, height=height)
            for record, (width, height) in zip(claimed, sizes, strict=True)
        ]
        queue.finish(connection, claims_held(connection, "test"), results)
    database.close()
    for record, size in zip(claimed, ("64 x 48", "6000 x 4000"), strict=True):
        status, out, err = medley_run("ask", "how large is the photo?", "--about", str(record.id))
        assert (status, err) == (0, "")
        assert f"is {size} pixels. [1]" in out
    status, _, err = medley_run("ask", "how large is the photo?", "--about", "99")
    assert status == 1
    assert "99" in err
    status, _, err = medley_run("ask", "how large is the photo?", "--about", "large.jpg")
    assert status == 2
    assert "'large.jpg' names no asset" in err


def test_a_taken_port_is_one_line_and_a_failure(medley_run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, out, err = medley_run("serve", "--port", str(taken.getsockname()[1]))
    assert (status, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert "is taken" in err


def test_completion_offers_commands(home: Path) -> None:
    environment = {
        **os.environ, "MEDLEY_HOME": str(home), "_MEDLEY_COMPLETE": "bash_complete", "COMP_WORDS": "medley se",
        "COMP_CWORD": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", "from api.cli import main; main()"], env=environment, capture_output=True, text=True
    )
    assert {"plain,search", "plain,serve"} <= set(done.stdout.split())


def test_a_search_prints_paths_for_pipes_as_the_file_system_has_them(home: Path, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/two\nlines \xff.png"
    Image.new("RGB", (32, 32), (200, 0, 0)).save(tmp_path / "plain.png")
    (tmp_path / "plain.png").rename(os.fsdecode(odd))
    database = Database.open(Settings.load({}, home=home))
    database.migrate()
    with database.write() as connection:
        source = sources.add_source(connection, str(tmp_path))
        file = FoundFile(path="two", path_bytes=odd, size_bytes=1, modified_ns=1)
        assets.sync_assets(connection, source.id, [file])
        claimed = queue.claim(connection, "test", 1, 60)
        queue.finish(connection, claims_held(connection, "test"), [result(record.id) for record in claimed])
    database.close()
    done = subprocess.run(
        [sys.executable, "-m", "api", "search", "kind:image", "-0"],
        env={**os.environ, "MEDLEY_HOME": str(home)},
        capture_output=True,
        check=True,
    )
    assert done.stdout == odd + b"\0"


def test_filters_alone_list_dates_and_times_in_words_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    example = msgspec.convert(RESULT_EXAMPLE, SearchResult)
    query = {"text": "last summer", "parts": [], "times": [{"words": "last summer", "filter": "after:2026-06-01"}]}
    hits = tuple(
        msgspec.structs.replace(hit, asset=msgspec.structs.replace(hit.asset, dated_at="2026-07-14T09:00:00+00:00"))
        for hit in example.hits
    )
    print_result(msgspec.structs.replace(example, query=query, hits=hits))
    shown = capsys.readouterr().out
    assert "Understood 'last summer' as after:2026-06-01" in shown
    assert f"2026-07-14  {hits[0].asset.path}" in shown
    assert "%" not in shown


def test_too_little_address_space_is_said_before_a_library_crashes(
    medley_run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _what: (1_500_000 * 1024, -1))
    status, _, err = medley_run("index", str(tmp_path))
    assert status == 1
    assert err.startswith("medley: medley index needs 4 GB of address space, and this process may take 1.4 (ulimit -v)")
    assert medley_run("status")[0] == 0, "what loads no model needs little"
