"""A backup restored on an empty machine gives the same answers."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from service_world import World

from api.archive import pack, unpack
from search.catalog.database import Database
from search.errors import CatalogError
from search.query import parse_query
from search.results import SearchResult
from search.settings import Settings


def shown(result: SearchResult) -> list[tuple]:
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
    with pytest.raises(CatalogError, match="no part of a backup"):
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
    with pytest.raises(CatalogError, match="no plain file"):
        unpack(settings, database, file)
    database.close()
