"""A new kind of evidence touches three files: shown by adding one to a copy of the code and finding a file by it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from support.paths import ROOT, SUPPORT

from medley_search import PACKAGES

MAKER = '''"""Labels of pictures."""

from collections.abc import Iterable

from indexer.decoding.items import DecodedItem, PictureItem, SegmentDraft
from search.signals import Signal


class LabelMaker:
    """Calls every picture a zeppelin."""

    def feed(self, item: DecodedItem) -> Iterable[SegmentDraft]:
        if isinstance(item, PictureItem):
            yield SegmentDraft(Signal.LABEL, None, None, "a zeppelin")

    def finish(self) -> Iterable[SegmentDraft]:
        return ()
'''
# Indexes a folder with a space that needs no model, then prints what a search finds.
JOURNEY = """
import sys, threading
from pathlib import Path
from indexer.indexer import Indexer
from indexer.sources.scan import scan_source
from search.catalog import sources, spaces
from search.catalog.database import Database
from search.catalog.states import SpaceState
from search.engine import SearchEngine
from search.query.parse import parse_query
from search.settings import Settings
from search.testing import WordSpace

home, folder = map(Path, sys.argv[1:])
home.mkdir()
settings = Settings.load({}, home=home, settle_seconds=0.0, speech=False, sound=False, ocr=False, vision=False)
database = Database.open(settings)
database.migrate()
with database.write() as connection:
    spaces.create_space(connection, "words", "{}", WordSpace().fingerprint.digest, state=SpaceState.ACTIVE)
engine = SearchEngine.open(settings, database, open_space=lambda record: WordSpace())
with engine.database.write() as connection:
    source = sources.add_source(connection, str(folder))
scan_source(engine.database, source, settings)
with Indexer(settings, engine.database, lambda record: WordSpace(), concurrency=1) as indexer:
    indexer.worker().run(threading.Event(), until_idle=True)
engine.catch_up()
for hit in engine.search(parse_query("zeppelin")).hits:
    print(hit.asset.path, *(moment.signal for moment in hit.moments))
"""


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert text.count(old) == 1, f"{path.name} no longer holds {old!r} once: CONTRIBUTING.md's recipe needs a look too"
    path.write_text(text.replace(old, new), "utf-8")


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A copy of the packages, with the signal `label` in it."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / "code" / package, ignore=shutil.ignore_patterns("*.safetensors"))
    shutil.copy(ROOT / "medley_search.py", tmp_path / "code")  # starts the decoders
    code = tmp_path / "code"
    signals = code / "search" / "signals.py"
    edit(signals, '    TEXT = "text"', '    LABEL = "label"\n    TEXT = "text"')
    edit(signals, "TABLE = {\n", "TABLE = {\n    Signal.LABEL: SignalTraits(Sense.SAID, Input.WORDS, batch_size=32),\n")
    (code / "indexer" / "segmenting" / "labels.py").write_text(MAKER, "utf-8")
    makers = code / "indexer" / "segmenting" / "makers.py"
    edit(makers, "= [PictureMaker, ", "= [PictureMaker, LabelMaker, ")
    edit(makers, "\n\n\n@dataclass", "\nfrom indexer.segmenting.labels import LabelMaker\n\n\n@dataclass")
    return code


def test_a_new_signal_goes_from_a_file_to_a_hit(code: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (64, 64), "red").save(folder / "airship.png")
    done = subprocess.run(
        [sys.executable, "-P", "-c", JOURNEY, str(tmp_path / "home"), str(folder)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(code), str(SUPPORT.parent)])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "airship.png label" in done.stdout, done.stderr
