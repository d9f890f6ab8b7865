"""PDF -> pictures of its pages, and their text layers with a box a line.

PDFium reads; the build in its wheel has no JavaScript and no XFA, forms are not opened, and no link, action or file
inside is followed. Runs in the killable child process; knows nothing of segments.
"""

from __future__ import annotations

import ctypes
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pypdfium2
import pypdfium2.raw as pdfium
from PIL import Image

from indexer.decoding.documents.pages import PagePictures, beyond, page_item
from indexer.decoding.items import Decoded, DecodedItem, DecodeRequest, Facts, Note, Part, Promised, TextItem
from indexer.decoding.metadata.capture_time import Moment, read_date
from indexer.decoding.metadata.companions import companions
from indexer.decoding.metadata.witness import Witness, believed, somebodys_words
from search.catalog.records import AssetFacts
from search.catalog.states import NoteKind
from search.errors import PermanentMediaError
from search.results import Box, Kind

_MAX_PAGE_CHARACTERS = 100_000  # of one page; the densest newspaper has a third of that
_CELL_GAP = 1.5  # heights of the line between two words from which they stand in different columns
_HYPHEN = "\x02"  # how PDFium writes a hyphen at which a word was divided
_SOFT_HYPHEN = "\xad"
_LEAST_LETTERS = (
    100  # of a text layer that is believed although a picture fills its page: stamps of scanners have fewer
)
_FILLS = 0.5  # share of the page from which a picture fills it
_MOST_GARBLED = 0.2  # share of characters without a meaning from which a text layer does not count
_UNITS = 1_000_000  # of a page's side, in which PDFium gives whole numbers
_DRAWING_NESTS = 3  # forms within forms that are looked through for pictures


def decode(request: DecodeRequest) -> Iterator[DecodedItem]:
    """Facts, then for each page its text layer and its picture. Raises PermanentMediaError, with the reason."""
    with closing(_opened(request.path)) as document:
        if request.whole_side:
            yield from _one_page(document, request)
            return
        yield from _facts(document, request)
        count, limit = len(document), request.limits.max_pages
        left, is_cut = request.limits.max_text_bytes, False
        pictures = PagePictures(request)
        for number in range(1, min(count, limit) + 1):
            try:
                with closing(document[number - 1]) as page:
                    lines = _text_layer(page)
                    left -= sum(len(line.encode()) + 1 for line, _ in lines)
                    is_readable = _has_text(page, lines)
                    if lines and left >= 0 and not is_cut and not request.text_now:
                        yield TextItem(lines, number)
                    if pictures.wanted(is_readable):
                        yield pictures.item(_drawn(page, pictures.side), number, is_readable)
            except pypdfium2.PdfiumError:
                yield Decoded(part=Part.PAGE, name=str(number), share=0, why="damaged")
            else:
                yield Decoded(part=Part.PAGE, name=str(number))
            if left < 0 and not is_cut:
                cut = f"its text was cut at page {number}: max_text_bytes = {request.limits.max_text_bytes:,}"
                yield Note(NoteKind.WORDS, cut)
                is_cut = True  # what follows is pictures alone
        if count > limit:
            yield beyond(count, limit)


def _opened(path: Path) -> pypdfium2.PdfDocument:
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        code = getattr(error, "err_code", None)
        if code == pdfium.FPDF_ERR_PASSWORD:
            raise PermanentMediaError("is a PDF that only opens with a password") from None
        if code == pdfium.FPDF_ERR_SECURITY:
            raise PermanentMediaError("is a PDF with a protection that can't be opened") from None
        raise PermanentMediaError("is a PDF that is damaged: it has no pages that can be found") from None
    if not len(document):
        document.close()
        raise PermanentMediaError("is a PDF without pages")
    return document


def _one_page(document: pypdfium2.PdfDocument, request: DecodeRequest) -> Iterator[DecodedItem]:
    number = request.page
    if not 1 <= number <= len(document):
        raise PermanentMediaError(f"has {len(document)} pages, and no page {number}")
    yield Facts(Kind.DOCUMENT, AssetFacts(pages=len(document)), Promised({Part.PAGE: len(document)}))
    try:
        with closing(document[number - 1]) as page:
            yield page_item(_drawn(page, request.whole_side), request, number)
    except pypdfium2.PdfiumError:
        raise PermanentMediaError(f"its page {number} is damaged") from None


