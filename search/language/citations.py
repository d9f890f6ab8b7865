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
from search.language.lexical import claims, content, names, negated, numbers, overlap, tokens
from search.language.llm import LanguageModel, Request

# Sentences -> `(n, d) float32` unit rows.
EmbedTexts = Callable[[Sequence[str]], np.ndarray]
WEIGHTS = Path(__file__).parent / "weights" / "grounding.json"
CLOSEST = 4  # spans that a sentence is checked against
# A span that says no more than half of what the sentence claims can't carry it.
MIN_COVERAGE = 0.5
# Words with which a model names its source; no source says them about itself.
_TELLING = content("speaker reader narrator recording audio video photo picture transcript passage source shows states")
_MARK = re.compile(r"\s*[\[(](?:source\s*)?\d{1,3}(?:\s*,\s*\d{1,3})*[\])]", re.IGNORECASE)


class GroundingWeights(Struct, frozen=True, forbid_unknown_fields=True):
    """A logistic model of "this span supports this sentence", fitted by training/grounding.py."""

    likeness: float  # cosine of sentence and span
    coverage: float  # share of the sentence's content words that the span holds
    gain: float  # nats a token that the span adds
    bias: float
    threshold: float  # support below which a sentence is dropped

    def support(self, features: np.ndarray) -> np.ndarray:
        """`(n, 3)`: likeness, coverage, gain -> `(n,)` in [0, 1]."""
        return 1 / (1 + np.exp(-(features @ (self.likeness, self.coverage, self.gain) + self.bias)))


class Judges(Struct, frozen=True, forbid_unknown_fields=True):
    """Weights for models that tell likelihoods, and for those that can't."""

    scored: GroundingWeights
    blind: GroundingWeights


class Support(Struct, frozen=True):
    """The span that carries a sentence, and how surely, in [0, 1]."""

    span: Span
    support: float


class Grounding:
    """Checks sentences against spans."""

    def __init__(self, model: LanguageModel, embed: EmbedTexts, judges: Judges | None = None) -> None:
        self._model = model
        self._embed = embed
        judges = judges or msgspec.json.decode(WEIGHTS.read_bytes(), type=Judges)
        self._weights = judges.scored if model.scores else judges.blind

    def check(self, sentence: str, spans: Sequence[Span], question: str = "") -> Support | None:
        """The best support of a sentence, or None: then it must not be said."""
        sentence = without_marks(sentence)
        allowed = [span for span in spans if literally_allows(sentence, span, question)]
        if not allowed or not content(sentence):
            return None
        for span in allowed:
            if _same(sentence, span.words):
                return Support(span, 1.0)
        likeness = self._likeness(sentence, allowed)
        order = np.argsort(-likeness)[:CLOSEST]
        closest = [allowed[i] for i in order]
        support = self._weights.support(self._features(sentence, closest, likeness[order]))
        best = int(support.argmax())
        return Support(closest[best], float(support[best])) if support[best] >= self._weights.threshold else None

    def features(self, sentence: str, spans: Sequence[Span]) -> np.ndarray:
        """`(len(spans), 3)`: likeness, coverage and gain, see GroundingWeights."""
        return self._features(sentence, spans, self._likeness(sentence, spans))

    def _likeness(self, sentence: str, spans: Sequence[Span]) -> np.ndarray:
        vectors = self._embed([sentence, *(span.words for span in spans)])
        return np.asarray(vectors[1:] @ vectors[0])

    def _features(self, sentence: str, spans: Sequence[Span], likeness: np.ndarray) -> np.ndarray:
        said = claims(sentence) - _TELLING
        coverage = [overlap(said, content(span.words)) for span in spans]
        return np.column_stack([likeness, coverage, self._gains(sentence, spans)])

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


def told_by_words(text: str) -> frozenset[str]:
    """What can't be seen in a picture unless it is written there: names, and numbers of more than one digit."""
    return frozenset(tokens(" ".join(names(text)))) | {number for number in numbers(text) if len(number) > 1}


def without_marks(sentence: str) -> str:
    """A sentence without the citation marks that a model wrote: ours are attached by checking."""
    return " ".join(_MARK.sub("", sentence).split())


def _same(sentence: str, words: str) -> bool:
    plain = [" ".join(re.findall(r"\w+", text.lower())) for text in (sentence, words)]
    return bool(plain[0]) and plain[0] in plain[1]
