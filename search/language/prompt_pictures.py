"""Pictures of the best sources for a language model that sees: which ones, how many, how large.

Knows hits and where pictures come from; knows no model and no prompt.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from msgspec import Struct
from PIL import Image as Pillow

from search.errors import MedleyError
from search.language.llm import Image
from search.language.looking import PictureFiles
from search.results import Hit, Kind, Moment
from search.signals import Sense

MAX_PICTURES = 4  # of one question
MAX_FRAMES = 2  # of one video, and pages of one document
SIDE = 768  # pixels of the longer side: models cut larger ones down themselves, or bill them
_QUALITY = 85  # of JPEG, which every server reads; Ollama reads no WebP
_log = logging.getLogger(__name__)


class PromptPicture(Struct, frozen=True):
    """A picture, and the moment that it shows."""

    hit: Hit
    moment: Moment
    image: Image

    @property
    def name(self) -> str:
        """The file's name, for people."""
        return PurePosixPath(self.hit.asset.path).name


class PromptPictures:
    """Thread-safe."""

    def __init__(self, files: PictureFiles) -> None:
        self._files = files

    def of(self, hits: Sequence[Hit]) -> list[PromptPicture]:
        """At most MAX_PICTURES, of images, and of videos and documents where they match; the rest is left out."""
        pictures: list[PromptPicture] = []
        for hit, moment in _moments(hits):
            if len(pictures) == MAX_PICTURES:
                break
            if (image := self._image(hit, moment)) is not None:
                pictures.append(PromptPicture(hit, moment, image))
        return pictures

    def _image(self, hit: Hit, moment: Moment) -> Image | None:
        try:
            data = self._files(int(hit.asset.id), moment.start_seconds, SIDE, moment.page)
        except MedleyError as error:
            _log.info("%s is not shown to the language model: %s", hit.asset.path, error)
            return None
        picture = Pillow.open(io.BytesIO(data)).convert("RGB")
        picture.thumbnail((SIDE, SIDE))
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=_QUALITY)
        return Image(out.getvalue(), "image/jpeg")


def _moments(hits: Sequence[Hit]) -> Iterator[tuple[Hit, Moment]]:
    for hit in hits:
        if not hit.moments or hit.asset.kind is Kind.AUDIO:
            continue
        if hit.asset.kind is Kind.IMAGE:
            yield hit, hit.moments[0]
            continue
        # What is seen or read stands in a frame; while somebody speaks the picture may show anything.
        seen = [moment for moment in hit.moments if moment.signal.sense is Sense.SEEN] or list(hit.moments)
        yield from ((hit, moment) for moment in seen[:MAX_FRAMES])
