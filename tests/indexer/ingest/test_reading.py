"""Text in images is read on a second visit, when everything else is searchable."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from PIL import Image, ImageDraw, ImageFont
from support.catalog_world import add_library, add_space, claims_held, found, new_segment, result
from support.library import Library

from indexer.decoding.decoder import DecoderPool
from indexer.decoding.items import DecodedItem, PictureItem, SegmentDraft
from indexer.ingest.worker import Progress
from search.catalog import assets, embeddings, queue, segments
from search.catalog.database import Database
from search.catalog.records import AssetRecord, ReadAsset
from search.settings import Settings
from search.signals import Signal


def page(path: Path) -> Path:
    """A picture that looks like text."""
    image = Image.new("RGB", (800, 600), "white")
    draw = ImageDraw.Draw(image)
    for line in range(10):
        draw.text((40, 20 + 55 * line), "The quick brown fox jumps over it", "black", ImageFont.load_default(32))
    image.save(path)
    return path


class Reader:
    """Reads the same words in every picture, unless it is told to fail."""

    def __init__(self, fail: Callable[[], None] = lambda: None) -> None:
        self.fail = fail

    def feed(self, item: DecodedItem) -> Iterator[SegmentDraft]:
        if isinstance(item, PictureItem) and item.readable is not None:
            self.fail()
            yield SegmentDraft(Signal.TEXT, None, None, "the quick brown fox")

    def finish(self) -> tuple[()]:
        return ()


@pytest.fixture
def library(database: Database, settings: Settings, tmp_path: Path) -> Iterator[Library]:
    with DecoderPool(settings, size=2) as pool:
        library = Library(database, settings, tmp_path / "media", pool)
        library.reading = (Reader,)
        yield library


class TestQueue:
    """The catalogue's part of it."""

    def visit(self, database: Database, *unread: bool) -> list[int]:
        """Index as many assets for the first time; some may hold text."""
        add_library(database, [f"{number}.jpg" for number in range(len(unread))])
        space = add_space(database)
        with database.write() as connection:
            claimed = queue.claim(connection, "first", 100, 60, now=100.0)
            done = [
                msgspec.structs.replace(result(asset.id, [space.id]), unread=flag)
                for asset, flag in zip(claimed, unread, strict=True)
            ]
            queue.finish(connection, claims_held(connection, "first"), done, now=100.0)
        return [asset.id for asset in claimed]

    def claim(self, database: Database, owner: str, now: float) -> list[AssetRecord]:
        with database.write() as connection:
            return queue.claim(connection, owner, 100, 60, now=now)

    def test_unread_assets_are_searchable_and_come_last(self, database: Database) -> None:
        ids = self.visit(database, True, False, True)
        with database.read() as connection:
            counts = assets.counts(connection)
            source_id = assets.get_asset(connection, ids[0]).source_id
        assert (counts.indexed, counts.unread, counts.pending) == (3, 2, 0)
        with database.write() as connection:
            assets.sync_assets(connection, source_id, [found("new.jpg")], now=100.0)
            claimed = queue.claim(connection, "two", 2, 60, now=101.0)
        assert [(asset.path, asset.only_reading) for asset in claimed] == [
            ("/media/new.jpg", False),
            ("/media/0.jpg", True),
        ]
        with database.read() as connection:
            assert assets.counts(connection).indexed == 3  # searchable while somebody reads it

    def test_what_is_read_is_added_to_what_there_is(self, database: Database) -> None:
        (asset_id,) = self.visit(database, True)
        (claimed,) = self.claim(database, "two", 101.0)
        with database.read() as connection:
            before = segments.segments_of(connection, asset_id)
        words = new_segment("text", "platform nine", {1: 5})
        with database.write() as connection:
            assert queue.finish_reading(
                connection, claims_held(connection, "two"), [ReadAsset(asset_id=claimed.id, segments=[words])]
            )
        with database.read() as connection:
            after = segments.segments_of(connection, asset_id)
            assert [one.id for one in after[:-1]] == [one.id for one in before]
            assert after[-1].text == "platform nine"
            assert len(embeddings.embeddings_after(connection, 1, "text", 0, 10)[0]) == 1
            assert assets.counts(connection).unread == 0
        assert self.claim(database, "three", 500.0) == []

    def test_a_lease_that_ran_out_is_taken_over_and_its_old_owner_writes_nothing(self, database: Database) -> None:
        self.visit(database, True)
        (claimed,) = self.claim(database, "two", 101.0)
        assert self.claim(database, "three", 150.0) == []
        (again,) = self.claim(database, "three", 170.0)
        assert (again.id, again.only_reading, again.takeovers) == (claimed.id, True, 1)
        with database.write() as connection:
            late = ReadAsset(asset_id=claimed.id, segments=[new_segment("text", "late")])
            assert queue.finish_reading(connection, queue.claims_of([claimed]), [late]) == set()

    def test_handing_back_leaves_it_searchable(self, database: Database) -> None:
        (asset_id,) = self.visit(database, True)
        self.claim(database, "two", 101.0)
        with database.write() as connection:
            queue.release(connection, claims_held(connection, "two"))
            record = assets.get_asset(connection, asset_id)
        assert (record.status, record.unread, record.attempts, record.lease_owner) == ("indexed", True, 0, None)

    def test_a_file_that_changes_while_it_is_read_is_indexed_anew(self, database: Database) -> None:
        (asset_id,) = self.visit(database, True)
        (claimed,) = self.claim(database, "two", 101.0)
        with database.write() as connection:
            assets.sync_assets(connection, claimed.source_id, [found("0.jpg", size=11)], now=102.0)
            assert (
                queue.finish_reading(
                    connection, queue.claims_of([claimed]), [ReadAsset(asset_id=asset_id, segments=[])]
                )
                == set()
            )
        (again,) = self.claim(database, "three", 103.0)
        assert not again.only_reading

    def test_a_paused_source_is_not_read(self, database: Database) -> None:
        (asset_id,) = self.visit(database, True)
        with database.write() as connection:
            source_id = assets.get_asset(connection, asset_id).source_id
            assert queue.hold_source(connection, source_id) == 1
        assert self.claim(database, "two", 101.0) == []
        with database.write() as connection:
            assert queue.free_source(connection, source_id) == 1
        assert len(self.claim(database, "two", 101.0)) == 1


