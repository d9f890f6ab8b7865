"""Scans of several pages in one TIFF -> a picture of each page.

Knows Pillow's pages; which of them are a document's is said by who opened it. Runs in the killable child process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from PIL import Image

from indexer.decoding.documents.pages import PagePictures, beyond, page_item
from indexer.decoding.image_opening import check_size, opened_image
from indexer.decoding.items import Decoded, DecodedItem, DecodeRequest, Facts, Note, Part, Promised
from indexer.decoding.metadata.companions import companions
from indexer.decoding.metadata.witness import Witness, believed
from indexer.decoding.pixels import upright
from search.catalog.records import AssetFacts
from search.catalog.states import NoteKind
from search.errors import PermanentMediaError
from search.results import Kind


def decode(request: DecodeRequest, numbers: Sequence[int], told: Witness) -> Iterator[DecodedItem]:
    """Facts, then the pages. `numbers`: where in the file they are, from 0; `told`: what the file says of itself.

    Raises PermanentMediaError when none of them can be decoded, or one is asked for that is not there.
    """
    limit = request.limits.max_pages
    with opened_image(request.path, request.limits) as opened:
        image = opened.image
        if request.whole_side:
            if not 1 <= request.page <= len(numbers):
                raise PermanentMediaError(f"has {len(numbers)} pages, and no page {request.page}")
            yield Facts(Kind.DOCUMENT, AssetFacts(pages=len(numbers)), Promised({Part.PAGE: len(numbers)}))
            yield page_item(_page(image, numbers[request.page - 1], request), request, request.page)
            return
        yield from _facts(request, image.size, len(numbers), told)
        pictures = PagePictures(request)
        damaged: list[int] = []
        for page, number in enumerate(numbers[:limit], start=1):
            try:
                item = pictures.item(_page(image, number, request), page, has_text=False)
            except (OSError, ValueError, SyntaxError, EOFError):
                damaged.append(page)
                yield Decoded(part=Part.PAGE, name=str(page), share=0, why="damaged")
            else:
                yield item
                yield Decoded(part=Part.PAGE, name=str(page))
        if len(damaged) == len(numbers[:limit]):
            raise PermanentMediaError("none of its pages can be decoded")
        if len(numbers) > limit:
            yield beyond(len(numbers), limit)


def _facts(request: DecodeRequest, size: tuple[int, int], count: int, told: Witness) -> Iterator[DecodedItem]:
    before, after, left_out = companions(request.path)
    words = believed((*before, told, *after))
    facts = AssetFacts(width=size[0], height=size[1], pages=count, **words.facts())
    yield Facts(Kind.DOCUMENT, facts, Promised({Part.PAGE: count}))
    yield from (Note(NoteKind.BESIDE, text) for text in left_out)
    if (written := words.written()) and not request.text_now:
        yield written


def _page(image: Image.Image, number: int, request: DecodeRequest) -> Image.Image:
    image.seek(number)
    check_size(*image.size, request.limits)
    image.load()
    return upright(image)
