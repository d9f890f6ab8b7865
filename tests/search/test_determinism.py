"""The same files give the same results: what is indexed anew ranks alike, to the byte of the JSON without times."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import msgspec
import pytest
from support.pictures import BLUE, GREEN, RED, save_coloured

from indexer.indexer import Indexer
from indexer.sources.scan import scan_source
from search.catalog import sources
from search.engine import SearchEngine
from search.query.parse import parse_query
from search.settings import Settings

QUERIES = ("a red picture", "blue -red", "kind:image")
#: ids follow the order in which workers finish; the time of a search is never the same
_DIFFERS = re.compile(rb'"(?:id|segment_id|took_seconds|thumbnail|next_cursor)":(?:"[^"]*"|[^,}\]]+)')


@pytest.mark.models
def test_the_same_files_indexed_in_two_homes_give_the_same_results(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed, (name, colour) in enumerate({"red": RED, "green": GREEN, "blue": BLUE}.items()):
        save_coloured(photos / f"{name}.jpg", seed, colour)
    first, second = (_results(tmp_path / name, photos) for name in ("first", "second"))
    assert b"red.jpg" in first[0]
    assert first == second


def _results(home: Path, folder: Path) -> list[bytes]:
    """Each query's results as JSON, from a library of their own with the folder's files."""
    settings = Settings.load({}, home=home, speech=False, sound=False, ocr=False, vision=False, settle_seconds=0.0)
    engine = SearchEngine.open(settings)
    try:
        with engine.database.write() as connection:
            source = sources.add_source(connection, str(folder))
        scan_source(engine.database, source, settings)
        with Indexer(settings, engine.database) as indexer:
            indexer.worker().run(threading.Event(), until_idle=True)
        engine.catch_up()
        return [_DIFFERS.sub(b"", msgspec.json.encode(engine.search(parse_query(query)))) for query in QUERIES]
    finally:
        engine.close()
