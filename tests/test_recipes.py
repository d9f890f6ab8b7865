"""CONTRIBUTING's recipes are true: each is followed on a copy of the code, in the files that it names and no others.

The recipe of a signal has a test of its own, `test_new_signal.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.paths import ROOT, SUPPORT

from medley_search import PACKAGES

Follow = Callable[[str], "Recipe"]
SETTINGS = (
    "Settings.load(environment={}, home=Path('home'), speech=False, sound=False, ocr=False, vision=False, "
    "settle_seconds=0.0)"
)


class Recipe:
    """A recipe of CONTRIBUTING.md, followed step by step on a copy of the code."""

    def __init__(self, name: str, folder: Path) -> None:
        page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
        text = re.search(rf"(?ms)^### Add an? {name}\n(.*?)(?=^##|\Z)", page)
        assert text is not None, f"CONTRIBUTING.md has no recipe for a {name}"
        self.folder = folder
        self.named = re.findall(r"`((?:search|indexer|api|docs|tests)/[\w/.-]+)`", text[1])
        self.steps = re.findall(r"(?m)^\d\. `([\w/.-]+)`", text[1])
        self.touched: set[str] = set()

    def edit(self, file: str, old: str, new: str) -> None:
        path = self._step(file)
        text = path.read_text("utf-8")
        assert text.count(old) == 1, f"{file} no longer holds {old!r} once: the recipe needs a look too"
        path.write_text(text.replace(old, new), "utf-8")

    def add(self, file: str, text: str) -> None:
        self._step(file).write_text(text, "utf-8")

    def _step(self, file: str) -> Path:
        assert any(file == name or (name.endswith("/") and file.startswith(name)) for name in self.named), (
            f"the recipe does not name {file}"
        )
        self.touched.add(file)
        return self.folder / file

    def run(self, script: str) -> str:
        """What the script prints with the changed code, once each step of the recipe was taken."""
        left = [name for name in self.steps if not name.startswith("tests/") and name not in self.touched]
        assert not [name for name in left if not name.endswith("/")], "the recipe has steps that need not be taken"
        done = subprocess.run(
            [sys.executable, "-P", "-c", f"from pathlib import Path\n{script}"],
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(self.folder), str(SUPPORT.parent)])},
            cwd=self.folder.parent,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def follow(tmp_path: Path) -> Follow:
    def following(name: str) -> Recipe:
        folder = tmp_path / "code"
        for package in PACKAGES:
            shutil.copytree(
                ROOT / package, folder / package, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__")
            )
        shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("images"))
        shutil.copy(ROOT / "medley_search.py", folder)  # starts the decoders
        return Recipe(name, folder)

    return following


def test_a_filter(follow: Follow) -> None:
    recipe = follow("filter")
    recipe.edit("search/query/conditions.py", '    SIZE = "size"', '    LATITUDE = "latitude"\n    SIZE = "size"')
    recipe.edit("search/query/filters.py", "    Field.SIZE:", "    Field.LATITUDE: values.number,\n    Field.SIZE:")
    recipe.edit(
        "search/catalog/sql/filters.py",
        "    Field.SIZE: asset",
        "    Field.LATITUDE: asset.c.latitude,\n    Field.SIZE: asset",
    )
    recipe.edit("docs/query-language.md", "| `size>5MB`", "| `latitude>60` | captured north of it |\n| `size>5MB`")
    told = recipe.run(f"""
from search.query.parse import parse_query
from search.settings import Settings
from search.testing import add_asset, open_word_engine
engine = open_word_engine({SETTINGS})
for name, latitude in (("oslo", 59.9), ("tromso", 69.6), ("nowhere", None)):
    add_asset(engine, f"/media/{{name}}.jpg", "image", [("image", "harbour", None, None)], latitude=latitude)
