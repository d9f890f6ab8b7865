"""Questions that a picture or sound itself answers: colours, what somebody does, what makes a noise.

The model is small, sees 260 pixels and hears 5 s: what it says is an impression, and only said when it is sure enough.
Knows questions, hits and the model's senses; where pictures and sounds come from is the caller's affair.
"""

from __future__ import annotations

import io
import logging
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from PIL import Image

from search.arrays import FloatArray
from search.errors import MedleyError
from search.multimodal.colours import ANSWERS, chances, coloured, phrases, surest
from search.multimodal.vision import Senses
from search.results import Hit
from search.signals import Sense, Signal
from search.spaces.inputs import Waveform, fit
from search.spaces.space import Space

if TYPE_CHECKING:
    from search.multimodal.model import Impression

MAX_LOOKED_AT = 2  # pictures or sounds of one question: each costs a second of a shared core
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
# No question for yes or no: of those it answers half rightly (docs/multimodal.md), and the search tells what is there.
_LISTENS = re.compile(
    r"\bwhat\b.*\b(?:can|could|do|did) (?:i|we|you|one) hear\b(?! (?:about|her|him|them|anyone|someone))"
    r"|\bwhat\b.*\bcan (?:\w+ ){0,3}be heard\b"
    r"|\bwhat (?:animal|machine|instrument|vehicle|kind of sound|sound|noise)\b.*\b(?:heard|hear|this|that|it)\b"
    r"|\bwhat (?:makes|is making) (?:this|that|the) (?:sound|noise)\b"
    r"|\bwhat (?:does|do) .+ sound like\b",
    re.IGNORECASE,
)
_NOTHING = frozenset({"", "not visible", "nothing"})
_log = logging.getLogger(__name__)


class PictureFiles(Protocol):
    """Where pictures of assets come from."""

    def __call__(self, asset_id: int, seconds: float | None, side: int, page: int | None = None) -> bytes:
        """An encoded picture of an asset (a video at a time, a page of a document), at most `side` pixels long.

        Raises MedleyError.
        """


class SoundFiles(Protocol):
    """Where sounds of assets come from."""

    def __call__(self, asset_id: int, start: float, end: float) -> Waveform:
        """What can be heard between two times in seconds. Raises MedleyError."""


class Looker:
    """Asks the vision model about the pictures of hits, and as a listener about their sounds. Thread-safe."""

    def __init__(self, senses: Senses, space: Space, pictures: PictureFiles, sounds: SoundFiles) -> None:
        """`space`: says with the model which colour a thing has."""
        self._senses = senses
        self._space = space
        self._pictures = pictures
        self._sounds = sounds

    def impressions(self, question: str, hits: Sequence[Hit]) -> list[str]:
        """What the picture or sound of each hit seems to say to the question; "" where it says nothing."""
        said = [""] * len(hits)
        sense = sense_asked(question)
        if sense is None:
            return said
        if not self._senses.vision.ready:
            # A server is converting the model right now: the caller gets the hits that match instead of a time-out.
            _log.info("nothing is looked at: the language model is still being prepared")
            return said
        fitting = [i for i, hit in enumerate(hits) if hit.moments and hit.moments[0].signal.sense is sense]
        ask = self._see if sense is Sense.SEEN else self._hear
        for i, words in ask(question, {i: hits[i] for i in fitting[:MAX_LOOKED_AT]}).items():
            said[i] = words
        return said

    def _see(self, question: str, hits: Mapping[int, Hit]) -> dict[int, str]:
        loaded = {i: picture for i, hit in hits.items() if (picture := self._picture(hit)) is not None}
        if not loaded:
            return {}
        vision = self._senses.vision
        wanted = vision.image_input
        pictures = [fit(picture, wanted) for picture in loaded.values()]
        if thing := coloured(question):
            nearness = self._nearness(phrases(thing), list(loaded.values()))
            told = chances(vision.likelihoods(question, ANSWERS, pictures), nearness)
            return dict(zip(loaded, surest(told), strict=True))
        return dict(zip(loaded, map(_sure, vision.answers(question, pictures)), strict=True))

    def _nearness(self, texts: Sequence[str], pictures: Sequence[Image.Image]) -> FloatArray:
        """`(len(pictures), len(texts))` cosines in the space."""
        seen = self._space.embed(Signal.IMAGE, [fit(picture, self._space.image_input) for picture in pictures])
        near: FloatArray = seen @ self._space.embed_query_text(texts)[Signal.IMAGE].T
        return near

    def _hear(self, question: str, hits: Mapping[int, Hit]) -> dict[int, str]:
        hearing = self._senses.hearing
        if hearing is None:
            return {}
        loaded = {i: sound for i, hit in hits.items() if (sound := self._sound(hit)) is not None}
        return dict(zip(loaded, map(_sure, hearing.answers(question, list(loaded.values()))), strict=True))

    def _picture(self, hit: Hit) -> Image.Image | None:
        try:
            data = self._pictures(int(hit.asset.id), hit.moments[0].start_seconds, _SIDE, hit.moments[0].page)
        except MedleyError as error:
            _log.info("%s is not looked at: %s", hit.asset.path, error)
            return None
        return Image.open(io.BytesIO(data)).convert("RGB")

    def _sound(self, hit: Hit) -> Waveform | None:
        start, end = hit.moments[0].start_seconds, hit.moments[0].end_seconds
        if start is None or end is None:
            return None
        try:
            return self._sounds(int(hit.asset.id), start, end)
        except MedleyError as error:
            _log.info("%s is not listened to: %s", hit.asset.path, error)
            return None


def _sure(answer: Impression) -> str:
    """What is said, inside a sentence; "" for nothing, and where the model is not sure enough."""
    words = answer.words.strip(" .")
    if words.lower() in _NOTHING or math.exp(answer.per_token) < LEAST_SURE:
        return ""
    return words[:1].lower() + words[1:]


def sense_asked(question: str) -> Sense | None:
    """Whether only a look at a picture, or listening to a sound, can answer; None where words may."""
    if _LOOKS.search(question):
        return Sense.SEEN
    return Sense.HEARD if _LISTENS.search(question) else None
