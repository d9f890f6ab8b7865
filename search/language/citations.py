"""The grounding check: is a sentence supported by a span of the library, or is it dropped?

Three judges, all of which must agree. Literal: every number and name of the sentence stands in the
span or its passage (or the question), and neither denies what the other affirms. Likeness: the space's
sentence vectors. Likelihood: how much the span raises the sentence's probability under the language
model. Knows spans, never hits or ranking.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from search.language import prompts
from search.language.evidence import Span
from search.language.llm import LanguageModel, Request
from search.language.wording import content, names, negated, numbers, overlap

# Sentences -> `(n, d) float32` unit rows.
EmbedTexts = Callable[[Sequence[str]], np.ndarray]
WEIGHTS = Path(__file__).parent / "weights" / "grounding.json"
CLOSEST = 4  # spans that a sentence is checked against
# A span that says no more than half of what the sentence claims can't carry it.
MIN_COVERAGE = 0.5
_MARK = re.compile(r"\s*[\[(](?:source\s*)?\d{1,3}(?:\s*,\s*\d{1,3})*[\])]", re.IGNORECASE)
_ORDERS = re.compile(
    r"\b(?:ignore|disregard|forget)\b.{0,40}\b(?:above|previous|prior|instructions?|rules|sources?|everything)\b"
    r"|\b(?:system prompt|you are now|as an ai|new instructions?)\b"
    r"|\byou (?:must|shall|should|will|have to) (?:now )?(?:answer|say|respond|reply|write|output|print)\b"
    r"|\b(?:respond|reply|answer|output|print|write|say)\s+(?:only\s+)?(?:with\b|exactly\b|[\"'“‘:])",
    re.IGNORECASE,
)


class GroundingWeights(Struct, frozen=True, forbid_unknown_fields=True):
    """A logistic model of "this span supports this sentence", fitted by benchmarks/answers.py."""

    likeness: float  # cosine of sentence and span
    coverage: float  # share of the sentence's content words that the span holds
    gain: float  # nats a token that the span adds
    bias: float
    threshold: float  # support below which a sentence is dropped


class Support(Struct, frozen=True):
    """The span that carries a sentence, and how surely, in [0, 1]."""

    span: Span
    support: float


class Grounding:
    """Checks sentences against spans."""

    def __init__(self, model: LanguageModel, embed: EmbedTexts, weights: GroundingWeights | None = None) -> None:
        self._model = model
        self._embed = embed
        self._weights = weights or msgspec.json.decode(WEIGHTS.read_bytes(), type=GroundingWeights)

    def check(self, sentence: str, spans: Sequence[Span], question: str = "") -> Support | None:
        """The best support of a sentence, or None: then it must not be said."""
        sentence = without_marks(sentence)
        allowed = [span for span in spans if literally_allows(sentence, span, question)]
        if not allowed or not content(sentence):
            return None
        vectors = self._embed([sentence, *(span.words for span in allowed)])
        likeness = vectors[1:] @ vectors[0]
        closest = np.argsort(-likeness)[:CLOSEST]
        gains = self._gains(sentence, [allowed[i] for i in closest])
        best = max(
            (
                Support(allowed[i], self._support(sentence, allowed[i], float(likeness[i]), gain))
                for i, gain in zip(closest, gains, strict=True)
            ),
            key=lambda support: support.support,
        )
        return best if best.support >= self._weights.threshold else None

    def _support(self, sentence: str, span: Span, likeness: float, gain: float) -> float:
        if _same(sentence, span.words):
            return 1.0
        w = self._weights
        covered = overlap(content(sentence), content(span.words))
        return float(1 / (1 + np.exp(-(w.likeness * likeness + w.coverage * covered + w.gain * gain + w.bias))))

    def _gains(self, sentence: str, spans: Sequence[Span]) -> list[float]:
        """Nats a token that each span adds to the sentence; 0 for models that can't tell."""
        if not self._model.scores:
            return [0.0] * len(spans)
        target = prompts.asked(sentence)
        before = [prompts.NO_WORDS, *(prompts.passage(span.words) for span in spans)]
        requests = [Request((words, prompts.THEREFORE), target) for words in before]
        prior, *given = self._model.score((prompts.SAID,), requests)
        return [likelihood.per_token - prior.per_token for likelihood in given]


def literally_allows(sentence: str, span: Span, question: str) -> bool:
    """Do numbers, names and denial agree, and does the span say most of the sentence's words?"""
    setting = f"{span.setting} {question}"
    # Numbers must be the span's own: a question is full of numbers that may be wrong.
    if not numbers(sentence) <= numbers(span.setting):
        return False
    known = {word.lower().strip(".,;:!?\"'’”()") for word in re.split(r"[\s/_-]+", setting)}
    known |= {word.removesuffix("'s").removesuffix("’s") for word in known}
    if not names(sentence) <= known | names(setting):
        return False
    if negated(sentence) != negated(span.words):
        return False
    return overlap(content(sentence), content(setting)) >= MIN_COVERAGE


def gives_orders(text: str) -> bool:
    """Does it read like orders to a language model? Such words may be found and shown, but support nothing."""
    return bool(_ORDERS.search(text))


def without_marks(sentence: str) -> str:
    """A sentence without the citation marks that a model wrote: ours are attached by checking."""
    return " ".join(_MARK.sub("", sentence).split())


def _same(sentence: str, words: str) -> bool:
    plain = [" ".join(re.findall(r"\w+", text.lower())) for text in (sentence, words)]
    return bool(plain[0]) and plain[0] in plain[1]