print(*(hit.asset.path for hit in engine.search(parse_query("harbour latitude>60")).hits))
""")
    assert told == "/media/tromso.jpg\n"


def test_an_encoder(follow: Follow) -> None:
    recipe = follow("encoder")
    recipe.add(
        "search/spaces/echo.py", "from search.testing import WordSpace\n\n\nclass EchoSpace(WordSpace):\n    pass\n"
    )
    specification = "search/spaces/specification.py"
    recipe.edit(
        specification,
        "Specification = StarterSpecification |",
        'class EchoSpecification(Struct, frozen=True, tag="echo", tag_field="implementation"):\n    pass\n\n\n'
        "Specification = EchoSpecification | StarterSpecification |",
    )
    registry = "search/spaces/registry.py"
    recipe.edit(registry, "    ComposedSpecification,\n", "    ComposedSpecification,\n    EchoSpecification,\n")
    recipe.edit(
        registry,
        "        case StarterSpecification():\n            from",
        "        case EchoSpecification():\n            from search.spaces.echo import EchoSpace\n\n"
        "            return EchoSpace()\n        case StarterSpecification():\n            from",
    )
    recipe.edit(
        registry,
        "        case StarterSpecification():\n            return specification",
        "        case EchoSpecification() | StarterSpecification():\n            return specification",
    )
    recipe.edit(
        registry,
        "    if name == STARTER:",
        '    if name == "echo":\n        return EchoSpecification()\n    if name == STARTER:',
    )
    told = recipe.run(f"""
from search.catalog import sources, spaces
from search.catalog.database import Database
from search.catalog.states import SpaceState
from search.engine import SearchEngine
from search.query.parse import parse_query
from search.settings import Settings
from search.spaces.registry import complete, describe, open_space
from search.spaces.specification import encode
from search.testing import add_asset
settings = {SETTINGS}
settings.make_home()
database = Database.open(settings)
database.migrate()
wanted = complete(describe("echo"), settings)
with database.write() as connection:
    digest = open_space(wanted, settings).fingerprint.digest
    spaces.create_space(connection, "echo", encode(wanted), digest, state=SpaceState.ACTIVE)
    sources.add_source(connection, "/media")
engine = SearchEngine.open(settings, database)
add_asset(engine, "/media/beach.jpg", "image", [("image", "dog beach", None, None)])
print(*(hit.asset.path for hit in engine.search(parse_query("a dog")).hits))
""")
    assert told == "/media/beach.jpg\n"


PLAIN = '''
from search.index.partition import Partition


class PlainPartition(Partition):
    """As the usual one, in a place of its own."""


class PlainStorage:
    cheap = False

    def check(self):
        pass

    def open(self, signal, owner):
        return None

    def begin(self, signal, dimension):
        return PlainPartition(dimension)

    def save(self, signal, index, owner, sequence):
        pass

    def forget(self):
        pass
'''


def test_an_index_backend(follow: Follow) -> None:
    recipe = follow("index backend")
    recipe.add("search/index/plain.py", PLAIN)
    storage = "search/index/partition_storage.py"
    recipe.edit(
        storage, "from search.index.protocol", "from search.index.plain import PlainStorage\nfrom search.index.protocol"
    )
    recipe.edit(
        storage,
        '        case "milvus":\n',
        '        case "plain":\n            return PlainStorage()\n        case "milvus":\n',
    )
    recipe.edit("search/settings.py", 'Literal["faiss", "milvus"]', 'Literal["faiss", "plain", "milvus"]')
    recipe.edit("docs/settings.md", 'or "milvus"', 'or "plain" or "milvus"')
    told = recipe.run(f"""
