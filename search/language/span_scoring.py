"""How likely does a statement answer a question? The quoting answerer's way of finding the line.

The reader reads whole passages, and the pointer, which is larger, the likeliest of them again; a logistic model over
their scores and a few features that can be argued about ranks statements; a second one over the best score and its lead
says how sure the answer is. What holds nothing of the kind
asked for never answers. Weights are fitted by training/span_scoring.py.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence, Set
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
from msgspec import Struct

from search.arrays import Float32Array, Float64Array
from search.errors import LanguageModelError
from search.language.citations import EmbedTexts
from search.language.evidence import Span
from search.language.lexical import (
    content,
    is_english,
    is_question,
    names,
    numbers,
    overlap,
    stem,
    tokens,
    told_before_asking,
)
from search.language.reading.glosses import in_english
from search.language.reading.opposites import tells_the_other
from search.language.reading.reader import as_read
from search.language.reading.value_types import ValueType, counted, holds
from search.language.reading.weekdays import days_told

_log = logging.getLogger(__name__)
WEIGHTS = Path(__file__).parent / "weights" / "span-scoring.json"
FEATURES = ("reader", "pointer", "titled", "setting", "names_missing", "typed", "shared")
MAX_CANDIDATES = 16  # of the statements that may answer, those that the reader likes best
MAX_POINTED = 5  # passages that the pointer reads: those with the statements that the reader likes best
LONGEST_LEAD = 8.0
LEAST_RIVAL = -2.0  # of the answer that is nowhere: a statement that stands alone is not sure for that
_MOST_NATS = 12.0  # either way: beyond, a reader is only louder
_UNREAD = -8.0  # nats of a statement whose passage the pointer did not read


class StatementReader(Protocol):
    """Reads a question and the statements of one passage together."""

    def read(self, question: str, statements: Sequence[str]) -> Float32Array:
        """`(len(statements),) float32`: by how many nats each is likelier to answer than that none of them does."""


class PassageReader(Protocol):
    """Reads a question after each of several passages."""

    def read(
        self, question: str, pages: Sequence[Sequence[str]], wanted: Sequence[Collection[int]]
    ) -> list[Float32Array]:
        """For each page `(len(page),) float32`, as StatementReader.read; NaN for what was not read.

        `wanted`: indices of the statements of each page that must be. Raises LanguageModelError.
        """


class SpanWeights(Struct, frozen=True, forbid_unknown_fields=True):
    """Weight of each of FEATURES."""

    reader: float  # nats by which the reader prefers it to "nowhere in this passage"
    pointer: float  # the same of the pointer
    titled: float  # cosine of question and statement behind the passage's first, which often says what it is about
    setting: float  # cosine of question and the whole passage
    names_missing: float  # share of the question's names and numbers that are nowhere in the passage
    typed: float  # 1 where the kind of thing asked for is known (and held), else 0
    shared: float  # share of the question's content words that the statement holds
    bias: float

    @property
    def vector(self) -> Float64Array:
        """`(len(FEATURES),)`."""
        return np.array([getattr(self, name) for name in FEATURES])


class ConfidenceWeights(Struct, frozen=True, forbid_unknown_fields=True):
    """A logistic model of "the best statement answers"."""

    score: float  # of the best
    lead: float  # over the best statement with other words
    bias: float
    threshold: float  # below, the answer is "not found"


class ScoringWeights(Struct, frozen=True, forbid_unknown_fields=True):
    """Both models. Questions in other languages are read in English, so they need none of their own."""

    spans: SpanWeights
    confidence: ConfidenceWeights


class ScoredSpan(Struct, frozen=True):
    """A span with the probability that it answers."""

    span: Span
    probability: float


class SpanScorer:
    """Ranks spans by how likely they answer."""

    def __init__(
        self,
        reader: StatementReader,
        pointer: PassageReader,
        embed: EmbedTexts,
        weights: ScoringWeights | None = None,
    ) -> None:
        self._reader = reader
        self._pointer = pointer
        self._told = False  # that the pointer is missing
        self._embed = embed
        self._weights = weights or msgspec.json.decode(WEIGHTS.read_bytes(), type=ScoringWeights)

    @property
    def threshold(self) -> float:
        """The probability from which a span is an answer."""
        return self._weights.confidence.threshold

    def weigh(self, question: str, spans: Sequence[Span], expects: ValueType | None = None) -> list[ScoredSpan]:
        """The spans that can answer, best first. `expects`: what a span must hold."""
        chosen, features = self.candidates(question, spans, expects)
        if not chosen:
            return []
        weights = self._weights
        scores = features @ weights.spans.vector + weights.spans.bias
        chances = confidences(scores, [span.words for span in chosen], weights.confidence)
        return [ScoredSpan(chosen[i], float(chances[i])) for i in np.argsort(-scores, kind="stable")]

    def candidates(
        self, question: str, spans: Sequence[Span], expects: ValueType | None = None
    ) -> tuple[list[Span], Float64Array]:
        """At most MAX_CANDIDATES spans that may answer, and their features `(n, len(FEATURES))`.

        The reader reads all, because what may not answer says what the others are about.
        """
        may = np.array([may_answer(question, span, expects) for span in spans], bool)
        if not may.any():
            return [], np.zeros((0, len(FEATURES)))
        asked = in_english(question)
        read = [_read_as(span) for span in spans]
        passages = _passages(spans)
        nats = self._read(asked, passages, read)
        rows = [int(row) for row in np.argsort(-nats, kind="stable") if may[row]][:MAX_CANDIDATES]
        titles: dict[int, str] = {}
        for span in spans:
            titles.setdefault(span.moment.segment_id, span.words)
        chosen = [spans[row] for row in rows]
        special = names(question) | numbers(question) | (counted(question) if is_english(question) else frozenset())
        strange = [missing(special, span.setting) for span in chosen]
        typed = np.full(len(chosen), float(expects is not None))
        wanted = content(asked)
        shared = [overlap(wanted, content(read[row])) for row in rows]
        titled = [f"{titles[spans[row].moment.segment_id]}: {read[row]}" for row in rows]
        pointed = self._point(asked, passages, read, rows, nats[rows])
        likeness = self._likeness(question, chosen, titled)
        return chosen, np.column_stack([nats[rows], pointed, likeness, strange, typed, shared])

    def _likeness(self, question: str, spans: Sequence[Span], titled: Sequence[str]) -> Float32Array:
        """`(len(spans), 2)`: cosines of the question with each statement behind its title, and with its passage."""
        settings = [span.context or span.words for span in spans]
        distinct = list(dict.fromkeys([*titled, *settings]))
        vectors = self._embed([question, *distinct])
        cosines = dict(zip(distinct, (vectors[1:] @ vectors[0]).tolist(), strict=True))
        columns = [[cosines[text] for text in texts] for texts in (titled, settings)]
        return np.array(columns, np.float32).T

    def _read(self, asked: str, passages: Mapping[int, Sequence[int]], read: Sequence[str]) -> Float64Array:
        nats = np.zeros(len(read))
        for rows in passages.values():
            nats[rows] = self._reader.read(asked, [read[row] for row in rows])
        return nats.clip(-_MOST_NATS, _MOST_NATS)

    def _point(
        self,
        asked: str,
        passages: Mapping[int, Sequence[int]],
        read: Sequence[str],
        chosen: Sequence[int],
        liked: Float64Array,
    ) -> Float64Array:
        """`(len(chosen),)`: the pointer's nats of the rows that were chosen, best first.

        `liked`: the reader's nats of them, which count for both where the pointer can't be opened.
        """
        holding = {row: number for number, rows in passages.items() for row in rows}
        likely = list(dict.fromkeys(holding[row] for row in chosen))[:MAX_POINTED]
        pages = [[read[row] for row in passages[number]] for number in likely]
        wanted = [{place for place, row in enumerate(passages[number]) if row in chosen} for number in likely]
        try:
            told = self._pointer.read(asked, pages, wanted)
        except LanguageModelError as error:
            if not self._told:
                _log.warning("Answers are found by the small reader alone: %s", error)
            self._told = True
            return liked
        nats = np.full(len(read), np.nan)
        for number, of_passage in zip(likely, told, strict=True):
            nats[passages[number]] = of_passage
        held: Float64Array = np.nan_to_num(nats[list(chosen)], nan=_UNREAD)
        return held.clip(-_MOST_NATS, _MOST_NATS)


def _passages(spans: Sequence[Span]) -> dict[int, list[int]]:
    """Rows by the passage that they are statements of."""
    passages: dict[int, list[int]] = {}
    for row, span in enumerate(spans):
        passages.setdefault(span.moment.segment_id, []).append(row)
    return passages


def _read_as(span: Span) -> str:
    return as_read(f"{span.question} {span.reading or span.words}".strip(), span.context or span.words)


def may_answer(question: str, span: Span, expects: ValueType | None) -> bool:
    """Does it hold the kind of thing that is asked for, tell not just its opposite, and not ask itself?"""
    words = span.reading or span.words
    if expects is not None and is_question(span.words):
        words = told_before_asking(words)
        if not words:
            return False
    return holds(expects, words, question) and not tells_the_other(question, words)


def confidences(scores: Float64Array, words: Sequence[str], weights: ConfidenceWeights) -> Float64Array:
    """`(n,)`: the probability that each answers, from its score and its lead over the best with other words."""
    leads = np.array([lead(scores, words, row) for row in range(len(scores))])
    return 1 / (1 + np.exp(-(weights.score * scores + weights.lead * leads + weights.bias)))


def lead(scores: Float64Array, words: Sequence[str], row: int) -> float:
    """How far a statement's score, of `(n,)` scores, is above the best of those with other words."""
    others = [score for score, held in zip(scores, words, strict=True) if held != words[row]]
    return float(np.clip(scores[row] - max([LEAST_RIVAL, *others]), -LONGEST_LEAD, LONGEST_LEAD))


def missing(special: frozenset[str], setting: str) -> float:
    """The share of names and numbers that the setting lacks; 0 when there are none."""
    if not special:
        return 0.0
    words = tokens(setting)
    held = {*words, *map(stem, words), *numbers(setting)}
    days = days_told(setting) if any(days_told(word) for word in special) else frozenset()
    return sum(not (_held(word, held) or days & days_told(word)) for word in special) / len(special)


def _held(word: str, held: Set[str]) -> bool:
    """As it is or in another form, or without the s of a German genitive ("Annas"); accents don't matter."""
    return any({part, stem(part), part.removesuffix("s")} & held for part in (word, *tokens(word)))
