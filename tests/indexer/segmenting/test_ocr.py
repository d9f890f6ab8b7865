"""Text seen is read from pictures that look like text, and followed from frame to frame."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from indexer.decoding.items import PictureItem, SegmentDraft
from indexer.decoding.text_likelihood import looks_like_text
from indexer.segmenting.ocr import RapidReader, SeenLine, TextSegmenter
from search.settings import Settings
from search.signals import Signal
from search.spaces.inputs import Picture


def page(*lines: str, size: tuple[int, int] = (480, 270), height: int = 32) -> Picture:
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        draw.text((20, 20 + number * 2 * height), line, font=ImageFont.load_default(height), fill=(20, 20, 60))
    return np.asarray(image)


def gradient() -> Picture:
    return np.linspace(0, 255, 480 * 270 * 3).reshape(270, 480, 3).astype(np.uint8)


class KnowsTheText:
    """A reader that reads the picture's first pixel as the number of a text."""

    def __init__(self, *texts: tuple[str, ...]) -> None:
        self.texts = texts
        self.looks = 0

    def read(self, picture: Picture) -> list[SeenLine]:
        self.looks += 1
        lines = self.texts[int(picture[0, 0, 0])]
        return [SeenLine(text, (0.1, 0.1 * n, 0.9, 0.1 * n + 0.1), 0.9) for n, text in enumerate(lines)]

    def release(self) -> None:
        pass


def frames(numbers: list[int | None]) -> list[PictureItem]:
    """A frame each second; None has nothing to read."""
    return [
        PictureItem(
            Signal.FRAME, {}, float(n), float(n + 1), None if text is None else np.full((8, 8, 3), text, np.uint8)
        )
        for n, text in enumerate(numbers)
    ]


def drafts(reader: KnowsTheText, items: list[PictureItem]) -> list[SegmentDraft]:
    segmenter = TextSegmenter(reader)
    made = [draft for item in items for draft in segmenter.feed(item)]
    return [*made, *segmenter.finish()]


@pytest.mark.models
def test_drawn_lines_are_read_exactly_with_boxes_and_confidence(settings: Settings) -> None:
    reader = RapidReader(settings)
    lines = reader.read(page("Platform 4", "Trains to Paris 9:15"))
    assert [line.text for line in lines] == ["Platform 4", "Trains to Paris 9:15"]
    assert all(line.confidence > 0.8 for line in lines)
    first, second = lines
    assert first.box[1] < first.box[3] <= second.box[1] < second.box[3], "from top to bottom"
    assert all(0 <= side <= 1 for line in lines for side in line.box)
    reader.release()


def test_pages_and_signs_look_like_text_and_smooth_pictures_do_not() -> None:
    assert looks_like_text(page("Platform 4"))
    assert looks_like_text(page("small print", height=14))
    assert looks_like_text(255 - page("white on black"))
    assert not looks_like_text(gradient())
    assert not looks_like_text(np.full((270, 480, 3), 255, np.uint8))
    assert not looks_like_text(np.zeros((2, 2, 3), np.uint8))


def test_text_that_stays_over_many_frames_is_one_segment() -> None:
    (draft,) = drafts(KnowsTheText(("Chapter one",)), frames([0] * 20))
    assert (draft.signal, draft.text) == (Signal.TEXT, "Chapter one")
    assert (draft.start_seconds, draft.end_seconds) == (0, 20)


def test_a_small_misreading_is_the_same_text() -> None:
    made = drafts(KnowsTheText(("Chapter one: the river",), ("Chapter 0ne: the river",)), frames([0, 1, 0, 1]))
    assert len(made) == 1


def test_a_logo_stays_while_titles_change() -> None:
    reader = KnowsTheText(("NEWS 24", "Storm over the coast"), ("NEWS 24", "Election results"))
    found = {
        draft.text: (draft.start_seconds, draft.end_seconds) for draft in drafts(reader, frames([0, 0, 0, 1, 1, 1]))
    }
    assert found == {"NEWS 24": (0, 6), "Storm over the coast": (0, 3), "Election results": (3, 6)}


def test_lines_of_one_page_are_one_segment() -> None:
    (draft,) = drafts(KnowsTheText(("Menu", "Soup 4", "Bread 2")), frames([0, 0]))
    assert draft.text == "Menu\nSoup 4\nBread 2"
    assert [line["text"] for line in draft.details["lines"]] == ["Menu", "Soup 4", "Bread 2"]


def test_frames_that_do_not_look_like_text_are_not_read() -> None:
    reader = KnowsTheText(("Exit",))
    made = drafts(reader, frames([None, 0, None, None, None, None]))
    assert reader.looks == 1
    assert [(d.start_seconds, d.end_seconds) for d in made] == [(1, 2)]


def test_text_in_an_image_has_no_times() -> None:
    reader = KnowsTheText(("Exit",))
    (draft,) = drafts(reader, [PictureItem(Signal.IMAGE, {}, readable=np.zeros((8, 8, 3), np.uint8))])
    assert (draft.start_seconds, draft.end_seconds) == (None, None)
