"""Sources in stores: every kind by a real server; what changes, moves, goes away or fails there."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from PIL import Image
from support.library import Library
from support.stores import SECRET, Bucket, http_folder, s3_bucket, sftp_folder, webdav_folder

from indexer.decoding.decoder import DecoderPool, Items
from indexer.decoding.items import DecodedItem, DecodeRequest, SegmentDraft, SubtitleItem
from indexer.segmenting.segmenter import PictureMaker
from indexer.sources.places import files_of
from indexer.sources.scan import scan_paths
from indexer.sources.stores.health import forget_stores
from search.catalog import assets
from search.catalog.database import Database
from search.catalog.states import SourceState
from search.settings import Settings
from search.signals import Signal


class Words:
    """A segment for every line of subtitles."""

    def feed(self, item: DecodedItem) -> Iterable[SegmentDraft]:
        for start, end, words in item.lines if isinstance(item, SubtitleItem) else ():
            yield SegmentDraft(Signal.SPEECH, start, end, words)

    def finish(self) -> Iterable[SegmentDraft]:
        return ()


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (32, 24)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


RED, GREEN, BLUE = (picture(colour) for colour in ((200, 20, 20), (20, 200, 20), (20, 20, 200)))


@pytest.fixture
def pool(settings: Settings) -> Iterator[DecoderPool]:
    with DecoderPool(settings, size=2) as decoders:
        yield decoders


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    opened = Database.open(sqlite_url)
    yield opened
    opened.close()


@pytest.fixture
def bucket(settings: Settings) -> Iterator[Bucket]:
    with s3_bucket() as made:
        made.profile(settings.home)
        yield made


@pytest.fixture
def library(database: Database, settings: Settings, tmp_path: Path, pool: DecoderPool, bucket: Bucket) -> Library:
    return Library(database, settings, tmp_path, pool, store=f"s3://{bucket.name}/holiday")


# --- every kind of store -------------------------------------------------------------------------------------------


def zipped(folder: Path, archive: Path) -> str:
    with zipfile.ZipFile(archive, "w") as out:
        for path in sorted(folder.rglob("*")):
            out.write(path, path.relative_to(folder))
    return f"zip::{archive}"


def opened_store(kind: str, folder: Path, home: Path, stack: ExitStack) -> str:
    """The address under which this folder's files lie in a store of that kind."""
    if kind == "sftp":
        return stack.enter_context(sftp_folder(folder, home)) + "/media"
    if kind == "webdav":
        return stack.enter_context(webdav_folder(folder, home)) + "/media"
    if kind == "http":
        return stack.enter_context(http_folder(folder)) + "/media"
    if kind == "zip":
        return zipped(folder / "media", folder / "media.zip")
    bucket = stack.enter_context(s3_bucket())
    bucket.profile(home)
    root = folder if kind == "s3" else folder.parent
    if kind == "zip in s3":
        zipped(folder / "media", folder / "media.zip")
    for path in folder.rglob("*"):
        if path.is_file():
            bucket.put(path.relative_to(root if kind == "s3" else folder).as_posix(), path.read_bytes())
    return f"s3://{bucket.name}/media" if kind == "s3" else f"zip::s3://{bucket.name}/media.zip"


