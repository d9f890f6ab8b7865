"""What scans leave out of people's folders, and that they say so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from imagecodecs import jpegxl_encode
from support.library import Library
from support.pictures import landscape

from indexer.decoding.decoder import DecoderPool
from search.catalog import assets, removals, sources
from search.catalog.database import Database
from search.settings import Settings


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    """One pool of decoders for all tests here."""
    with DecoderPool(Settings.load(environment={}), 1) as pool:
        yield pool


@pytest.fixture
def library(database: Database, settings: Settings, tmp_path: Path, pool: DecoderPool) -> Library:
    return Library(database, settings, tmp_path / "media", pool)


def put(path: Path, seed: int = 1) -> Path:
    """A picture, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    landscape(seed, 40, 30).save(path, "JPEG")
    return path


def exclude(library: Library, *patterns: str) -> None:
    with library.database.write() as connection:
        sources.add_source(connection, str(library.root), excludes="\n".join(patterns))


OTHERS = [
    ".@__thumb", "@Recycle", "#snapshot", "#recycle", ".Trash-1000", ".stversions", ".dtrash", ".picasaoriginals",
    ".zfs",
    "$Recycle.Bin", "$RECYCLE.BIN", "@eaDir", "@EADIR", "System Volume Information", "Catalog Previews.lrdata",
]  # fmt: skip


@pytest.mark.parametrize("folder", OTHERS)
def test_other_programs_folders_are_left_out_and_counted(library: Library, folder: str) -> None:
    put(library.root / "a.jpg")
    put(library.root / "2024" / folder / "b.jpg")
    report = library.scan()
    assert set(library.all()) == {b"a.jpg"}
    assert report.skipped == {f"{folder} folders": 1}


def test_files_in_a_phones_trash_are_left_out(library: Library) -> None:
    put(library.root / "a.jpg")
    put(library.root / ".trashed-1700000000-b.jpg")
    library.scan()
    assert set(library.all()) == {b"a.jpg"}


def test_what_people_exclude_goes_and_what_they_take_back_comes(library: Library) -> None:
    put(library.root / "a.jpg")
    put(library.root / "drafts" / "b.jpg")
    put(library.root / "@eaDir" / "c.jpg")
    assert library.index().indexed == 2
    exclude(library, "drafts/", "!@eaDir/")
    report = library.scan()
    assert report.skipped == {"excluded": 1}
    assert {name: record.status for name, record in library.all().items()} == {
        b"a.jpg": "indexed",
        b"b.jpg": "missing",
        b"c.jpg": "pending",
    }


def test_ignore_files_and_nomedia_are_honoured_below_their_folder(library: Library) -> None:
    for name in ("a.jpg", "x/a.jpg", "x/b.jpg", "x/y/b.jpg", "private/a.jpg"):
        put(library.root / name)
    (library.root / "x" / ".medleyignore").write_text("# not these\nb.*\n!y/b.jpg\n")
    (library.root / "private" / ".NoMedia").touch()  # in any case
    report = library.scan()
    found = {os.fsdecode(record.path_bytes).removeprefix(f"{library.root}/") for record in library.all().values()}
    assert found >= {"x/y/b.jpg"}
    assert library.counts().known == 3
    assert report.skipped == {"excluded by .medleyignore": 1, "folders with .nomedia": 1}


def test_files_that_are_no_media_are_counted_by_kind(library: Library) -> None:
    put(library.root / "a.jpg")
    for name in ("a.xlsx", "b.XLSX", "c.docx", "README"):
        (library.root / name).write_bytes(b"PK\3\4 and so on")
    assert library.scan().skipped == {"xlsx files": 2, "docx files": 1, "other files": 1}
    assert library.state().skipped == '{"docx files":1,"other files":1,"xlsx files":2}'


def test_links_out_of_the_source_are_counted_and_named(library: Library, tmp_path: Path) -> None:
    put(library.root / "a.jpg")
    (library.root / "b.jpg").symlink_to(put(tmp_path / "elsewhere.jpg"))
    report = library.scan()
    assert report.skipped == {"links out of the source": 1}
    assert report.links == (f"{library.root}/b.jpg is a link to {tmp_path}/elsewhere.jpg, which lies outside",)


def test_links_to_folders_outside_and_links_to_nothing_are_counted_and_named(library: Library, tmp_path: Path) -> None:
    put(library.root / "a.jpg")
    put(tmp_path / "elsewhere" / "b.jpg")
    put(library.root / "inside" / "c.jpg")
    (library.root / "album").symlink_to(tmp_path / "elsewhere")
    (library.root / "again").symlink_to("inside")
    (library.root / "gone.jpg").symlink_to("nothing.jpg")
    (library.root / "circle.jpg").symlink_to("circle.jpg")
    os.mkfifo(library.root / "pipe.jpg")
    report = library.scan()
    assert report.files == 2
    assert report.skipped == {"links out of the source": 1, "broken links": 2, "special files": 1}
    root = library.root
    assert report.links == (
        f"{root}/album is a link to {tmp_path}/elsewhere, which lies outside",
        f"{root}/circle.jpg is a link to {root}/circle.jpg, which is not there",
        f"{root}/gone.jpg is a link to {root}/nothing.jpg, which is not there",
    )


def test_contents_that_change_under_the_same_size_and_time_are_noticed(library: Library) -> None:
    path = put(library.root / "a.jpg")
    library.index()
    before, data = library.all()[b"a.jpg"], path.read_bytes()
    status = path.stat()
    put(path, seed=2)
    other = path.read_bytes()[: len(data)].ljust(len(data), b"\0")
    path.write_bytes(other)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert library.scan().changed == 1
    library.work()
    assert library.all()[b"a.jpg"].content_hash != before.content_hash


def test_what_was_removed_stays_removed_until_it_is_asked_for(library: Library) -> None:
    path = put(library.root / "a.jpg")
    put(library.root / "b.jpg", 2)
    library.index()
    with library.database.write() as connection:
        assets.remove_asset(connection, library.all()[b"a.jpg"].id)
    report = library.scan()
    assert set(library.all()) == {b"b.jpg"}
    assert report.skipped == {"removed from the library": 1}
    with library.database.write() as connection:
        assert removals.restore(connection, library.source.id, os.fsencode(path)) == 1
    library.index()
    assert library.all()[b"a.jpg"].status == "indexed"


@pytest.mark.parametrize("name", ["a.jpg_large", "a.jpg~", "a.MP", "a.insp", "a.whatever"])
def test_a_file_that_starts_like_media_is_taken_under_any_suffix(library: Library, name: str) -> None:
    put(library.root / name)
    (library.root / "notes.whatever").write_text("only words")
    assert library.index().indexed == 1
    assert library.state().skipped == '{"whatever files":1}'


def test_jpeg_xl_is_found_in_folders(library: Library) -> None:
    library.root.joinpath("a.jxl").write_bytes(jpegxl_encode(np.asarray(landscape(1, 64, 48)), level=90))
    assert library.index().indexed == 1