def _facts(document: pypdfium2.PdfDocument, request: DecodeRequest) -> Iterator[DecodedItem]:
    before, after, left_out = companions(request.path)
    words = believed((*before, _told(document, request.path.stem), *after))
    count = len(document)
    width, height = _size(document)
    facts = AssetFacts(width=width, height=height, pages=count, **words.facts())
    yield Facts(Kind.DOCUMENT, facts, Promised({Part.PAGE: count}))
    if files := document.count_attachments():
        were = "file that is" if files == 1 else "files that are"
        yield Note(NoteKind.BESIDE, f"{files} {were} attached inside were left out")
    yield from (Note(NoteKind.BESIDE, text) for text in left_out)
    if (written := words.written()) and not request.text_now:
        yield written


def _told(document: pypdfium2.PdfDocument, name: str) -> Witness:
    told = {key: value for key, value in document.get_metadata_dict().items() if value != name}  # programs repeat it
    subject, title = somebodys_words(told.get("Subject")), somebodys_words(told.get("Title"))
    keywords = somebodys_words(told.get("Keywords"))
    return Witness(
        taken=_date(told.get("CreationDate") or ""),
        title=title,
        caption=subject,
        keywords=(keywords,) if keywords else (),
    )


def _date(text: str) -> Moment | None:
    """`D:20250208122313+01'00'` as ISO would have it."""
    return read_date(text.removeprefix("D:").rstrip("'").replace("'", ":"))


def _size(document: pypdfium2.PdfDocument) -> tuple[int | None, int | None]:
    """Of the first page, in points of 1/72 inch: its shape."""
    try:
        width, height = document.get_page_size(0)
    except pypdfium2.PdfiumError:
        return None, None
    return max(1, round(width)), max(1, round(height))


def _drawn(page: pypdfium2.PdfPage, side: int) -> Image.Image:
    """The page on white, its longer side `side` pixels, whatever size it says it has."""
    width, height = page.get_size()
    longest = max(width, height)
    if not 0 < longest < float("inf"):
        raise pypdfium2.PdfiumError("the page has no size")
    # A strip a thousand times as long as it is wide still gets a pixel of width.
    bitmap = page.render(scale=side / longest, rev_byteorder=True, may_draw_forms=False, prefer_bgrx=False)
    with closing(bitmap):
        image: Image.Image = bitmap.to_pil()
        return image.convert("RGB")


def _text_layer(page: pypdfium2.PdfPage) -> list[tuple[str, Box]]:
    """Its lines in the order of the file; cells of a table row are lines of their own."""
    with closing(page.get_textpage()) as text:
        count = min(text.count_chars(), _MAX_PAGE_CHARACTERS)
        codes = [pdfium.FPDFText_GetUnicode(text.raw, index) for index in range(count)]
        runs = _runs(codes, [_box(text.raw, index) for index in range(count)])
    lines = [(words, _fractions(page, box)) for words, box in _undivided(runs)]
    return [(words, box) for words, box in lines if any(map(str.isalnum, words))]


Edges = tuple[float, float, float, float]  # left, bottom, right, top in the page's own units


def _box(text: pdfium.FPDF_TEXTPAGE, index: int) -> Edges:
    """Of a character with its ascent and descent, so that all letters of a line are equally high."""
    loose = pdfium.FS_RECTF()
    if pdfium.FPDFText_GetLooseCharBox(text, index, loose) and loose.right > loose.left and loose.top != loose.bottom:
        return loose.left, min(loose.bottom, loose.top), loose.right, max(loose.bottom, loose.top)
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    pdfium.FPDFText_GetCharBox(text, index, left, right, bottom, top)
    return left.value, bottom.value, right.value, top.value


