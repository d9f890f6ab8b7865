"""PDF: pages as pictures, text layers with boxes, and what is refused, cut or left out, each with its reason."""

from __future__ import annotations

import base64
import zlib
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support import media
from support.documents import HEIGHT, LEFT, TOP, WIDTH, assembled, lines, pdf, scan, scanned_pdf

from indexer.decoding.decoder import DecoderPool
from indexer.decoding.documents.pdf import decode
from indexer.decoding.items import DecodedItem, PictureItem, TextItem, WrittenItem
from search.errors import PermanentMediaError
from search.results import Kind
from search.settings import Settings
from search.signals import Signal

WORDS = "The rent is due on the third working day of the month, and is paid by bank transfer to the landlord alone."
# `pdf([lines("secret")])`, encrypted by pypdf with the password "secret" and RC4 of 128 bits.
LOCKED = zlib.decompress(
    base64.b64decode(
        "eNqNUj1v1EAQRYhqC34C2uYCDdnvD0unK/JxAgFKdAEkFIG0tnfDRYcd2XtRQkMNoqegoiFI/AkESNChCDo66OhpEeO7y91JpsB2"
        "sfPemzez4+lsb/SvslWBOj9+fvmKGKa4TPdRt4vI7eMDj8m6i25U7iGy7fZ8jTkIBqjXQ77IGyFvJUx0iNwY5jXexaLR4/uIrJfj"
        "ImK2lCr+mdoUqjxIp5XILZ8P3Vp5BF4UXpUobCWfOhYRhDWWU+XA1+W4yqDJxrEP7PTAsDprevrN6sul+jd9sRcfYqkavo6Vd4/Q"
        "yuqlZ79OXx7+Off+wefjD6+efHxxeuH3yfmL7tuJeb775vXbp/tXPt0rv19+l600prO8mb1qXa9pCZGdcRonYQMyRNZc7SfNkmt+"
        "dOjjMHNLTeqFywI0S9Z3MYerYzG/A+MWZoglT2SiDU+A7g9H0VeY7ERX5K7KEdnCXeoVB1Y54aW3RmYiCy5LfVCMOSNcJn3G09xq"
        "lWe5yKXmRjOZMOPSkBsve4jcwV3njJWUBhAnwnibGQ0BpRzMbRIotylwCkoYZZ1kGjiIdQjBUUbt8g85qnxAFFtE5w/WSgmFA55j"
        "DOY6YYoFpmULY1y0MK5YCxNStzDoso0Js8Bi5YYjX03mvzN87KFlMihLWO/pJl4vQon17LwBm9vlaUgzyVLNLA2p91Ai8Sl3NhVS"
        "cpr0/kcCO79ZZNXxQcTmbKPr6Ko4GZxWHHU6m1t99Bc2MwiU"
    )
)


def texts(items: list[DecodedItem]) -> dict[int | None, list[str]]:
    return {item.page: [text for text, _ in item.lines] for item in items if isinstance(item, TextItem)}


def pages(items: list[DecodedItem]) -> list[PictureItem]:
    return [item for item in items if isinstance(item, PictureItem)]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_every_page_is_a_picture_and_its_text_layer_has_a_box_a_line(tmp_path: Path, settings: Settings) -> None:
    path = write(tmp_path / "a.pdf", pdf([lines("The first page", "goes on"), lines("The second page")]))
    items = list(decode(media.request(path, settings)))
    assert media.facts_of(items).kind is Kind.DOCUMENT
    assert media.facts_of(items).facts.pages == 2
    assert texts(items) == {1: ["The first page", "goes on"], 2: ["The second page"]}
    assert [(item.signal, item.page) for item in pages(items)] == [(Signal.PAGE, 1), (Signal.PAGE, 2)]
    assert pages(items)[0].pictures[1].shape == (media.SIDE, media.SIDE, 3)
    (first,) = [item for item in items if isinstance(item, TextItem) and item.page == 1]
    box = first.lines[0][1]
    assert box is not None
    assert box[0] == pytest.approx(LEFT / WIDTH, abs=0.01)
    assert box[1] < TOP / HEIGHT < box[3]


@pytest.mark.parametrize("turned", [0, 90, 180, 270])
def test_boxes_lie_where_the_words_are_seen_on_turned_and_cut_pages(
    tmp_path: Path, settings: Settings, turned: int
) -> None:
    extra = f"/Rotate {turned} /CropBox [36 400 {WIDTH} {HEIGHT}]"
    path = write(tmp_path / "a.pdf", pdf([[(LEFT, TOP, "HHHHHHHHHHHHHHHH")]], page=extra))
    (item,) = pages(list(decode(media.request(path, settings, whole_side=1000))))
    (text,) = [item for item in decode(media.request(path, settings)) if isinstance(item, TextItem)]
    box = text.lines[0][1]
    assert item.readable is not None
    assert box is not None
    dark = np.argwhere(item.readable.mean(axis=2) < 128)
    height, width = item.readable.shape[:2]
    (top, left), (bottom, right) = dark.min(axis=0), dark.max(axis=0)
    inked = (left / width, top / height, right / width, bottom / height)
    assert box == pytest.approx(inked, abs=0.02)