from msgspec.structs import replace
from search.query.parse import parse_query
from search.settings import Settings
from search.testing import add_asset, open_word_engine
engine = open_word_engine(replace({SETTINGS}, index="plain"))
add_asset(engine, "/media/beach.jpg", "image", [("image", "dog beach", None, None)])
(hit,) = engine.search(parse_query("a dog")).hits
print(hit.asset.path, *{{type(partition).__name__ for partition in engine.active_space.follower.partitions.values()}})
""")
    assert told == "/media/beach.jpg PlainPartition\n"


def test_a_file_format(follow: Follow, tmp_path: Path) -> None:
    """Pictures of Sun's workstations, which Pillow reads and Medley leaves alone."""
    width, height = 64, 48
    rows = bytes((20, 20, 200)) * (width * height)  # blue, green, red
    (tmp_path / "photos").mkdir()
    header = struct.pack(">8I", 0x59A66A95, width, height, 24, len(rows), 1, 0, 0)
    (tmp_path / "photos" / "red.ras").write_bytes(header + rows)
    recipe = follow("file format")
    probe = "indexer/decoding/probe.py"
    recipe.edit(probe, ".sgi .mpo", ".ras .sgi .mpo")
    recipe.edit(probe, '    SVG = "an SVG drawing"', '    SUN = "a Sun raster"\n    SVG = "an SVG drawing"')
    recipe.edit(
        probe, "        (_IMAGE_MAGIC,", '        ((b"\\x59\\xa6\\x6a\\x95",), Content.SUN),\n        (_IMAGE_MAGIC,'
    )
    recipe.edit(probe, "if content in (Content.IMAGE,", "if content in (Content.SUN, Content.IMAGE,")
    recipe.edit("indexer/decoding/child.py", "case Content.IMAGE:", "case Content.IMAGE | Content.SUN:")
    told = recipe.run(f"""
import threading
from indexer.indexer import Indexer
from indexer.sources.scan import scan_source
from search.catalog import sources
from search.query.parse import parse_query
from search.settings import Settings
from search.testing import WordSpace, open_word_engine
settings = {SETTINGS}
engine = open_word_engine(settings)
with engine.database.write() as connection:
    source = sources.add_source(connection, str(Path("photos").absolute()))
scan_source(engine.database, source, settings)
with Indexer(settings, engine.database, lambda _: WordSpace(), concurrency=1) as indexer:
    indexer.worker().run(threading.Event(), until_idle=True)
engine.catch_up()
print(*(Path(hit.asset.path).name for hit in engine.search(parse_query("red")).hits))
""")
    assert told == "red.ras\n"


def test_a_route(follow: Follow) -> None:
    recipe = follow("route")
    recipe.edit(
        "api/schemas.py",
        "class Status(Struct",
        'class Greeting(Struct, frozen=True):\n    """A word of welcome."""\n\n    words: str\n\n\nclass Status(Struct',
    )
    routes = "api/routes/library_status.py"
    recipe.edit(routes, "import FailureView, ", "import FailureView, Greeting, ")
    recipe.edit(
        routes,
        "ROUTES = (",
        '@get("/v1/greeting", sync_to_thread=True, opt=example({"words": "hello"}), responses=documented())\n'
        'def greeting() -> Greeting:\n    """Welcomes."""\n    return Greeting("hello")\n\n\nROUTES = (greeting, ',
    )
    recipe.edit("docs/http.md", "## Sources\n", "- `GET /v1/greeting` welcomes.\n\n## Sources\n")
    told = recipe.run(f"""
from search.settings import Settings
from support.service_world import World, running
world = World({SETTINGS.replace("Path('home')", "Path('home').absolute()")}, "sqlite:///world.sqlite", Path("media"))
with running(world.service) as client:
    print(client.get("/v1/greeting").json())
    answer = client.get("/schema").json()["paths"]["/v1/greeting"]["get"]["responses"]["200"]
    print(answer["content"]["application/json"]["example"])
world.engine.close()
""")
    assert told == "{'words': 'hello'}\n{'words': 'hello'}\n"


def test_a_setting(follow: Follow) -> None:
    recipe = follow("setting")
    recipe.edit(
        "search/settings.py",
        "    poll_seconds: ",
        "    greeting_seconds: PositiveSeconds = 3.0  # how long a welcome takes\n    poll_seconds: ",
    )
    recipe.edit(
        "docs/settings.md",
        "| `poll_seconds`",
        "| `greeting_seconds` | `3.0` | how long a welcome takes |\n| `poll_seconds`",
    )
    told = recipe.run("""
from search.errors import SettingsError
from search.settings import Settings
print(Settings.load(environment={}, home=Path("home")).greeting_seconds)
print(Settings.load(environment={"MEDLEY_GREETING_SECONDS": "5"}, home=Path("home")).greeting_seconds)
try:
    Settings.load(environment={"MEDLEY_GREETING_SECONDS": "-5"}, home=Path("home"))
except SettingsError as error:
    print("greeting_seconds" in str(error))
""")
    assert told == "3.0\n5.0\nTrue\n"
