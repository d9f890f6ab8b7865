"""Scans of several pages in one TIFF: every page is seen, read and counted."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from support import media
from support.documents import scan, scanned_tiff

from indexer.decoding.child import decode
from indexer.decoding.items import PictureItem
from search.errors import PermanentMediaError
from search.results import Kind
from search.settings import Settings
from search.signals import Signal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    pages = [scan(f"Page number {number}", "The rent is paid by transfer") for number in (1, 2, 3)]
    return scanned_tiff(tmp_path / "scan.tif", pages)


def pages_of(path: Path, settings: Settings, **changes: object) -> list[PictureItem]:
    items = decode(media.request(path, settings, **changes))
    return [item for item in items if isinstance(item, PictureItem)]


def test_every_page_is_a_picture_that_waits_to_be_read(path: Path, settings: Settings) -> None:
    items = list(decode(media.request(path, settings)))
    facts = media.facts_of(items)
    assert (facts.kind, facts.facts.pages, facts.facts.perceptual_hash) == (Kind.DOCUMENT, 3, None)
    found = [item for item in items if isinstance(item, PictureItem)]
    assert [(item.signal, item.page, item.unread) for item in found] == [(Signal.PAGE, n, True) for n in (1, 2, 3)]
    assert all(page.readable is not None for page in pages_of(path, settings, text_now=True))


def test_one_page_is_drawn_for_who_asks_for_it(path: Path, settings: Settings) -> None:
    (page,) = pages_of(path, settings, whole_side=300, page=2)
    assert page.readable is not None
    assert (page.page, max(page.readable.shape)) == (2, 300)
    with pytest.raises(PermanentMediaError, match="has 3 pages, and no page 4"):
        pages_of(path, settings, whole_side=300, page=4)


def test_pages_beyond_the_limit_are_left_out_with_a_note(path: Path, settings: Settings) -> None:
    few = msgspec.structs.replace(settings, max_pages=2)
    items = list(decode(media.request(path, few)))
    assert media.notes_of(items) == "1 of 3 pages left out (max_pages = 2)"
    assert sum(isinstance(item, PictureItem) for item in items) == 2


def test_a_photo_with_its_preview_is_no_document(tmp_path: Path, settings: Settings) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (400, 600, 3), np.uint8)
    path = scanned_tiff(tmp_path / "photo.tif", [noise, noise[:100, :150]])
    items = list(decode(media.request(path, settings)))
    assert media.facts_of(items).kind is Kind.IMAGE
