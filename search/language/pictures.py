"""What the language model makes of a picture that it knows only through soft tokens.

It can say how well words fit (the gain in likelihood over knowing nothing) and describe the picture
in a caption. Both are weak witnesses: callers show descriptions as impressions, never as facts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from search.language import prompts
from search.language.llm import LanguageModel, Limits, Prompt, Request, SoftTokens
from search.language.projector import Projector

MAX_CAPTION_TOKENS = 24


class Description(Struct, frozen=True):
    """A caption, and how many nats a token the picture adds to it."""

    words: str
    gain: float


class PictureReader:
    """Needs a model that takes soft tokens and a projector for its pair."""

    def __init__(self, model: LanguageModel, projector: Projector) -> None:
        self._model = model
        self._projector = projector

    def gains(self, words: str, vectors: np.ndarray) -> np.ndarray:
        """`(n, d)` items -> `(n,)`: nats a token that each adds to the words, as a caption."""
        target = prompts.asked(words)
        requests = [Request((prompts.NO_PICTURE, prompts.CAPTION), target)]
        requests += [Request(_asking(soft), target) for soft in self._projector.project(vectors)]
        prior, *given = self._model.score((prompts.PICTURE,), requests)
        return np.array([likelihood.per_token - prior.per_token for likelihood in given])

    def describe(self, vectors: np.ndarray) -> Sequence[Description]:
        """`(n, d)` items -> a caption each."""
        soft = self._projector.project(vectors)
        limits = Limits(tokens=MAX_CAPTION_TOKENS, stop=("\n", ". "))
        start = prompts.EXAMPLES + prompts.PICTURE
        texts = self._model.write([(start, *_asking(tokens)) for tokens in soft], limits)
        described = []
        for text, tokens in zip(texts, soft, strict=True):
            words = prompts.quoted(text, 200).strip(" .")
            described.append(Description(words, self._gain(words, tokens) if words else 0.0))
        return described

    def _gain(self, words: str, soft: np.ndarray) -> float:
        target = prompts.asked(words)
        requests = [Request((prompts.NO_PICTURE, prompts.CAPTION), target), Request(_asking(soft), target)]
        prior, given = self._model.score((prompts.PICTURE,), requests)
        return given.per_token - prior.per_token


def _asking(soft: SoftTokens) -> Prompt:
    return (*prompts.picture(soft), prompts.CAPTION)
