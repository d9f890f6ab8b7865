"""A document whose page takes too long, or too much memory, is searched up to that page, and says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from support.documents import lines, pdf, pdf_with_bomb
from support.library import Library

from indexer.decoding.completeness import Completeness
from indexer.decoding.decoder import DecoderPool, Items, limits_of
from indexer.decoding.items import Decoded, DecodeRequest, Part
from search.catalog.database import Database
from search.catalog.records import AssetRecord
from search.catalog.states import AssetStatus
from search.errors import MachineError, PermanentMediaError
from search.settings import Settings

SILENT = "its decoder was silent for more than decode_timeout_seconds = 120"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, decode_memory_bytes=200 * 1024**2)


@pytest.fixture
def library(settings: Settings, sqlite_url: str, tmp_path: Path) -> Iterator[Library]:
    database = Database.open(sqlite_url)
    with DecoderPool(settings, size=1) as pool:
        yield Library(database, settings, tmp_path / "media", pool)
    database.close()


def ends_after(library: Library, pages: int, error: type[Exception]) -> None:
    """From now on a real decoder gives so many pages of a document, and then there is an error instead of the next."""
    whole = library.decode

    def decode(request: DecodeRequest) -> Items:
        left = pages
        with closing(whole(request)) as items:
            for item in items:
                if isinstance(item, Decoded) and item.part is Part.PAGE:
                    left -= 1
                if left < 0:
                    raise error(f"{request.path}: {SILENT}")
                yield item

    library.decode = decode


def index(library: Library, data: bytes) -> AssetRecord:
    (library.root / "a.pdf").write_bytes(data)
    library.index()
    return library.all()[b"a.pdf"]


def pages_of(library: Library, asset: AssetRecord) -> list[int | None]:
    return sorted({segment.page for segment in library.segments(asset)}, key=lambda page: page or 0)


def test_pages_before_one_that_takes_too_long_are_searched_and_a_note_says_so(library: Library) -> None:
    ends_after(library, 3, PermanentMediaError)
    asset = index(library, pdf([lines(f"page {number}") for number in range(1, 7)]))
    assert asset.status == AssetStatus.INDEXED
    assert {1, 2, 3} <= set(pages_of(library, asset))
    assert asset.note == f"3 of 6 pages left out (at page 4: {SILENT})"


def test_a_page_that_takes_all_memory_ends_the_document_there(library: Library) -> None:
    asset = index(library, pdf_with_bomb(before=2, after=3))
    assert asset.status == AssetStatus.INDEXED, asset.error
    assert pages_of(library, asset) == [1, 2]
    assert asset.note is not None
    assert asset.note.startswith("4 of 6 pages left out (at page 3: ")
    assert "decode_memory_bytes" in asset.note


def test_a_first_page_that_takes_too_long_leaves_nothing_to_search(library: Library) -> None:
    ends_after(library, 0, PermanentMediaError)
    asset = index(library, pdf([lines("page 1"), lines("page 2")]))
    assert asset.status == AssetStatus.QUARANTINED
    assert SILENT in str(asset.error)


def test_what_the_machine_lacks_is_no_end_of_a_document(library: Library, settings: Settings, tmp_path: Path) -> None:
    """It is read again later, whole."""
    (tmp_path / "a.pdf").write_bytes(pdf([lines("page 1"), lines("page 2")]))
    ends_after(library, 1, MachineError)
    request = DecodeRequest(tmp_path / "a.pdf", limits_of(settings), {})
    with closing(library.decode(request)) as items, pytest.raises(MachineError):
        list(Completeness(request).watch(items))