def test_cells_of_a_table_are_lines_and_divided_words_are_whole(tmp_path: Path, settings: Settings) -> None:
    cells = [(72, 72, "Item"), (300, 72, "Quantity"), (420, 72, "Price")]
    path = write(tmp_path / "a.pdf", pdf([cells]))
    assert texts(list(decode(media.request(path, settings)))) == {1: ["Item", "Quantity", "Price"]}
    path = write(tmp_path / "b.pdf", pdf([lines("The agree-", "ment ends in May")]))
    assert texts(list(decode(media.request(path, settings)))) == {1: ["The agreement", "ends in May"]}


def test_a_page_without_a_text_layer_waits_to_be_read_and_others_do_not(tmp_path: Path, settings: Settings) -> None:
    path = scanned_pdf(tmp_path / "scan.pdf", [scan("A lease of a flat", WORDS[:40], WORDS[40:80])])
    (page,) = pages(list(decode(media.request(path, settings))))
    assert page.unread
    assert page.readable is None
    (page,) = pages(list(decode(media.request(path, settings, text_now=True))))
    assert page.readable is not None
    assert max(page.readable.shape) > 1000
    path = write(tmp_path / "text.pdf", pdf([lines(WORDS)]))
    assert not pages(list(decode(media.request(path, settings))))[0].unread
    assert not pages(list(decode(media.request(path, settings, text_now=True))))


def test_more_pages_than_the_limit_are_left_out_and_the_note_says_which_setting(
    tmp_path: Path, settings: Settings
) -> None:
    path = write(tmp_path / "a.pdf", pdf([lines(f"page {number}") for number in range(5)]))
    few = msgspec.structs.replace(settings, max_pages=2)
    items = list(decode(media.request(path, few)))
    assert len(pages(items)) == 2
    assert media.facts_of(items).facts.pages == 5
    assert media.notes_of(items) == "3 of 5 pages left out (max_pages = 2)"


def test_more_text_than_the_limit_is_left_out_and_pages_stay_pictures(tmp_path: Path, settings: Settings) -> None:
    path = write(tmp_path / "a.pdf", pdf([lines("x" * 60)] * 3))
    few = msgspec.structs.replace(settings, max_text_bytes=100)
    items = list(decode(media.request(path, few)))
    assert list(texts(items)) == [1]
    assert len(pages(items)) == 3
    assert media.notes_of(items) == "its text was cut at page 2: max_text_bytes = 100"


def test_title_subject_and_date_are_told_and_what_programs_fill_in_is_not(tmp_path: Path, settings: Settings) -> None:
    told = "/Title (Lease) /Subject (Flat in Marlow) /CreationDate (D:20240714093000+02'00')"
    path = write(tmp_path / "a.pdf", pdf([lines("words")], info=told))
    items = list(decode(media.request(path, settings)))
    facts = media.facts_of(items).facts
    assert facts.title == "Lease"
    assert (facts.captured_at, facts.captured_offset) == (1720942200.0, 7200)
    assert [item.lines[0][2] for item in items if isinstance(item, WrittenItem)] == ["Lease. Flat in Marlow"]
    path = write(tmp_path / "b.pdf", pdf([lines("words")], info="/Title (untitled) /Subject (\\(unspecified\\))"))
    items = list(decode(media.request(path, settings)))
    assert media.facts_of(items).facts.title is None
    assert not [item for item in items if isinstance(item, WrittenItem)]


