"""Cuts the text of documents into passages of the length that suits a sentence encoder.

Pure. Ends passages where paragraphs end: at a gap between lines, at an empty line, before a heading. Knows lines and
their boxes; knows no file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from indexer.decoding.items import DecodedItem, SegmentDraft, TextItem
from search.language.lexical import sentences
from search.results import Box
from search.signals import Signal

# The sentence encoder reads about 1,000 characters, and says most of passages of two or three sentences.
ENOUGH_CHARACTERS = 400  # from here on the end of a paragraph ends the passage
MOST_CHARACTERS = 1000
LEAST_CHARACTERS = 40
_GAP = 0.8  # heights of a line between two of them from which a paragraph ends
_HEADING = re.compile(r"#{1,6}\s|.+\n[=-]{3,}$")
_RULER = re.compile(r"[\W_]*")

PageLine = tuple[str, Box]


class DocumentSegmenter:
    """One segment for each passage of a document's text."""

    def feed(self, item: DecodedItem) -> Iterator[SegmentDraft]:
        """The passages of a TextItem; nothing of anything else."""
        if not isinstance(item, TextItem):
            return
        if item.page is None:
            yield from _numbered(item)
            return
        for passage in page_passages([(text, box) for text, box in item.lines if box is not None]):
            yield SegmentDraft(
                Signal.TEXT,
                None,
                None,
                "\n".join(text for text, _ in passage),
                details={"lines": [{"text": text, "box": box} for text, box in passage]},
                page=item.page,
            )

    def finish(self) -> Iterable[SegmentDraft]:
        """Nothing stays open."""
        return ()


def page_passages(lines: Sequence[PageLine]) -> Iterator[list[PageLine]]:
    """The lines of a page in the order given, cut."""
    waiting: list[PageLine] = []  # the last passage, which what is too little to be one may join
    passage: list[PageLine] = []
    length = 0
    for text, box in lines:
        if passage:
            ends = _ends(passage[-1][1], box)
            if length + len(text) > MOST_CHARACTERS or (ends and length >= ENOUGH_CHARACTERS):
                if waiting:
                    yield waiting
                waiting, passage, length = passage, [], 0
        passage.append((text, box))
        length += len(text) + 1
    if waiting and length < LEAST_CHARACTERS:  # the number of the page
        waiting, passage = [*waiting, *passage], []
    yield from (complete for complete in (waiting, passage) if complete)


def _ends(above: Box, below: Box) -> bool:
    height = min(above[3] - above[1], below[3] - below[1])
    return not -2 * height <= below[1] - above[3] <= _GAP * height


def _numbered(item: TextItem) -> Iterator[SegmentDraft]:
    """Passages of the lines of a text file, each with the number of its first line."""
    passage: list[str] = []
    first = length = 0
    for number, text in enumerate((text for text, _ in item.lines), start=1):
        is_empty = _RULER.fullmatch(text) is not None
        if passage and (
            length + len(text) > MOST_CHARACTERS
            or (is_empty and length >= ENOUGH_CHARACTERS)
            or (not is_empty and _HEADING.match(text))
        ):
            yield from _passage(passage, first)
            passage, length = [], 0
        if is_empty and not passage:
            continue
        if not passage:
            first = number
        passage.append(text)
        length += len(text) + 1
    if passage:
        yield from _passage(passage, first)


def _passage(lines: list[str], first: int) -> Iterator[SegmentDraft]:
    while _RULER.fullmatch(lines[-1]):
        lines = lines[:-1]
    text = "\n".join(lines)
    for piece in [text] if len(text) <= 2 * MOST_CHARACTERS else _pieces(text):  # a paragraph may be one line
        yield SegmentDraft(Signal.TEXT, None, None, piece, line=first)


def _pieces(text: str) -> Iterator[str]:
    piece = ""
    for sentence in sentences(text):
        if piece and len(piece) + len(sentence) > MOST_CHARACTERS:
            yield piece
            piece = ""
        piece = f"{piece} {sentence}" if piece else sentence
    if piece:
        yield piece
