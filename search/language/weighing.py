"""How likely is it that a span answers a question: the embedded model's way of finding answers.

A logistic model over a few features that can be read and argued about; its weights are fitted on the
validation part of benchmarks/answers.py. The threshold is what makes Medley say "not found".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from search.language import prompts
from search.language.citations import EmbedTexts, gives_orders
from search.language.evidence import Span
from search.language.llm import LanguageModel, Request
from search.language.wording import content, names, numbers, overlap, tokens

WEIGHTS = Path(__file__).parent / "weights" / "weighing.json"
MAX_SCORED = 12  # spans that the language model reads; the others can't win on the cheap features
FEATURES = ("likeness", "setting", "overlap", "setting_overlap", "gain", "type", "names_missing", "relevance")


class WeighingWeights(Struct, frozen=True, forbid_unknown_fields=True):
    """Weight of each of FEATURES, and the probability from which a span is an answer."""

    likeness: float  # cosine of question and span
    setting: float  # cosine of question and the span's whole passage
    overlap: float  # share of the question's content words in the span
    setting_overlap: float  # the same for the passage and the file's name
    gain: float  # nats a token that the span adds to the question
    type: float  # does it hold what was asked for: a number, a name
    names_missing: float  # share of the question's names and numbers that are nowhere in the passage
    relevance: float  # of the hit, as retrieval calibrated it
    bias: float
    threshold: float

    @property
    def vector(self) -> np.ndarray:
        """`(len(FEATURES),)`."""
        return np.array([getattr(self, name) for name in FEATURES])


class Weighed(Struct, frozen=True):
    """A span with the probability that it answers."""

    span: Span
    probability: float


class Weighing:
    """Ranks spans by how likely they answer."""

    def __init__(self, model: LanguageModel, embed: EmbedTexts, weights: WeighingWeights | None = None) -> None:
        self._model = model
        self._embed = embed
        self.weights = weights or msgspec.json.decode(WEIGHTS.read_bytes(), type=WeighingWeights)

    def weigh(self, question: str, spans: Sequence[Span]) -> list[Weighed]:
        """Spans, best first. Those that give orders to a model are left out: they answer nobody."""
        spans = [span for span in spans if not gives_orders(span.words)]
        if not spans:
            return []
        table = self.features(question, spans)
        scores = 1 / (1 + np.exp(-(table @ self.weights.vector + self.weights.bias)))
        ranked = [Weighed(span, float(score)) for span, score in zip(spans, scores, strict=True)]
        return sorted(ranked, key=lambda weighed: -weighed.probability)

    def features(self, question: str, spans: Sequence[Span]) -> np.ndarray:
        """`(len(spans), len(FEATURES))`."""
        settings = list(dict.fromkeys(span.context or span.words for span in spans))
        vectors = self._embed([question, *(span.words for span in spans), *settings])
        asked, own, around = vectors[0], vectors[1 : len(spans) + 1], vectors[len(spans) + 1 :]
        likeness = own @ asked
        setting = np.array([around[settings.index(span.context or span.words)] @ asked for span in spans])
        wanted, special = content(question), names(question) | numbers(question)
        cheap = np.array(
            [
                (
                    overlap(wanted, content(span.words)),
                    overlap(wanted, content(span.setting)),
                    holds_type(question, span.words),
                    missing(special, span.setting),
                    span.hit.relevance,
                )
                for span in spans
            ]
        )
        gains = self._gains(question, spans, likeness + cheap[:, 0])
        return np.column_stack([likeness, setting, cheap[:, 0], cheap[:, 1], gains, cheap[:, 2:]])

    def _gains(self, question: str, spans: Sequence[Span], promise: np.ndarray) -> np.ndarray:
        gains = np.zeros(len(spans))
        if not self._model.scores:
            return gains
        chosen = np.argsort(-promise)[:MAX_SCORED]
        target = prompts.asked(question)
        words = [prompts.NO_WORDS, *(prompts.passage(spans[i].words) for i in chosen)]
        prior, *given = self._model.score(
            (prompts.PASSAGE,), [Request((text, prompts.ASKED), target) for text in words]
        )
        gains[chosen] = [likelihood.per_token - prior.per_token for likelihood in given]
        # Spans that nobody read count as the least promising one that was read.
        unread = np.setdiff1d(np.arange(len(spans)), chosen)
        gains[unread] = gains[chosen].min()
        return gains


def holds_type(question: str, words: str) -> float:
    """1 when the words hold what the question asks for (a number, a name), 0 when not, 0.5 when any words do."""
    lowered = question.lower()
    if re.search(
        r"\bhow (?:many|much|old|far|long)\b|\bwhen\b|\b(?:what|which) (?:year|date|number|century|age)\b", lowered
    ):
        held = numbers(words) - numbers(question)
        return (
            1.0
            if held or re.search(r"\b\w+(?:eenth|ieth|first|second|third)\b|\b(?:century|years?)\b", words.lower())
            else 0.0
        )
    if re.search(r"\b(?:who|whom|whose|where)\b|\b(?:what|which) (?:city|country|town|person|place|name)\b", lowered):
        return 1.0 if names(f"- {words}") - set(tokens(question)) else 0.0
    return 0.5


def missing(special: frozenset[str], setting: str) -> float:
    """The share of names and numbers that the setting lacks; 0 when there are none."""
    if not special:
        return 0.0
    held = set(tokens(setting)) | numbers(setting)
    return sum(word not in held for word in special) / len(special)
