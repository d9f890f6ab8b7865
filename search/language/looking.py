"""Looks at pictures and listens to sounds for what was asked: colours, what somebody does, what makes a noise.

The model is small, sees 260 pixels and hears 5 s: what it says is an impression, and only said when it is sure enough.
Knows looks, hits and the model's senses; where pictures and sounds come from is the caller's affair.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Protocol, Self

import msgspec
from msgspec import Struct
from PIL import Image

from search.arrays import FloatArray
from search.errors import MedleyError
from search.multimodal.adapter import WEIGHTS
from search.multimodal.colours import ANSWERS, chances, phrases, surest
from search.multimodal.look_questions import Look, LookKind
from search.multimodal.vision import Senses
from search.results import Hit
from search.signals import Sense, Signal
from search.spaces.inputs import Waveform, fit
from search.spaces.space import Space

if TYPE_CHECKING:
    from search.multimodal.model import Impression

MAX_LOOKED_AT = 2  # pictures or sounds of one question: each costs a second of a shared core
UNMEASURED = 0.5  # how often an adapter is taken to be right of which nothing is known
LEAST_SURE = 0.35  # mean probability of an answer's words, below which nothing is said
_SIDE = 512  # of the thumbnails, which are mostly there already
CHANCES = WEIGHTS / "looks.json"
_NOTHING = frozenset({"", "not visible", "nothing"})
_log = logging.getLogger(__name__)


class Chances(Struct, frozen=True, forbid_unknown_fields=True):
    """How often what is said after a look is right, by the kind of question, with the adapters it was measured with.

    training/looks.py prints it and measures all but two, which were set by hand: `colour` (half, as too few were asked)
    and `heard` (how often captions of sounds name the right thing, from docs/multimodal.md).
    """

    adapter: str  # identity of the one that looked
    sounds: str  # and of the one that heard
    colour: float
    count: float
    doing: float
    yes_no: float
    whole: float
    other: float
    heard: float  # of sounds, whatever is asked

    def of(self, look: Look, identity: str) -> float:
        """For one look with the adapter of an identity, in [0, 1]."""
        heard = look.sense is Sense.HEARD
        if identity != (self.sounds if heard else self.adapter):
            return UNMEASURED
        chance: float = self.heard if heard else getattr(self, look.kind)
        return chance

    @classmethod
    @cache
    def load(cls) -> Self:
        """Those of the shipped adapters."""
        return msgspec.json.decode(CHANCES.read_bytes(), type=cls)


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

    def hindrance(self) -> str:
        """Why it can't look yet, as a clause; "" where it can. Has the language model converted where it must be.

        Returns at once: the caller gets the hits that match instead of a time-out.
        """
        vision = self._senses.vision
        if vision.ready:
            return ""
        if problem := vision.prepare_soon():
            return f"can't be prepared: {problem}, or set MEDLEY_VISION=false"
        return "is still being prepared, ask again in a minute"

    def chance(self, look: Look) -> float:
        """How likely what a look tells is right, in [0, 1]."""
        senses = self._senses
        asked = senses.hearing if look.sense is Sense.HEARD else senses.vision
        return Chances.load().of(look, asked.identity) if asked else UNMEASURED

    def impressions(self, look: Look, hits: Sequence[Hit]) -> list[str]:
        """What the first moment of each hit seems to tell; "" where it says nothing.

        Waits for a model that has a `hindrance`. `hits`: by what is looked at or listened to, as `evidence.perceived`
        gives them. Raises LanguageModelError, SpaceError.
        """
        said = [""] * len(hits)
        ask = self._see if look.sense is Sense.SEEN else self._hear
        for i, words in ask(look, dict(enumerate(hits[:MAX_LOOKED_AT]))).items():
            said[i] = words
        return said

    def fits(self, words: str, hits: Sequence[Hit]) -> dict[int, float]:
        """Nats a token that the picture of each hit's first moment adds to words as its caption, over all their mean.

        By place in `hits`, without pictures that can't be opened. Raises LanguageModelError, SpaceError.
        """
        loaded = {i: picture for i, hit in enumerate(hits) if (picture := self._picture(hit)) is not None}
        if not loaded:
            return {}
        vision = self._senses.vision
        pictures = [fit(picture, vision.image_input) for picture in loaded.values()]
        return dict(zip(loaded, vision.fits(_as_caption(words), pictures).tolist(), strict=True))

    def _see(self, look: Look, hits: Mapping[int, Hit]) -> dict[int, str]:
        loaded = {i: picture for i, hit in hits.items() if (picture := self._picture(hit)) is not None}
        if not loaded:
            return {}
        vision = self._senses.vision
        wanted = vision.image_input
        pictures = [fit(picture, wanted) for picture in loaded.values()]
        if look.kind is LookKind.WHOLE:
            likely = vision.captions(pictures)
            told = [
                texts[int(self._nearness(texts, [picture])[0].argmax())]
                for texts, picture in zip(likely, loaded.values(), strict=True)
            ]
            return dict(zip(loaded, map(_inside_a_sentence, told), strict=True))
        if look.thing:
            nearness = self._nearness(phrases(look.thing), list(loaded.values()))
            likelihoods = vision.likelihoods(look.asked, ANSWERS, pictures)
            return dict(zip(loaded, surest(chances(likelihoods, nearness)), strict=True))
        return dict(zip(loaded, map(_sure, vision.answers(look.asked, pictures)), strict=True))

    def _nearness(self, texts: Sequence[str], pictures: Sequence[Image.Image]) -> FloatArray:
        """`(len(pictures), len(texts))` cosines in the space."""
        seen = self._space.embed(Signal.IMAGE, [fit(picture, self._space.image_input) for picture in pictures])
        near: FloatArray = seen @ self._space.embed_query_text(texts)[Signal.IMAGE].T
        return near

    def _hear(self, look: Look, hits: Mapping[int, Hit]) -> dict[int, str]:
        hearing = self._senses.hearing
        if hearing is None:
            return {}
        loaded = {i: sound for i, hit in hits.items() if (sound := self._sound(hit)) is not None}
        if look.kind is LookKind.WHOLE:
            likely = hearing.captions(list(loaded.values()))
            return {i: _inside_a_sentence(texts[0]) for i, texts in zip(loaded, likely, strict=True)}
        return dict(zip(loaded, map(_sure, hearing.answers(look.asked, list(loaded.values()))), strict=True))

    def _picture(self, hit: Hit) -> Image.Image | None:
        try:
            data = self._pictures(int(hit.asset.id), hit.moments[0].start_seconds, _SIDE, hit.moments[0].page)
            return Image.open(io.BytesIO(data)).convert("RGB")
        except (MedleyError, OSError) as error:
            _log.info("%s is not looked at: %s", hit.asset.path, error)
            return None

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
    words = _inside_a_sentence(answer.words)
    return "" if words in _NOTHING or math.exp(answer.per_token) < LEAST_SURE else words


def _as_caption(words: str) -> str:
    """Written as the captions are that the model was trained with."""
    words = words.strip(" .?!")
    return f"{words[:1].upper()}{words[1:]}."


def _inside_a_sentence(told: str) -> str:
    words = told.strip(" .")
    return words[:1].lower() + words[1:]