@pytest.mark.parametrize("kind", ["s3", "sftp", "webdav", "http", "zip", "zip in s3"])
def test_a_store_of_every_kind_is_indexed_by_the_rules_of_folders(
    kind: str, database: Database, settings: Settings, tmp_path: Path, pool: DecoderPool
) -> None:
    folder = tmp_path / "served"
    for name, contents in {
        "media/sea.png": RED,
        "media/sea.png.xmp": b"<x/>",
        "media/2024/ä ö + %20.png": GREEN,
        "media/2024/notes.sqlite": b"SQLite format 3",
        "media/@eaDir/small.png": BLUE,
        "media/private/.nomedia": b"",
        "media/private/deep/own.png": BLUE,
        "media/broken.png": b"\x89PNG\r\n\x1a\n nothing",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(contents)
    with ExitStack() as stack:
        root = opened_store(kind, folder, settings.home, stack)
        library = Library(database, settings, tmp_path, pool, store=root)
        report = library.scan()
        assert report.paused is None
        library.work()
        by_path = {record.path: record for record in library.all().values()}
        assert set(by_path) == {f"{root}/{name}" for name in ("sea.png", "2024/ä ö + %20.png", "broken.png")}
        assert report.skipped["sqlite files"] == 1
        assert report.skipped["@eaDir folders"] == 1
        assert report.skipped["folders with .nomedia"] == 1
        counts = library.counts()
        assert (counts.indexed, counts.quarantined) == (2, 1), [record.error for record in by_path.values()]
        broken = by_path[f"{root}/broken.png"].error or ""
        assert broken.startswith(f"{root}/broken.png: ")
        assert str(settings.scratch) not in broken
        assert by_path[f"{root}/sea.png"].side_car.startswith(".xmp")
        again = library.scan()
        assert (again.added, again.changed, again.missing) == (0, 0, 0), "nothing has changed"
        sea = by_path[f"{root}/sea.png"]
        with files_of(library.state(), settings).fetch(sea) as path:
            assert path.read_bytes() == RED
            assert (path.parent / "sea.png.xmp").read_bytes() == b"<x/>"
        assert not list(settings.scratch.rglob("*.png")), "copies are removed"
        opened = files_of(library.state(), settings).open(sea)
        assert b"".join(opened.pieces(8, 20)) == RED[8:20]
        everything = str(library.state()) + str(by_path) + str([record.error for record in by_path.values()])
        assert SECRET not in everything


# --- what changes --------------------------------------------------------------------------------------------------


def test_what_is_changed_moved_and_deleted_in_a_bucket_is_noticed(library: Library, bucket: Bucket) -> None:
    for name, contents in {"a.png": RED, "b.png": GREEN, "c.png": BLUE}.items():
        bucket.put(f"holiday/{name}", contents)
    library.index()
    before = library.all()
    vectors = library.vectors()
    bucket.put("holiday/a.png", picture((200, 200, 20)))
    bucket.move("holiday/b.png", "holiday/2024/moved.png")
    bucket.delete("holiday/c.png")
    report = library.scan()
    assert (report.added, report.changed, report.missing) == (1, 1, 2)
    tally = library.work()
    assert (tally.moved, tally.indexed) == (1, 1)
    after = library.all()
    assert after[b"moved.png"].id == before[b"b.png"].id, "it is the same asset elsewhere"
    moved = {segment.id for segment in library.segments(after[b"moved.png"])}
    assert moved
    assert all(library.vectors()[segment] == vectors[segment] for segment in moved), "and keeps its vectors"
    assert after[b"c.png"].status == "missing"
    assert after[b"a.png"].content_hash != before[b"a.png"].content_hash
    bucket.put("holiday/c.png", BLUE)
    library.index()
    assert library.all()[b"c.png"].id == before[b"c.png"].id, "it is back"


def test_a_moved_object_is_known_by_its_etag_and_not_read_again(library: Library, bucket: Bucket) -> None:
    bucket.put("holiday/a.png", RED)
    library.index()
    bucket.move("holiday/a.png", "holiday/b.png")
    library.scan()

    def refuse(request: DecodeRequest) -> Items:
        raise AssertionError("nothing is to be decoded")
        yield

    library.decode = refuse
    library.settings = msgspec.structs.replace(library.settings, scratch_bytes=1)  # nothing can be copied
    assert library.work().moved == 1


def test_an_object_written_again_with_the_same_contents_keeps_its_segments(library: Library, bucket: Bucket) -> None:
    bucket.put("holiday/a.png", RED)
    library.index()
    segments = library.segments(library.all()[b"a.png"])
    with library.database.write() as connection:  # as if it had been older
        record = library.all()[b"a.png"]
        file = files_of(library.state(), library.settings).now(record)[0]
        assets.sync_assets(connection, record.source_id, [msgspec.structs.replace(file, modified_ns=1)])
    library.index()
    assert [segment.id for segment in library.segments(library.all()[b"a.png"])] == [segment.id for segment in segments]


def test_words_beside_a_stored_file_are_noticed_when_they_change(library: Library, bucket: Bucket) -> None:
    bucket.put("holiday/a.png", RED)
    library.index()
    bucket.put("holiday/a.png.xmp", b"<x/>")
    assert library.scan().changed == 1
    library.work()
    assert library.counts().indexed == 1
    bucket.delete("holiday/a.png.xmp")
    assert library.scan().changed == 1


def test_words_without_a_recording_are_a_document_until_it_comes(library: Library, bucket: Bucket) -> None:
    library.makers = (PictureMaker, Words)
    bucket.put("holiday/talk.en.srt", b"1\n00:00:01,000 --> 00:00:02,000\nGood morning from the store.\n")
    bucket.put("holiday/own.vtt", b"WEBVTT\n\n00:01.000 --> 00:02.000\nBy itself.\n")
    bucket.put("holiday/film.mp4", b"no film")
    bucket.put("holiday/film.de.srt", b"1\n00:00:01,000 --> 00:00:02,000\nGuten Tag.\n")

    def known() -> dict[bytes, str]:
        return {name: str(record.status) for name, record in library.all().items()}

    library.index()
    assert known() == {b"talk.en.srt": "indexed", b"own.vtt": "indexed", b"film.mp4": "quarantined"}
    talk = library.all()[b"talk.en.srt"]
    assert (talk.kind, talk.language) == ("document", "en")
    assert [one.text for one in library.segments(talk)] == ["Good morning from the store."]
    bucket.put("holiday/talk.mp3", b"no sound")
    report = library.scan()
    assert (report.added, report.missing) == (1, 1)
    assert known()[b"talk.en.srt"] == "missing"
    bucket.delete("holiday/talk.mp3")
    # As a notice of the bucket says it: only the recording is named.
    scan_paths(library.database, library.state(), library.settings, [library.all()[b"talk.mp3"].path_bytes])
    assert known()[b"talk.en.srt"] != "missing"
    bucket.put("holiday/talk.mp3", b"no sound")
    scan_paths(library.database, library.state(), library.settings, [library.all()[b"talk.mp3"].path_bytes])
    assert known()[b"talk.en.srt"] == "missing"


# --- outages -------------------------------------------------------------------------------------------------------


def test_a_store_that_does_not_answer_loses_nothing_and_is_tried_again(
    library: Library, bucket: Bucket, settings: Settings
) -> None:
    bucket.put("holiday/a.png", RED)
    library.index()
    bucket.put("holiday/b.png", GREEN)
    library.scan()
    profile = settings.home / "stores.toml"
    text = profile.read_text()
    profile.write_text(text.replace(bucket.endpoint, "http://127.0.0.1:9"))  # nobody listens there
    forget_stores()  # as in another process
    report = library.scan()
    assert report.paused is not None
    assert report.paused.startswith("does not answer")
    assert library.state().state == SourceState.PAUSED
    assert library.counts().missing == 0
    library.work()  # ends, although a file is pending
    counts = library.counts()
    assert (counts.indexed, counts.pending, counts.quarantined) == (1, 1, 0)
    assert library.all()[b"b.png"].attempts == 0, "an outage is no failure of the file"
    profile.write_text(text)
    forget_stores()  # as in another process
    library.index()
    assert library.counts().indexed == 2
    assert library.state().state == SourceState.ACTIVE
