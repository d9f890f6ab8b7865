"""A small language world for tests: a model that understands by shared words, vectors of words, and hits."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from search.language.answerer import Answerer
from search.language.lexical import content, overlap
from search.language.llm import LanguageModel, Likelihood, Limits, Prompt, Request
from search.language.looking import Looker
from search.language.span_scoring import ScoringWeights, SpanScorer
from search.results import AssetView, Hit, Kind, Moment
from search.signals import Signal

DIMENSION = 64


class WordModel:
    """Finds a text likelier the more of its words stand before it; writes what it is told to write."""

    def __init__(self, says: str = "", name: str = "embedded", scores: bool = True, sees: bool = False) -> None:
        self.name = name
        self.scores = scores
        self.sees = sees
        self.width = 8
        self._says = says
        self.seen: list[str] = []

    def score(self, prefix: Prompt, requests: Sequence[Request]) -> Sequence[Likelihood]:
        self.seen += ["".join(map(str, request.prompt)) for request in requests]
        return [self._likelihood(request) for request in requests]

    def _likelihood(self, request: Request) -> Likelihood:
        words = content(request.target)
        before = content(" ".join(piece for piece in request.prompt if isinstance(piece, str)))
        soft = sum(float(piece.sum()) for piece in request.prompt if isinstance(piece, np.ndarray))
        count = max(1, len(words))
        return Likelihood(-6.0 * count + 4.0 * len(words & before) + soft * count, count)

    def write(self, given: Sequence[Prompt], limits: Limits) -> Sequence[str]:
        return [self._says for _ in given]

    def stream(self, prompt: Prompt, limits: Limits) -> Iterator[str]:
        self.seen.append("".join(map(str, prompt)))
        for start in range(0, len(self._says), 7):
            yield self._says[start : start + 7]

    def release(self) -> None:
        pass


class WordReader:
    """Thinks that a statement answers the better, the more of the question's words it holds."""

    def read(self, question: str, statements: Sequence[str]) -> np.ndarray:
        wanted = content(question)
        return np.array([12 * overlap(wanted, content(text)) - 4 for text in statements], np.float32)


class WordPointer:
    """Thinks the same of the statements of several passages."""

    def read(
        self, question: str, pages: Sequence[Sequence[str]], wanted: Sequence[Collection[int]]
    ) -> list[np.ndarray]:
        assert len(pages) == len(wanted)
        return [WordReader().read(question, statements) for statements in pages]


def answerer(
    model: LanguageModel, space: str = "starter", looker: Looker | None = None, weights: ScoringWeights | None = None
) -> Answerer:
    """One that reads by words."""
    return Answerer(model, embed, space, SpanScorer(WordReader(), WordPointer(), embed, weights), looker=looker)


def embed(texts: Sequence[str]) -> np.ndarray:
    """Unit rows that are alike when texts share content words."""
    rows = np.zeros((len(texts), DIMENSION), np.float32)
    for row, text in zip(rows, texts, strict=True):
        for word in content(text):
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
            row += np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms == 0, 1, norms)


def spoken(words: str, path: str = "talk.mp3", segment_id: int = 1, relevance: float = 0.8, start: float = 3.0) -> Hit:
    """A recording in which something is said."""
    moment = Moment(
        segment_id=segment_id,
        signal=Signal.SPEECH,
        start_seconds=start,
        end_seconds=start + 6,
        text=words,
        score=0.5,
        relevance=relevance,
        thumbnail="",
    )
    asset = AssetView(id=str(segment_id), path=path, kind=Kind.AUDIO, duration_seconds=83.0)
    return Hit(asset=asset, relevance=relevance, moments=(moment,))


def pictured(path: str, segment_id: int = 50, relevance: float = 0.8) -> Hit:
    """A photo that matched."""
    moment = Moment(
        segment_id=segment_id,
        signal=Signal.IMAGE,
        start_seconds=None,
        end_seconds=None,
        text=None,
        score=0.3,
        relevance=relevance,
        thumbnail="",
    )
    asset = AssetView(
        id=str(segment_id),
        path=path,
        kind=Kind.IMAGE,
        width=640,
        height=480,
        captured_at="2024-05-03T14:02:00+00:00",
        camera="Canon EOS R5",
    )
    return Hit(asset=asset, relevance=relevance, moments=(moment,))


def long_passage(filler: int) -> str:
    """Sentences about nothing in particular."""
    return " ".join(f"The weather of week {week} was neither good nor bad." for week in range(filler))


__all__ = ["WordModel", "WordReader", "answerer", "embed", "long_passage", "pictured", "spoken"]
