"""Folders that hold packages called like Medley's never replace them, whichever way Medley is started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT
from support.pictures import save_coloured
from support.processes import environment
from support.waiting import until

from medley_search import PACKAGES
from search.runtime import child_python

pytestmark = pytest.mark.slow

INSTALLED = [sys.executable, "-P", "-c", "import sys; sys.argv[0] = 'medley'; from medley_search import main; main()"]


@pytest.fixture
def foreign(tmp_path: Path, home: Path) -> Path:
    """A folder whose packages note that they ran, in the file `ran` beside them; and one picture."""
    folder = tmp_path / "foreign"
    files = [
        "search/settings.py",
        "search/errors.py",
        "indexer/child.py",
        "indexer/decoding/child.py",
        "api/__main__.py",
    ]
    files += ["api/__main__.py", "api/cli.py", "migrations/env.py", "migrations/versions/0001_tables.py"]
    for name in [*files, *(f"{package}/__init__.py" for package in PACKAGES), "indexer/decoding/__init__.py"]:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"open({str(folder / 'ran')!r}, 'a').write(__file__ + chr(10))\n")
    save_coloured(folder / "beach.jpg", 1)
    return folder


def started(command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = environment(folder.parent / "home", speech="false", sound="false", ocr="false", settle_seconds="0")
    given = {**kept, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, timeout=240)


@pytest.mark.models
def test_files_are_indexed_from_a_folder_with_such_packages(foreign: Path) -> None:
    # An empty entry of PYTHONPATH is the current folder; here it comes last.
    paths = f"{ROOT}{os.pathsep}"
    done = started([*INSTALLED, "index", "."], foreign, PYTHONPATH=paths)
    assert done.returncode == 0, done.stderr
    status = started([*INSTALLED, "status", "--json"], foreign, PYTHONPATH=paths)
    counts = json.loads(status.stdout)["assets"]
    assert (counts["indexed"], counts["quarantined"]) == (1, 0), counts
    assert not (foreign / "ran").exists()


@pytest.mark.models
def test_the_worker_beside_the_service_is_medleys(foreign: Path, tmp_path: Path) -> None:
    added = started([*INSTALLED, "index", "beach.jpg"], foreign)
    assert added.returncode == 0, added.stderr
    (foreign / "beach.jpg").touch()
    log = tmp_path / "serve.log"
    variables = {**environment(tmp_path / "home", speech="false", sound="false", ocr="false"), "PYTHONPATH": str(ROOT)}
    with log.open("wb") as output:
        service = subprocess.Popen([*INSTALLED, "serve", "--port", "0"], cwd=foreign, env=variables, stderr=output)
    try:
        until(lambda: "listens on" in log.read_text(), 120, log.read_text)
        worker = until(lambda: _children(service.pid), 60, log.read_text)[0]
        until(lambda: b"worker" in _command(worker), 60, log.read_text)
    finally:
        service.terminate()
        service.wait(60)
    assert "starting another" not in log.read_text()
    assert not (foreign / "ran").exists()


@pytest.mark.parametrize("package", PACKAGES)
def test_medley_refuses_to_start_with_a_foreign_package_in_front(foreign: Path, package: str) -> None:
    (foreign.parent / "path").mkdir()
    (foreign / package).rename(foreign.parent / "path" / package)
    refused = started([*INSTALLED, "status"], foreign, PYTHONPATH=f"{foreign.parent / 'path'}{os.pathsep}{ROOT}")
    assert refused.returncode == 1
    assert f"the package {package!r} would come from" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (foreign / "ran").exists()


@pytest.mark.parametrize("package", [name for name in PACKAGES if name != "api"])
def test_python_m_api_refuses_them_too(foreign: Path, package: str) -> None:
    folder = foreign.parent / "path"
    folder.mkdir()
    (foreign / package).rename(folder / package)
    refused = started([sys.executable, "-m", "api", "status"], folder)
    assert refused.returncode == 1
    assert f"the package {package!r} would come from" in refused.stderr
    assert not (foreign / "ran").exists()


def test_a_child_refuses_them_too(foreign: Path) -> None:
    command = child_python.command("api", "--version")
    assert started(command, foreign).returncode == 0
    refused = started(command, foreign, PYTHONPATH=f"{foreign}{os.pathsep}{ROOT}")
    assert refused.returncode == 1
    assert "would come from" in refused.stderr
    assert not (foreign / "ran").exists()


def test_children_search_no_folder_that_depends_on_where_they_start() -> None:
    given = {"PYTHONPATH": os.pathsep.join(["", ".", "relative", "/opt/libraries"]), "LANG": "C"}
    passed = child_python.environment(given)
    assert passed["LANG"] == "C"
    assert all(Path(entry).is_absolute() for entry in passed["PYTHONPATH"].split(os.pathsep))
    assert passed["PYTHONPATH"].endswith("/opt/libraries")


def test_a_program_with_migrations_of_its_own_gets_medleys_tables(foreign: Path) -> None:
    """As a Django project that uses the engine as a library."""
    for package in ("search", "indexer", "api"):
        (foreign / package).rename(foreign.parent / package)
    code = (
        "from pathlib import Path; from search.catalog.database import Database;"
        "database = Database.open('sqlite:///library.sqlite'); database.migrate(); database.close()"
    )
    done = started([sys.executable, "-c", code], foreign)
    assert done.returncode == 0, done.stderr
    assert not (foreign / "ran").exists()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()] or _by_threads(pid)


def _by_threads(pid: int) -> list[int]:
    return [
        int(child)
        for thread in Path(f"/proc/{pid}/task").iterdir()
        for child in (thread / "children").read_text().split()
    ]


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()
