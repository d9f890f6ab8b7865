"""What the language model can tell about a picture that it knows only through soft tokens.

It can say how well words fit (the gain in likelihood over knowing nothing) and describe the picture
in a caption. Both are weak witnesses: callers show descriptions as impressions, never as facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
from msgspec import Struct

from search.language import prompts
from search.language.llm import LanguageModel, Limits, Prompt, Request, SoftTokens
from search.language.projector import Projector, find_projector
from search.spaces.space import Fingerprint

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
        (gains,) = self._gains([words], [self._projector.project(vectors)])
        return gains

    def describe(self, vectors: np.ndarray) -> Sequence[Description]:
        """`(n, d)` items -> a caption each."""
        soft = self._projector.project(vectors)
        limits = Limits(tokens=MAX_CAPTION_TOKENS, stop=("\n", ". "))
        start = prompts.EXAMPLES + prompts.PICTURE
        texts = self._model.write([(start, *_asking(tokens)) for tokens in soft], limits)
        said = [prompts.quoted(text, 200).strip(" .") for text in texts]
        told = [index for index, words in enumerate(said) if words]
        gains = dict(zip(told, self._gains([said[i] for i in told], [soft[i : i + 1] for i in told]), strict=True))
        return [Description(words, float(gains[i][0]) if i in gains else 0.0) for i, words in enumerate(said)]

    def _gains(self, captions: Sequence[str], given: Sequence[np.ndarray]) -> list[np.ndarray]:
        """For each caption and its items `(n, m, width)`: `(n,)` nats a token over what any picture gives it.

        A caption's prior is its mean probability over typical pictures. Behind a prompt that lists nothing
        captions rank much worse: there the model has yet to learn that a caption follows, not which.
        """
        before: list[Prompt] = [_asking(soft) for soft in self._projector.typical]
        before = before or [(prompts.NO_PICTURE, prompts.CAPTION)]
        requests = [
            Request(prompt, prompts.asked(words))
            for words, items in zip(captions, given, strict=True)
            for prompt in (*before, *map(_asking, items))
        ]
        scored = iter(self._model.score((prompts.PICTURE,), requests))
        gains = []
        for items in given:
            priors = list(islice(scored, len(before)))
            prior = np.logaddexp.reduce([likelihood.log_probability for likelihood in priors]) - np.log(len(before))
            log_probabilities = np.array([likelihood.log_probability for likelihood in islice(scored, len(items))])
            gains.append((log_probabilities - prior) / priors[0].tokens)
        return gains


def open_reader(model: LanguageModel, space: Fingerprint) -> PictureReader | None:
    """The reader of pictures of a space; None if there is no projector for this pair."""
    projector = find_projector(space, model.name)
    return PictureReader(model, projector) if projector else None


def _asking(soft: SoftTokens) -> Prompt:
    return (*prompts.picture(soft), prompts.CAPTION)
