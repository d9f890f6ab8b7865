"""Pictures of pages for everything that needs them: the spaces, the text recogniser and people.

Knows what was asked for; knows no format.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from indexer.decoding.items import Decoded, DecodeRequest, Part, PictureItem
from indexer.decoding.text_likelihood import looks_like_text
from search.signals import Signal
from search.spaces.inputs import fit

READABLE_SIDE = 2000  # of a page that is to be read: 170 dots an inch of A4
_GLANCE_SIDE = 768  # of a page that decides whether there may be text on it


class PagePictures:
    """What is sent of each page of one document."""

    def __init__(self, request: DecodeRequest) -> None:
        self._request = request
        self._sides = [wanted.side for wanted in request.image_inputs.values()]
        #: pixels of the longer side in which pages are to be drawn
        self.side = READABLE_SIDE if request.text_now else max([_GLANCE_SIDE, *(2 * side for side in self._sides)])

    def wanted(self, has_text: bool) -> bool:
        """Is a picture worth drawing, of a page whose text is known or not?"""
        if self._request.text_now:
            return not has_text
        return bool(self._sides) or (self._request.want_text and not has_text)

    def item(self, image: Image.Image, page: int, has_text: bool) -> PictureItem:
        """The picture of a page for the spaces, and, of one without a text layer, to be read now or later."""
        request = self._request
        image.thumbnail((self.side, self.side), Image.Resampling.BICUBIC, reducing_gap=2.0)
        to_read = request.want_text and not has_text and looks_like_text(np.asarray(image))
        return PictureItem(
            Signal.PAGE,
            {space: fit(image, wanted) for space, wanted in request.image_inputs.items()},
            readable=np.asarray(image) if to_read and request.text_now else None,
            unread=to_read and not request.text_now,
            page=page,
        )


def page_item(image: Image.Image, request: DecodeRequest, page: int) -> PictureItem:
    """One page for people, no side longer than they asked for."""
    image.thumbnail((request.whole_side, request.whole_side), Image.Resampling.BICUBIC, reducing_gap=2.0)
    pictures = {space: fit(image, wanted) for space, wanted in request.image_inputs.items()}
    return PictureItem(Signal.PAGE, pictures, readable=np.asarray(image), page=page)


def beyond(count: int, limit: int) -> Decoded:
    """What came of the pages of a document that has more of them than are searched."""
    return Decoded(part=Part.PAGE, count=count - limit, share=0, why=f"max_pages = {limit:,}")
