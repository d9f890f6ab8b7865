"""The documents: their links lead somewhere, and the commands and files that they name exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT
from support.pictures import save_coloured
from support.processes import environment

from api.http.problems import status_of
from api.routes.compatible import rerank
from search import errors
from search.catalog import idempotency

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")])
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#([^)\s]+))?\)")
_MODULE = re.compile(r"python -m ((?:benchmarks|training|demo)(?:\.\w+)*)")
_PACKAGES = ("search", "indexer", "api", "training", "benchmarks")
_NAMED_IN_CODE = re.compile(rf"(?<!/)\b(?:docs/[\w/-]+\.md|(?:{'|'.join(_PACKAGES)})/[\w/]+\.py\b)")


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text("utf-8"))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in _LINK.findall(page.read_text("utf-8")):
        if "://" in target or target.startswith("mailto:"):
            continue
        file = page.parent / target
        assert file.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in _anchors(file), f"{page.name} links to {target}#{anchor}"


def test_the_commands_of_the_pages_are_modules() -> None:
    for page in PAGES:
        for module in _MODULE.findall(page.read_text("utf-8")):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__init__.py").exists(), f"{page.name}: {module}"


def test_the_pages_and_modules_that_code_names_exist() -> None:
    for package in _PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for named in _NAMED_IN_CODE.findall(path.read_text("utf-8")):
                assert (ROOT / named).exists(), f"{path.name} names {named}"


def test_every_page_of_measurements_is_in_the_table_of_benchmarks() -> None:
    table = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    for page in (ROOT / "docs" / "benchmarks").glob("*.md"):
        assert f"(benchmarks/{page.name})" in table, page.name


def test_the_table_of_errors_names_every_type_with_its_status() -> None:
    page = (ROOT / "docs" / "http.md").read_text("utf-8")
    rows = re.findall(r"(?m)^\| ((?:`[a-z-]+`(?:, )?)+) \| (\d{3}) \|", page)
    told = {(slug, int(status)) for slugs, status in rows for slug in re.findall(r"`([a-z-]+)`", slugs)}
    kinds = [errors.MedleyError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    ours = {kind for kind in kinds[1:] if kind.__module__ == "search.errors"}
    # Those that others derive from (`MediaError`) are raised as one of these only.
    assert {(kind.slug, status_of(kind.__new__(kind))) for kind in ours if not kind.__subclasses__()} <= told


def test_numbers_in_the_documents_are_those_of_the_code() -> None:
    http = (ROOT / "docs" / "http.md").read_text("utf-8")
    assert f"up to {rerank.MOST_LOOKS} texts" in http
    assert "the same key gives the same answer for a day" in http
    assert idempotency.RESPONSE_SECONDS == 24 * 3600
    setup = (ROOT / "README.md").read_text("utf-8")
    python = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert python is not None
    assert f"Python 3.{python[1]} to 3.{int(python[2]) - 1}" in setup


def test_the_recipes_of_contributing_name_files_that_exist() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    recipes = dict(re.findall(r"(?ms)^### Add an? ([a-z ]+)\n(.*?)(?=^##|\Z)", page))
    assert {"filter", "signal", "encoder", "index backend", "file format", "route", "setting"} <= set(recipes)
    for name, recipe in recipes.items():
        files = re.findall(r"`((?:search|indexer|api|migrations|docs|tests)/[\w/.-]+)`", recipe)
        assert len(files) >= 3, name
        for file in files:
            assert (ROOT / file).exists(), f"add {name}: {file}"


def _examples() -> list[str]:
    return re.findall(r"(?s)```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text("utf-8"))


@pytest.mark.models
@pytest.mark.parametrize("number", range(2))
def test_the_examples_of_the_engine_as_a_library_run(tmp_path: Path, number: int) -> None:
    (tmp_path / "photos").mkdir()
    save_coloured(tmp_path / "photos" / "red.jpg", 1)
    variables = environment(tmp_path / "unused", speech="false", sound="false", ocr="false", settle_seconds="0")
    variables["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-c", _examples()[number]], cwd=tmp_path, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert number == 1 or f"photos{os.sep}red.jpg" in done.stdout
