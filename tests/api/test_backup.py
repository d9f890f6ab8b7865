"""A backup restored on an empty machine gives the same answers."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.service_world import World

from api.audit import audit
from api.backup import pack, unpack
from api.http.uploads import sweep
from search.catalog import keys
from search.catalog.database import Database
from search.catalog.upkeep import health
from search.errors import CatalogError
from search.query.parse import parse_query
from search.results import SearchResult
from search.settings import Settings


def shown(result: SearchResult) -> list[tuple[Any, ...]]:
    return [
        (hit.asset.path, hit.relevance, tuple((m.segment_id, m.score, m.text) for m in hit.moments))
        for hit in result.hits
    ]


def test_a_restored_library_answers_as_the_old_one_did(world: World, tmp_path: Path) -> None:
    for number in range(9):
        world.picture(f"{number}.png", ("red", "green", "blue")[number % 3], words=f"sign number {number}")
    questions = ["red", "blue sign", '"number 4"', "green -blue"]
    before = [shown(world.engine.search(parse_query(text))) for text in questions]
    pack(world.settings, world.database, tmp_path / "backup.tar")

    home = tmp_path / "another machine"
    home.mkdir()
    settings = Settings.load({}, home=home)
    database = Database.open(settings)
    unpack(settings, database, tmp_path / "backup.tar")
    database.close()
    restored = World(settings, settings.database, world.media)
    try:
        assert [shown(restored.engine.search(parse_query(text))) for text in questions] == before
    finally:
        restored.service.close()


@pytest.mark.parametrize("name", ["uploads/../../evil", "uploads/ab/../x", "/etc/passwd", "uploads/ab/..", "other"])
def test_nothing_in_a_backup_can_write_elsewhere(world: World, tmp_path: Path, name: str) -> None:
    file = tmp_path / "hostile.tar"
    pack(world.settings, world.database, file)
    with tarfile.open(file, "a") as archive:
        archive.addfile(tarfile.TarInfo(name))
    settings = Settings.load({}, home=tmp_path / "empty")
    settings.home.mkdir()
    database = Database.open(settings)
    with pytest.raises(CatalogError, match="not part of a backup"):
        unpack(settings, database, file)
    database.close()


def test_a_link_in_a_backup_is_refused(world: World, tmp_path: Path) -> None:
    file = tmp_path / "hostile.tar"
    pack(world.settings, world.database, file)
    link = tarfile.TarInfo("uploads/ab/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(file, "a") as archive:
        archive.addfile(link)
    settings = Settings.load({}, home=tmp_path / "empty")
    settings.home.mkdir()
    database = Database.open(settings)
    with pytest.raises(CatalogError, match="not a plain file"):
        unpack(settings, database, file)
    database.close()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[tuple[Settings, Database]]:
    """A new home with an empty catalogue."""
    settings = Settings.load({}, home=tmp_path / "empty")
    settings.home.mkdir()
    database = Database.open(settings)
    yield settings, database
    database.close()


@pytest.fixture
def whole(world: World, tmp_path: Path) -> Path:
    """A backup with an upload and a key in it."""
    world.picture("1.png", "red")
    upload = world.settings.uploads / "ab" / "abcd-photo.jpg"
    upload.parent.mkdir(parents=True)
    upload.write_bytes(bytes(100_000))
    with world.database.write() as connection:
        keys.create_key(connection, "laptop", "h" * 64, "admin")
    file = tmp_path / "whole.tar"
    pack(world.settings, world.database, file)
    return file


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9, 0.97])
def test_a_backup_that_was_cut_changes_nothing_and_does_not_stand_in_the_way_of_the_good_one(
    whole: Path, empty: tuple[Settings, Database], share: float
) -> None:
    settings, database = empty
    cut = whole.with_name("cut.tar")
    # Tar files end in zeros that may be missing, so the share is of what says something.
    cut.write_bytes(whole.read_bytes()[: int(len(whole.read_bytes().rstrip(b"\0")) * share)])
    with pytest.raises(CatalogError):
        unpack(settings, database, cut)
    assert not settings.uploads.exists()
    assert not list(settings.home.glob(".restoring-*"))
    unpack(settings, database, whole)
    assert [path.name for path in settings.uploads.glob("*/*")] == ["abcd-photo.jpg"]


def test_a_backup_whose_last_upload_is_missing_is_noticed(whole: Path, empty: tuple[Settings, Database]) -> None:
    cut = whole.with_name("cut.tar")
    with tarfile.open(whole) as old, tarfile.open(cut, "w") as new:
        for entry in old:
            if not entry.name.startswith("uploads/"):
                new.addfile(entry, old.extractfile(entry))
    with pytest.raises(CatalogError, match="cut short"):
        unpack(*empty, cut)


def test_keys_come_with_a_backup_only_when_asked_for(whole: Path, empty: tuple[Settings, Database]) -> None:
    settings, database = empty
    unpack(settings, database, whole)
    with database.read() as connection:
        assert keys.list_keys(connection) == []


def test_keys_come_with_a_backup_when_asked_for(whole: Path, empty: tuple[Settings, Database]) -> None:
    settings, database = empty
    unpack(settings, database, whole, with_keys=True)
    with database.read() as connection:
        assert [key.name for key in keys.list_keys(connection)] == ["laptop"]


def test_a_damaged_catalogue_is_not_backed_up(world: World, tmp_path: Path) -> None:
    for number in range(40):
        world.picture(f"{number}.png", "red", words=f"sign number {number}")
    world.database.close()
    catalogue = world.settings.home / "medley.sqlite"
    damaged = bytearray(catalogue.read_bytes())
    middle = len(damaged) // 2 // 4096 * 4096
    damaged[middle : middle + 4096] = b"\xff" * 4096
    for beside in world.settings.home.glob("medley.sqlite-*"):
        beside.unlink()
    catalogue.write_bytes(damaged)
    database = Database.open(world.settings)
    with pytest.raises(CatalogError):
        pack(world.settings, database, tmp_path / "bad.tar")
    database.close()
    assert not (tmp_path / "bad.tar").exists()


def test_a_damaged_catalogue_is_found_by_the_audit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What SQLite says of its file is a problem, whatever the other checks find; it says nothing of a sound one."""
    assert audit(world.engine).problems == []
    monkeypatch.setattr(health, "damage", lambda _connection: ["Tree 7 page 12: btreeInitPage() returns error code 11"])
    assert any("Tree 7 page 12" in problem for problem in audit(world.engine).problems)


def test_what_killed_uploads_left_is_swept_and_what_is_arriving_is_not(settings: Settings) -> None:
    incoming = settings.home / "incoming"
    incoming.mkdir()
    for name, age in (("old", 7200.0), ("arriving", 10.0)):
        (incoming / name).write_bytes(b"x")
        os.utime(incoming / name, (1e9 - age, 1e9 - age))
    assert sweep(settings, now=1e9) == 1
    assert [path.name for path in incoming.iterdir()] == ["arriving"]
