"""Thumbnails are there before anybody asks, and the ones that can't be made stop nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.catalog_world import claims_held, result
from support.pictures import landscape

from indexer.decoding.decoder import DecoderPool
from indexer.previews.ahead import ThumbnailsAhead, thumbnails_ahead
from indexer.previews.previews import Previews
from indexer.sources.original import local
from indexer.sources.places import Places
from search.catalog import assets, queue, sources
from search.catalog.database import Database
from search.catalog.records import FoundFile
from search.results import Kind
from search.settings import Settings


@pytest.fixture
def database(sqlite_url: str) -> Database:
    return Database.open(sqlite_url)


def index(database: Database, *paths: Path) -> None:
    """As a worker leaves them: searchable."""
    with database.write() as connection:
        source = sources.add_source(connection, str(paths[0].parent))
        files = [FoundFile(path=str(path), path_bytes=bytes(path), size_bytes=1, modified_ns=1) for path in paths]
        assets.sync_assets(connection, source.id, files)
        claimed = queue.claim(connection, "test", 10, 60)
        queue.finish(connection, claims_held(connection, "test"), [result(record.id) for record in claimed])


@pytest.mark.parametrize("stopped", [False, True])
def test_a_command_that_ends_makes_the_last_thumbnails_unless_it_is_stopped(
    database: Database, settings: Settings, tmp_path: Path, stopped: bool
) -> None:
    paths = [tmp_path / "media" / f"{number}.png" for number in range(5)]
    paths[0].parent.mkdir()
    for number, path in enumerate(paths):
        landscape(number, 120, 90).save(path)
    stop = threading.Event()
    with thumbnails_ahead(settings, database, finish_unless=stop):
        if stopped:
            stop.set()
        index(database, *paths)
    made = len(list(settings.thumbnails.rglob("*.webp")))
    assert made < len(paths) if stopped else made == len(paths)
    database.close()


def test_what_became_searchable_has_its_thumbnail_at_once(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    paths = [tmp_path / "media" / name for name in ("a.png", "broken.png", "c.png")]
    paths[0].parent.mkdir()
    for path in paths:
        Image.fromarray(noise).save(path)
    paths[1].write_bytes(b"\x89PNG broken")
    stop = threading.Event()
    with DecoderPool(settings, 1) as pool:
        previews = Previews(settings, pool.decode)
        ahead = ThumbnailsAhead(database, Places(database, settings), previews, began=0.0)
        index(database, *paths)
        assert ahead.step(stop)
        assert not ahead.step(stop), "each is looked at once"
        made = set(settings.thumbnails.rglob("*.webp"))
        assert len(made) == 2
        assert previews.thumbnail(local(paths[2].resolve()), Kind.IMAGE) in made, "the service asks for the same file"
    database.close()
