"""Questions that the picture itself answers: colours, what somebody does, whether something is in it.

The vision model is small and sees 260 pixels: what it says is an impression, and only said when it is sure enough.
Knows questions, hits and the vision model; where pictures come from is the caller's affair.
"""

from __future__ import annotations

import io
import logging
import math
import re
from collections.abc import Sequence
from typing import Protocol

from PIL import Image

from search.errors import MedleyError
from search.multimodal.vision import Vision
from search.results import Hit
from search.signals import Sense
from search.spaces.inputs import fit

MAX_LOOKED_AT = 2  # pictures of one question: each costs a second of a shared core
LEAST_SURE = 0.35  # mean probability of an answer's words, below which nothing is said
_SIDE = 512  # of the thumbnails, which are mostly there already
_LOOKS = re.compile(
    r"\bwh(?:at|ich) colou?rs?\b"
    r"|\bwhat\b.+\b(?:doing|wearing|holding|carrying|riding|eating|playing|watching)\b"
    r"|\bhow many (?:dogs|men|women|boys|girls|children|people|kids|horses|birds|players)\b.*\b(?:picture|photo)\b"
    r"|\b(?:is|are) there\b.*\bin (?:the|this|that|my) (?:picture|photo|image)\b"
    r"|\bwhere (?:is|are) (?:he|she|they|the \w+)\b",
    re.IGNORECASE,
)
_NOTHING = frozenset({"", "not visible"})
_log = logging.getLogger(__name__)


class PictureFiles(Protocol):
    """Where pictures of assets come from."""

    def __call__(self, asset_id: int, seconds: float | None, side: int, page: int | None = None) -> bytes:
        """An encoded picture of an asset (a video at a time, a page of a document), at most `side` pixels long.

        Raises MedleyError.
        """


class Looker:
    """Asks the vision model about the pictures of hits. Thread-safe."""

    def __init__(self, vision: Vision, files: PictureFiles) -> None:
        self._vision = vision
        self._files = files

    def impressions(self, question: str, hits: Sequence[Hit]) -> list[str]:
        """What the picture of each hit seems to say to the question; "" where it says nothing."""
        said = [""] * len(hits)
        if not asks_to_look(question):
            return said
        if not self._vision.ready:
            # A server is converting the model right now: the caller gets the pictures that match instead of a time-out.
            _log.info("no picture is looked at: the language model is still being prepared")
            return said
        pictured = [i for i, hit in enumerate(hits) if hit.moments and hit.moments[0].signal.sense is Sense.SEEN]
        loaded = {i: picture for i in pictured[:MAX_LOOKED_AT] if (picture := self._picture(hits[i])) is not None}
        if not loaded:
            return said
        wanted = self._vision.image_input
        answers = self._vision.answers(question, [fit(picture, wanted) for picture in loaded.values()])
        for i, answer in zip(loaded, answers, strict=True):
            words = answer.words.strip(" .")
            if words.lower() not in _NOTHING and math.exp(answer.per_token) >= LEAST_SURE:
                said[i] = words[:1].lower() + words[1:]
        return said

    def _picture(self, hit: Hit) -> Image.Image | None:
        try:
            data = self._files(int(hit.asset.id), hit.moments[0].start_seconds, _SIDE, hit.moments[0].page)
        except MedleyError as error:
            _log.info("%s is not looked at: %s", hit.asset.path, error)
            return None
        return Image.open(io.BytesIO(data)).convert("RGB")


def asks_to_look(question: str) -> bool:
    """Whether only a look at a picture can answer."""
    return _LOOKS.search(question) is not None
