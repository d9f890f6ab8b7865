"""What Medley asks of a language model: how likely is this text, and what comes next.

Values and protocols only. Knows no model, no library and no prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from msgspec import Struct

# (m, width) float32: stands in a prompt where a picture would stand.
SoftTokens = np.ndarray


class Image(Struct, frozen=True):
    """An encoded picture, for models that see."""

    data: bytes
    media_type: str = "image/jpeg"


# Consecutive parts of a prompt. A backend refuses parts that it can't take (LanguageModelError).
Piece = str | SoftTokens | Image
Prompt = tuple[Piece, ...]


class Request(Struct, frozen=True):
    """How likely is `target` after `prompt`?"""

    prompt: Prompt
    target: str


class Likelihood(Struct, frozen=True):
    """Natural logarithm of a target's probability, and how many tokens it has."""

    log_probability: float
    tokens: int

    @property
    def per_token(self) -> float:
        """Length-normalised, so that targets of different lengths can be compared."""
        return self.log_probability / max(1, self.tokens)


class Limits(Struct, frozen=True, kw_only=True):
    """When writing ends."""

    tokens: int = 96
    stop: tuple[str, ...] = ("\n",)  # writing ends before the first of these
    chat: bool = False  # let a model tuned for instructions see the prompt as a user's turn


class LanguageModel(Protocol):
    """A causal language model. Thread-safe; loads at first use and may be released when idle."""

    @property
    def name(self) -> str:
        """As results say it, e.g. "embedded"."""

    @property
    def scores(self) -> bool:
        """Can it tell likelihoods? Remote chat models can't."""

    @property
    def sees(self) -> bool:
        """Does it take pictures, and may it be shown some? May load the model."""

    @property
    def width(self) -> int:
        """Length of the soft tokens that it takes; 0 when it takes none."""

    def score(self, prefix: Prompt, requests: Sequence[Request]) -> Sequence[Likelihood]:
        """Likelihood of each target after `prefix` + its prompt. The prefix is computed once."""

    def write(self, prompts: Sequence[Prompt], limits: Limits) -> Sequence[str]:
        """The most likely continuation of each prompt."""

    def stream(self, prompt: Prompt, limits: Limits) -> Iterator[str]:
        """The continuation of one prompt, piece by piece."""

    def release(self) -> None:
        """Release the weights; they load again when needed."""