class TestHostile:
    def refusal(self, path: Path, settings: Settings) -> str:
        with DecoderPool(settings, 1) as pool, pytest.raises(PermanentMediaError) as refused:
            list(pool.decode(media.request(path, settings)))
        return str(refused.value)

    def test_a_password_is_asked_for_by_name(self, tmp_path: Path, settings: Settings) -> None:
        path = write(tmp_path / "locked.pdf", LOCKED)
        assert self.refusal(path, settings) == f"{path}: is a PDF that only opens with a password"

    @pytest.mark.parametrize(
        "data", [b"%PDF-1.7\n", b"%PDF-1.7\n" + b"\0" * 5000, b"%PDF-1.4\nnothing of the kind\n%%EOF"]
    )
    def test_what_only_begins_like_a_pdf_is_damaged(self, tmp_path: Path, settings: Settings, data: bytes) -> None:
        assert "is a PDF that is damaged" in self.refusal(write(tmp_path / "a.pdf", data), settings)

    def test_without_pages_there_is_nothing(self, tmp_path: Path, settings: Settings) -> None:
        assert "PDF" in self.refusal(write(tmp_path / "a.pdf", pdf([])), settings)

    def test_a_broken_table_of_places_is_made_anew(self, tmp_path: Path, settings: Settings) -> None:
        data = pdf([lines("still there")])
        path = write(tmp_path / "a.pdf", data[: data.index(b"xref")] + data[data.index(b"trailer") :])
        with DecoderPool(settings, 1) as pool:
            assert texts(list(pool.decode(media.request(path, settings)))) == {1: ["still there"]}

    def test_scripts_files_and_links_inside_are_not_touched(self, tmp_path: Path, settings: Settings) -> None:
        marker = tmp_path / "touched"
        acts = f"/OpenAction << /S /JavaScript /JS (app.launchURL\\('file://{marker}'\\)) >> "
        acts += f"/AA << /WC << /S /Launch /F (/usr/bin/touch {marker}) >> >>"
        path = write(tmp_path / "a.pdf", pdf([lines("harmless words")], catalog=acts))
        with DecoderPool(settings, 1) as pool:
            assert texts(list(pool.decode(media.request(path, settings)))) == {1: ["harmless words"]}
        assert not marker.exists()

    def test_a_page_of_any_size_is_drawn_in_bounded_pixels(self, tmp_path: Path, settings: Settings) -> None:
        objects = [
            "<< /Type /Catalog /Pages 2 0 R >>",
            "<< /Type /Pages /Kids [3 0 R 5 0 R] /Count 2 >>",
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100000000 100000000] >>",
            "<< >>",
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 1000000 1] >>",
        ]
        path = write(tmp_path / "a.pdf", assembled(objects))
        with DecoderPool(settings, 1) as pool:
            items = list(pool.decode(media.request(path, settings)))
        assert [item.pictures[1].shape for item in pages(items)] == [(media.SIDE, media.SIDE, 3)] * len(pages(items))
        assert len(pages(items)) + media.notes_of(items).count("damaged") == 2

    def test_a_picture_that_unpacks_to_more_than_memory_ends_the_child_alone(
        self, tmp_path: Path, settings: Settings
    ) -> None:
        small = msgspec.structs.replace(settings, decode_memory_bytes=200 * 1024**2, decode_timeout_seconds=20.0)
        picture = "<< /Type /XObject /Subtype /Image /Width 60000 /Height 60000 /ColorSpace /DeviceRGB "
        picture += "/BitsPerComponent 8 /Length 0 >>\nstream\n\nendstream"
        objects = [
            "<< /Type /Catalog /Pages 2 0 R >>",
            "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 6 0 R "
            "/Resources << /XObject << /P 5 0 R >> >> >>",
            "<< >>",
            picture,
            "<< /Length 33 >>\nstream\nq 500 0 0 500 20 20 cm /P Do Q    \nendstream",
        ]
        path = write(tmp_path / "bomb.pdf", assembled(objects))
        ordinary = write(tmp_path / "ordinary.pdf", pdf([lines("after the bomb")]))
        with DecoderPool(small, 1) as pool:
            with suppress(PermanentMediaError):  # drawn without the picture, or given up
                list(pool.decode(media.request(path, small)))
            assert texts(list(pool.decode(media.request(ordinary, small)))) == {1: ["after the bomb"]}

    def test_pages_that_contain_each_other_end(self, tmp_path: Path, settings: Settings) -> None:
        objects = [
            "<< /Type /Catalog /Pages 2 0 R >>",
            "<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 1000000 >>",
            "<< >>",
            "<< >>",
        ]
        path = write(tmp_path / "a.pdf", assembled(objects))
        short = msgspec.structs.replace(settings, max_pages=20)
        with DecoderPool(short, 1) as pool, suppress(PermanentMediaError):
            assert not pages(list(pool.decode(media.request(path, short))))

    def test_thousands_of_pages_cost_what_the_limit_allows(self, tmp_path: Path, settings: Settings) -> None:
        path = write(tmp_path / "a.pdf", pdf([lines("one of many")] * 3000))
        few = msgspec.structs.replace(settings, max_pages=10)
        with DecoderPool(few, 1) as pool:
            items = list(pool.decode(media.request(path, few)))
        assert len(pages(items)) == 10
        assert "2,990 of 3,000 pages left out (max_pages = 10)" in media.notes_of(items)
