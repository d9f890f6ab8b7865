"""One file is one asset, whatever the sources are that hold it, and in whichever order they came."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from indexer.sources.overlaps import Added, add, merge_overlapping
from indexer.sources.scan import scan_paths, scan_source
from search.catalog import assets, sources
from search.catalog.database import Database
from search.catalog.records import AssetRecord, SourceRecord
from search.settings import Settings


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of three photos, two of them in a folder below, with a link to that folder beside it."""
    root = tmp_path / "photos"
    for name in ("a.jpg", "trip/b.jpg", "trip/day/c.jpg"):
        touch(root / name)
    (tmp_path / "link").symlink_to(root / "trip")
    return root


class Sources:
    """Adds and scans, as the command line does."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings

    def add(self, path: Path, recursive: bool | None = None) -> Added:
        added = add(self.database, self.settings, str(path), recursive)
        if added.inside:
            scan_paths(self.database, added.source, self.settings, [os.fsencode(added.inside)])
        else:
            scan_source(self.database, added.source, self.settings)
        return added

    def known(self) -> list[AssetRecord]:
        with self.database.read() as connection:
            return assets.list_assets(connection)

    def all(self) -> list[SourceRecord]:
        with self.database.read() as connection:
            return sources.list_sources(connection)


@pytest.fixture
def library(database: Database, settings: Settings) -> Sources:
    return Sources(database, settings)


@pytest.mark.parametrize("second", ["trip", "trip/day", "../link", "trip/b.jpg", "../link/day/c.jpg", "."])
def test_what_a_source_holds_already_is_not_added_again(library: Sources, root: Path, second: str) -> None:
    outer = library.add(root).source
    added = library.add(root / second)
    assert added.source.id == outer.id
    assert len(library.known()) == 3
    assert len(library.all()) == 1


@pytest.mark.parametrize("first", ["trip", "trip/day", "../link", "trip/b.jpg", "../link/day/c.jpg"])
def test_a_wider_source_takes_over_what_lies_in_it_with_its_ids(library: Sources, root: Path, first: str) -> None:
    library.add(root / first)
    before = {os.path.realpath(record.path_bytes): record.id for record in library.known()}
    added = library.add(root)
    after = {os.path.realpath(record.path_bytes): record.id for record in library.known()}
    assert len(added.merged) == 1
    assert len(library.known()) == len(after) == 3
    assert before.items() <= after.items()
    assert all(record.path.startswith(str(root)) for record in library.known())


def test_a_flat_source_and_a_folder_below_it_share_nothing(library: Sources, root: Path) -> None:
    library.add(root, recursive=False)
    library.add(root / "trip")
    assert len(library.all()) == 2
    assert len(library.known()) == 3
    added = library.add(root, recursive=True)
    assert [source.root for source in added.merged] == [str(root / "trip")]
    assert len(library.known()) == 3


def test_adding_again_keeps_what_the_source_was(library: Sources, root: Path) -> None:
    library.add(root, recursive=False)
    assert library.add(root).source.recursive is False
    assert len(library.known()) == 1
    assert library.add(root, recursive=True).source.recursive is True
    assert library.add(root).source.recursive is True


def test_a_folder_that_the_walk_stays_out_of_is_a_source_of_its_own(library: Sources, root: Path) -> None:
    touch(root / ".cache" / "kept.jpg")
    library.add(root)
    added = library.add(root / ".cache")
    assert added.inside is None
    assert len(library.all()) == 2
    assert len(library.known()) == 4


def test_uploads_stay_by_themselves_below_a_source_that_holds_the_home_folder(
    library: Sources, settings: Settings
) -> None:
    touch(settings.uploads / "ab" / "upload.jpg")
    library.add(settings.uploads)
    library.add(settings.home.parent)
    assert len(library.all()) == 2


def test_sources_that_overlap_already_are_merged(library: Sources, root: Path, database: Database) -> None:
    with database.write() as connection:
        made = [sources.add_source(connection, str(path)) for path in (root / "trip", root, root.parent / "link")]
    for source in made:
        scan_source(database, source, library.settings)
    assert len(library.known()) == 7
    first = {record.path: record.id for record in library.known() if record.source_id == made[0].id}
    assert {source.id for source in merge_overlapping(database, library.settings)} == {made[0].id, made[2].id}
    kept = {record.path: record.id for record in library.known()}
    assert len(kept) == len(library.known()) == 3
    assert first.items() <= kept.items(), "the older asset stays"
    assert merge_overlapping(database, library.settings) == ()


def test_a_link_to_a_file_of_the_same_source_is_no_second_file(library: Sources, root: Path) -> None:
    (root / "again.jpg").symlink_to("trip/b.jpg")
    touch(root / ".cache" / "hidden.jpg")
    (root / "only-way.jpg").symlink_to(".cache/hidden.jpg")
    library.add(root)
    assert sorted(Path(record.path).name for record in library.known()) == ["a.jpg", "b.jpg", "c.jpg", "only-way.jpg"]