def _runs(codes: list[int], boxes: list[Edges]) -> Iterator[tuple[str, Edges]]:
    """Characters that stand beside each other in one line."""
    letters: list[int] = []
    around: Edges | None = None
    for code, box in zip(codes, boxes, strict=True):
        if code in (0, 10, 13):
            if around:
                yield _text(letters), around
            letters, around = [], None
            continue
        if code > 32 and around is not None and _is_elsewhere(around, box):
            yield _text(letters), around
            letters, around = [], None
        letters.append(code)
        if code > 32:
            around = box if around is None else _around(around, box)
    if around:
        yield _text(letters), around


def _is_elsewhere(line: Edges, box: Edges) -> bool:
    """Does a character not go on in this line: a column away, back, or on another height? Only for upright writing."""
    height = max(line[3] - line[1], 1e-6)
    if box[2] - box[0] <= 0 or height > 4 * (box[3] - box[1]):
        return False  # written upwards: PDFium's own ends of lines must do
    apart = box[0] - line[2] > _CELL_GAP * height
    back = line[2] - box[0] > 2 * height + (line[2] - line[0])
    return apart or back or min(line[3], box[3]) - max(line[1], box[1]) < 0


def _around(first: Edges, second: Edges) -> Edges:
    return min(first[0], second[0]), min(first[1], second[1]), max(first[2], second[2]), max(first[3], second[3])


def _text(codes: list[int]) -> str:
    """Code points, or halves of them, as text without control characters other than the hyphen of a divided word."""
    text = "".join(map(chr, codes)).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = unicodedata.normalize("NFKC", text) if any("\ufb00" <= c <= "\ufb06" for c in text) else text  # ligatures
    return " ".join("".join(c if c == _HYPHEN or c.isprintable() else " " for c in text).split())


def _undivided(runs: Iterator[tuple[str, Edges]]) -> Iterator[tuple[str, Edges]]:
    """Words that a line's end divides stand whole in the first of the two lines."""
    start = ""
    held: tuple[str, Edges] | None = None
    for words, box in runs:
        if held is not None:
            rest, _, words = words.partition(" ")
            yield start + rest, held[1]
            held = None
        if words.endswith((_HYPHEN, _SOFT_HYPHEN)):
            start, held = words[:-1], (words, box)
        elif words:
            yield words.replace(_HYPHEN, "-"), box
    if held is not None:
        yield start + "-", held[1]


def _fractions(page: pypdfium2.PdfPage, edges: Edges) -> Box:
    """From the page's own units, which it may turn and cut, to parts of its picture."""
    corners = [_on_picture(page, edges[0], edges[1]), _on_picture(page, edges[2], edges[3])]
    (left, top), (right, bottom) = np.min(corners, axis=0), np.max(corners, axis=0)
    return round(float(left), 4), round(float(top), 4), round(float(right), 4), round(float(bottom), 4)


def _on_picture(page: pypdfium2.PdfPage, x: float, y: float) -> tuple[float, float]:
    across, down = ctypes.c_int(), ctypes.c_int()
    pdfium.FPDF_PageToDevice(page.raw, 0, 0, _UNITS, _UNITS, 0, x, y, across, down)
    return tuple(min(1.0, max(0.0, distance.value / _UNITS)) for distance in (across, down))  # type: ignore[return-value]


def _has_text(page: pypdfium2.PdfPage, lines: list[tuple[str, Box]]) -> bool:
    """Is the text layer what is written on the page? Not of a scan with a stamp, nor where letters mean nothing."""
    text = "".join(words for words, _ in lines)
    letters = sum(map(str.isalnum, text))
    garbled = sum(c == "\ufffd" or unicodedata.category(c) in ("Co", "Cn") for c in text)
    if not letters or garbled > _MOST_GARBLED * len(text):
        return False
    return letters >= _LEAST_LETTERS or not _is_filled(page)


def _is_filled(page: pypdfium2.PdfPage) -> bool:
    """Does one picture fill most of the page, as in a scan?"""
    width, height = page.get_size()
    for drawn in page.get_objects([pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=_DRAWING_NESTS):
        left, bottom, right, top = drawn.get_bounds()
        if (right - left) * (top - bottom) >= _FILLS * width * height:
            return True
    return False
