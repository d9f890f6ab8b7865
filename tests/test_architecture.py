"""The shape of the house: imports go one way, the ground stays light, the README's tree is true."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

from docs import tree

LAYERS = ("search", "indexer", "api")  # each may import those before it
# The same inside each of them: a module or folder imports from lines above its own, never from its own line or below.
ORDER = {
    "search": (
        "errors signals arrays words distribution times private_files gazetteer",
        "results settings",
        "runtime",
        "spaces",
        "query duplicates",
        "catalog",
        "index",
        "ranking",
        "multimodal",
        "language",
        "active_space query_log browsing",
        "alerts",
        "searcher readers",
        "answering",
        "engine",
        "library_duplicates space_lifecycle testing evaluation",
    ),
    "indexer": (
        "failures",
        "decoding",
        "segmenting sources query_media",
        "previews",
        "ingest",
        "indexer space_filler",
        "bulk",
    ),
    "api": (
        "schemas keys batching openai_tokens engines",
        "serializers",
        "audit library_status backup folders trash",
        "monitoring",
        "http",
        "queries",
        "embedding_requests job_runner alert_runner",
        "service remote_encoding",
        "routes",
        "mcp encoders",
        "app",
        "cli",
        "__main__",
    ),
}
MOST_MODULES = 20  # in one folder


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


def parts_of(package: str) -> dict[str, set[str]]:
    """Every module or folder at the top of a package -> those beside it that it imports, however deep inside."""
    parts: dict[str, set[str]] = {}
    for path in modules(package):
        part = path.relative_to(ROOT / package).parts[0].removesuffix(".py")
        if part != "__init__":
            parts.setdefault(part, set()).update(imported_parts(path, package) - {part})
    return parts


def imported_parts(path: Path, package: str) -> set[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return {name.split(".")[1] for name in names if name.startswith(f"{package}.")}


@pytest.mark.parametrize("package", LAYERS)
def test_imports_inside_a_package_run_one_way(package: str) -> None:
    """So there is no circle; a new module or folder is given its line in ORDER."""
    height = {part: number for number, line in enumerate(ORDER[package]) for part in line.split()}
    parts = parts_of(package)
    assert set(parts) == set(height), "give every new module or folder its line in ORDER, and drop those that went"
    wrong = [
        f"{package}.{part} imports {package}.{other}"
        for part, imported in parts.items()
        for other in imported
        if height[other] >= height[part]
    ]
    assert not wrong


def test_training_does_not_need_benchmarks() -> None:
    users = [path.name for path in modules("training") if "benchmarks" in imported_packages(path)]
    assert not users


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


@pytest.mark.parametrize(
    "module", ["search", "search.settings", "search.results", "search.catalog", "search.query.parse"]
)
def test_the_ground_is_light(module: str) -> None:
    """Importing it loads neither torch nor faiss, so that `medley status` starts at once."""
    code = f"import sys, {module}; print(*sorted({{'torch', 'faiss', 'transformers', 'litestar'}} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


MOST_IMPORT_SECONDS = 1.5 * 2  # of a quiet core; twice that where others share it
#: of the libraries those that cost time or memory at start, and that a first request, model or film brings in
LATER = {
    "alembic", "av", "ctranslate2", "cv2", "faster_whisper", "huggingface_hub", "imagecodecs", "mcp", "mcp_types",
    "numba", "onnxruntime", "open_clip", "opentelemetry", "pandas", "psycopg", "pydantic", "pymilvus", "rapidocr",
    "scipy", "starlette", "tifffile", "timm", "torch", "transformers",
}  # fmt: skip


@pytest.mark.parametrize("module", ["api.app", "indexer.decoding.child"])
def test_what_starts_often_starts_without_what_it_may_never_need(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({LATER} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


@pytest.mark.slow
def test_the_service_is_imported_in_time() -> None:
    """CPU time, the best of three: a busy machine makes it longer, never shorter."""
    code = "import time; began = time.process_time(); import api.app; print(time.process_time() - began)"
    runs = [subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True) for _ in range(3)]
    assert min(float(run.stdout) for run in runs) <= MOST_IMPORT_SECONDS


def test_every_module_says_what_it_is() -> None:
    silent = [
        path.relative_to(ROOT).as_posix()
        for package in (*LAYERS, "migrations", "benchmarks", "training", "demo")
        for path in modules(package)
        if not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert not silent


def test_the_tree_of_the_architecture_page_is_true() -> None:
    """One line a file, as its docstring says; `python docs/tree.py` writes it anew."""
    assert tree.written() == tree.measured()


@pytest.mark.parametrize("package", LAYERS)
def test_no_folder_is_crowded(package: str) -> None:
    folders: dict[str, int] = {}
    for path in modules(package):
        folder = path.parent.relative_to(ROOT).as_posix()
        folders[folder] = folders.get(folder, 0) + (path.name != "__init__.py")
    assert {folder: count for folder, count in folders.items() if count > MOST_MODULES} == {}


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
