"""A worker beside others that see more, or something else: it takes nothing from them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from support.library import Library
from support.pictures import save_coloured

from indexer.decoding.decoder import DecoderPool
from indexer.ingest import visibility
from indexer.ingest.visibility import PassedBy, VisibleSources
from indexer.sources.uploads_mark import put_mark
from search.catalog import assets, sequence, sources
from search.catalog.database import Database
from search.catalog.records import FoundFile
from search.settings import Settings


@pytest.fixture
def library(settings: Settings, sqlite_url: str, tmp_path: Path) -> Iterator[Library]:
    database = Database.open(sqlite_url)
    with DecoderPool(settings, size=1) as pool:
        yield Library(database, settings, tmp_path / "media", pool)
    database.close()


def test_another_folder_at_the_same_path_is_not_the_source(library: Library) -> None:
    """As where every machine has a /photos of its own: something is in it, but nothing that the catalogue knows."""
    save_coloured(library.root / "a.jpg", 1)
    library.scan()
    (library.root / "a.jpg").rename(library.root.parent / "a.jpg")
    save_coloured(library.root / "somebody else's.jpg", 2)
    library.work()
    record = library.all()[b"a.jpg"]
    assert (record.status, record.claim_number, record.not_before) == ("pending", 0, 0.0)


def test_what_one_worker_does_not_find_the_next_takes_at_once(library: Library) -> None:
    save_coloured(library.root / "a.jpg", 1)
    save_coloured(library.root / "b.jpg", 2)
    library.scan()
    away = library.root.parent / "a.jpg"
    (library.root / "a.jpg").rename(away)
    library.work()  # on a machine with an old copy of the folder
    record = library.all()[b"a.jpg"]
    assert (record.status, record.attempts) == ("pending", 0)
    assert record.not_before <= time.time(), "others need not wait"
    assert "the next scan says" in (record.error or "")
    away.rename(library.root / "a.jpg")
    library.work()  # on another one
    assert library.all()[b"a.jpg"].status == "indexed"


@pytest.mark.parametrize("what", ["the file", "its folder"])
def test_a_link_out_of_the_source_that_takes_a_files_place_after_the_scan_is_not_read(
    library: Library, tmp_path: Path, what: str
) -> None:
    inside, outside = library.root / "trip", tmp_path / "private"
    inside.mkdir()
    outside.mkdir()
    save_coloured(inside / "a.jpg", 1)
    save_coloured(library.root / "b.jpg", 2)
    library.scan()
    save_coloured(outside / "a.jpg", 3)
    (inside / "a.jpg").unlink()
    if what == "the file":
        (inside / "a.jpg").symlink_to(outside / "a.jpg")
    else:
        inside.rmdir()
        inside.symlink_to(outside)
    library.work()
    record = library.all()[b"a.jpg"]
    assert (record.status, record.content_hash) == ("pending", None)
    library.index()
    assert library.all()[b"a.jpg"].status == "missing"
    assert library.counts().segments == {"image": 1}


def test_files_are_passed_by_for_a_while_and_never_very_many() -> None:
    now = 0.0
    passed = PassedBy(lambda: now)
    passed.note(1, 30.0)
    passed.note(2, 600.0)
    assert passed.now() == [1, 2]
    now = 31.0
    assert passed.now() == [2]
    for asset_id in range(10, 5000):
        passed.note(asset_id, 600.0)
    assert len(passed.now()) == visibility.MOST_PASSED


@pytest.mark.parametrize("shares_home", [True, False])
def test_workers_say_whether_they_see_the_folder_of_uploads(
    library: Library, settings: Settings, tmp_path: Path, shares_home: bool
) -> None:
    settings.uploads.mkdir(parents=True)
    with library.database.write() as connection:
        sequence.uploads_mark(connection, put_mark(settings.uploads))
        assert sequence.uploads_are_seen(connection) is None
    home = settings.home if shares_home else tmp_path / "another home"
    VisibleSources(library.database, msgspec.structs.replace(settings, home=home)).sources()
    with library.database.read() as connection:
        assert sequence.uploads_are_seen(connection) is shares_home


def test_uploads_of_another_catalogue_at_the_same_path_are_not_claimed(library: Library, settings: Settings) -> None:
    """As where every container has a /data of its own, and had an API of its own once."""
    settings.uploads.mkdir(parents=True)
    own = put_mark(settings.uploads)
    picture = save_coloured(settings.uploads / "a.jpg", 1)
    with library.database.write() as connection:
        sequence.uploads_mark(connection, own + 1)
        source = sources.add_source(connection, str(settings.uploads), watched=False)
        found = FoundFile(path=str(picture), path_bytes=bytes(picture), size_bytes=1, modified_ns=1)
        assets.sync_assets(connection, source.id, [found])
    visible = VisibleSources(library.database, settings).sources()
    assert visible is not None
    assert source.id not in visible