class TestVisits:
    """A worker that goes through a library."""

    def test_nothing_is_read_before_every_file_is_begun(self, library: Library) -> None:
        page(library.root / "page.png")
        for number in range(3):
            Image.new("RGB", (300, 200), (80 * number, 40, 90)).save(library.root / f"{number}.png")
        states: list[tuple[int, int, int]] = []

        def look() -> None:
            counts = library.counts()
            # The last files may still be in the pipeline: readers don't wait for a long film either.
            states.append((counts.pending, counts.working + counts.indexed, counts.unread))

        library.reading = (lambda: Reader(look),)
        tally = library.index()
        assert states == [(0, 4, 1)]
        assert (tally.indexed, tally.read, tally.segments) == (4, 1, 5)
        record = library.all()[b"page.png"]
        assert (record.status, record.unread, record.attempts) == ("indexed", False, 0)
        assert [(segment.signal, segment.text) for segment in library.segments(record)] == [
            ("image", None),
            ("text", "the quick brown fox"),
        ]
        assert library.index().read == 0

    def test_a_reader_that_fails_costs_the_text_and_not_the_picture(self, library: Library) -> None:
        page(library.root / "page.png")

        def fail() -> None:
            raise ValueError("no such model")

        library.reading = (lambda: Reader(fail),)
        tally = library.index()
        record = library.all()[b"page.png"]
        assert (tally.indexed, tally.read, tally.quarantined) == (1, 0, 0)
        assert (record.status, record.unread) == ("indexed", False)
        assert record.note is not None
        assert "text in it could not be read" in record.note
        assert "no such model" in record.note
        assert [segment.signal for segment in library.segments(record)] == ["image"]

    def test_a_copy_of_an_unread_file_is_read_too(self, library: Library) -> None:
        original = page(library.root / "page.png")
        (library.root / "copy.png").write_bytes(original.read_bytes())
        assert library.index().read == 2
        for record in library.all().values():
            assert [segment.signal for segment in library.segments(record)] == ["image", "text"]

    def test_a_worker_that_is_stopped_leaves_the_rest_for_the_next(self, library: Library) -> None:
        page(library.root / "page.png")
        library.scan()
        stop = threading.Event()

        def listen(progress: Progress) -> None:
            if progress.counts.unread:
                stop.set()

        def wait() -> None:
            stop.wait(20)

        library.reading = (lambda: Reader(wait),)
        library.worker().run(stop, until_idle=True, listener=listen)
        library.reading = (Reader,)
        library.work()
        record = library.all()[b"page.png"]
        assert [segment.signal for segment in library.segments(record)] == ["image", "text"]
        assert library.counts().unread == 0
