"""The shape of the house: imports go one way, the ground stays light, the README's tree is true."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("search", "indexer", "api")  # each may import those before it


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported_packages(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("package", LAYERS)
def test_no_import_runs_up(package: str) -> None:
    above = set(LAYERS[LAYERS.index(package) + 1 :]) | {"tests", "benchmarks", "training", "demo"}
    wrong = {str(path.relative_to(ROOT)): up for path in modules(package) if (up := imported_packages(path) & above)}
    assert not wrong


def test_only_one_file_calls_open_clip() -> None:
    callers = {
        path.relative_to(ROOT).as_posix()
        for package in LAYERS
        for path in modules(package)
        if "open_clip" in imported_packages(path)
    }
    assert callers == {"search/spaces/clip.py"}


def test_statements_live_in_the_catalogue() -> None:
    """Outside it nothing imports SQLAlchemy, so no statement can hide elsewhere."""
    outside = [
        path.relative_to(ROOT).as_posix()
        for package in LAYERS
        for path in modules(package)
        if "sqlalchemy" in imported_packages(path) and not path.is_relative_to(ROOT / "search" / "catalog")
    ]
    assert not outside


@pytest.mark.parametrize("module", ["search", "search.settings", "search.results", "search.catalog", "search.query"])
def test_the_ground_is_light(module: str) -> None:
    """Importing it loads neither torch nor faiss, so that `medley status` starts at once."""
    code = f"import sys, {module}; print(*sorted({{'torch', 'faiss', 'transformers', 'litestar'}} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


def test_every_module_says_what_it_is() -> None:
    silent = [
        path.relative_to(ROOT).as_posix()
        for package in (*LAYERS, "migrations", "benchmarks", "training", "demo")
        for path in modules(package)
        if not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert not silent


def test_the_readme_tree_names_every_file() -> None:
    tree = re.search(r"<!-- tree -->\n```\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert tree, "README.md has no tree between <!-- tree --> and the end of its code block"
    named = set(re.findall(r"^\s*([\w./-]+\.py)\b", tree.group(1), re.M))
    folders = {line.split()[0] for line in tree.group(1).splitlines() if line and not line.startswith(" ")}
    for package in LAYERS:
        assert f"{package}/" in folders
    actual = {
        path.relative_to(ROOT / package).as_posix()
        for package in LAYERS
        for path in modules(package)
        if path.name != "__init__.py"
    }
    assert named == actual


def test_settings_are_documented() -> None:
    from search.settings import Settings

    text = (ROOT / "docs" / "settings.md").read_text("utf-8")
    documented = set(re.findall(r"^\| `([a-z_]+)` \|", text, re.M))
    assert documented == set(Settings.__struct_fields__)


def test_nothing_in_the_repository_names_a_machine_or_an_index() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not listed:
        pytest.skip("not a git checkout")
    # Written in pieces, or this line would be found too.
    forbidden = re.compile("/wor" + "k/(main|shared|notes)|--(extra-)?inde" + "x-url|/op" + "t/(pypi|wheels)")
    texts = {".py", ".md", ".toml", ".txt", ".yml", ".js", ".html", ".css", ".json", ""}
    wrong = [
        name
        for name in listed
        if (path := ROOT / name).suffix in texts
        and path.is_file()
        and forbidden.search(path.read_text("utf-8", errors="replace"))
    ]
    assert not wrong
