"""A second look at the ranking: how likely does the language model find the query, given each item?

Query likelihood with the query's prior subtracted and length-normalised (UPR, arXiv 2204.07496): a
passage is read as words, a picture as soft tokens: of its vector, or, with the setting `vision` and where a query
describes one, of its feature map. The gain is blended with the calibrated relevance by
weights fitted per kind of evidence on validation data (benchmarks/rerank.py); it never replaces it, because alone
it ranks worse. The blend orders hits; what a rank is worth stays. Yes/no questions to the embedded model
are noise (AUC 0.54), so they are not asked.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
from msgspec import Struct

from search.errors import MedleyError
from search.language import prompts
from search.language.citations import EmbedTexts
from search.language.lexical import content
from search.language.llm import LanguageModel, Request
from search.language.picture_captions import PictureReader
from search.language.question_planning import sought
from search.results import Hit
from search.signals import Sense

WEIGHTS = Path(__file__).parent / "weights" / "reranking.json"
MAX_HITS = 50  # the rest keeps its order, below
LEAST_DESCRIBING = 4  # content words
MAX_LOOKED_AT = 20  # pictures of one query, of which each costs some 50 ms of a core
MAX_TEXTS = 256  # of one request to score texts
_log = logging.getLogger(__name__)
_EDGE = 1e-4  # probabilities are kept this far from 0 and 1 before their logit is taken


class Eyes(Protocol):
    """Looks at the pictures of hits themselves."""

    def fits(self, words: str, hits: Sequence[Hit]) -> Mapping[int, float]:
        """Nats a token that pictures add to words, over the mean of all, by place in `hits`. Raises MedleyError."""


class Blend(Struct, frozen=True, forbid_unknown_fields=True):
    """A logistic model of relevance from what retrieval and the language model say."""

    retrieval: float  # weight of the logit of the calibrated relevance (or of the cosine, for plain texts)
    gain: float  # weight of nats a token
    bias: float
    wins: bool = False  # did it rank better than retrieval alone on the test part?

    def probability(self, retrieval: np.ndarray, gains: np.ndarray) -> np.ndarray:
        """Both `(n,)`, and so is the result."""
        return 1 / (1 + np.exp(-(self.retrieval * retrieval + self.gain * gains + self.bias)))


class RerankerWeights(Struct, frozen=True, forbid_unknown_fields=True):
    """Blends per kind of evidence."""

    words: Blend  # speech, text seen
    pictures: Blend  # image, frame, sound: through soft tokens of their vectors
    looks: Blend  # image, frame, by a query that describes one: through a look at them
    texts: Blend  # plain texts of /v1/rerank, with their cosine


class Reranker:
    """Re-sorts hits. Thread-safe; loads the language model at first use."""

    def __init__(
        self,
        model: LanguageModel,
        embed: EmbedTexts,
        reader: PictureReader | None = None,
        weights: RerankerWeights | None = None,
        eyes: Eyes | None = None,
    ) -> None:
        self._model = model
        self._embed = embed
        self._reader = reader
        self._eyes = eyes
        self._weights = weights or msgspec.json.decode(WEIGHTS.read_bytes(), type=RerankerWeights)

    def rerank(
        self, question: str, hits: Sequence[Hit], vectors: Mapping[int, np.ndarray], only_wins: bool = False
    ) -> tuple[Hit, ...]:
        """Hits in a better order, best first. `vectors`: `(d,) float32` by segment id, where known.

        `only_wins` leaves alone the hits of signals where reranking does not pay.
        """
        if not self._model.scores:
            return tuple(hits)
        looked = hits[:MAX_HITS]
        weights = self._weights
        spoken = [i for i, hit in enumerate(looked) if _has_words(hit) and (weights.words.wins or not only_wins)]
        gains = dict(zip(spoken, self._passage_gains(question, [_words(looked[i]) for i in spoken]), strict=True))
        blended = {i: _blended(looked[i], gain, weights.words) for i, gain in gains.items()}
        sight = sought(question)
        seen = [i for i, hit in enumerate(looked) if self._takes(hit, vectors)]
        if describes(sight) and (weights.looks.wins or not only_wins) and (looks := self._looks(sight, looked)):
            blended |= {i: _blended(looked[i], gain, weights.looks) for i, gain in looks.items()}
            seen = []  # sounds keep their places: two blends tell nothing of one another
        if seen and self._reader and (weights.pictures.wins or not only_wins):
            stacked = np.stack([vectors[looked[i].moments[0].segment_id] for i in seen])
            told = zip(seen, self._reader.gains(sight, stacked), strict=True)
            blended |= {i: _blended(looked[i], gain, weights.pictures) for i, gain in told}
        places = sorted(blended)
        order = sorted(range(len(places)), key=lambda number: -blended[places[number]])
        return dealt_anew(hits, places, order)

    def score_texts(self, query: str, texts: Sequence[str]) -> list[float]:
        """How relevant each text is for the query, in [0, 1], in the order given."""
        if not texts:
            return []
        vectors = self._embed([query, *texts])
        gains = np.array(self._passage_gains(query, texts)) if self._model.scores else np.zeros(len(texts))
        return [float(p) for p in self._weights.texts.probability(vectors[1:] @ vectors[0], gains)]

    def _takes(self, hit: Hit, vectors: Mapping[int, np.ndarray]) -> bool:
        return bool(hit.moments) and not _has_words(hit) and hit.moments[0].segment_id in vectors

    def _passage_gains(self, question: str, texts: Sequence[str]) -> list[float]:
        if not texts:
            return []
        target = prompts.asked(question)
        words = [prompts.NO_WORDS, *(prompts.passage(text) for text in texts)]
        prior, *given = self._model.score((prompts.PASSAGE,), [Request((w, prompts.ASKED), target) for w in words])
        return [likelihood.per_token - prior.per_token for likelihood in given]

    def _looks(self, words: str, hits: Sequence[Hit]) -> dict[int, float]:
        """Nats a token after a look at each picture, by place; none where nothing looks, or can't."""
        pictures = [i for i, hit in enumerate(hits) if hit.moments and hit.moments[0].signal.sense is Sense.SEEN]
        pictures = [i for i in pictures if not _has_words(hits[i])][:MAX_LOOKED_AT]
        if self._eyes is None or not pictures:
            return {}
        try:
            told = self._eyes.fits(words, [hits[i] for i in pictures])
        except MedleyError as error:
            _log.warning("Pictures are reranked without a look at them: %s", error)
            return {}
        return {pictures[number]: nats for number, nats in told.items()}


def describes(words: str) -> bool:
    """Do words tell enough of a picture to be its caption? Fewer rank better by its vector (benchmarks/rerank.py)."""
    return len(content(words)) >= LEAST_DESCRIBING


def dealt_anew(hits: Sequence[Hit], places: Sequence[int], order: Sequence[int]) -> tuple[Hit, ...]:
    """Hits, best first, of which those at `places` (rising) come in another order: `order` are indices of `places`.

    What a rank is worth stays as it was: a second look tells which hit is better, and not how likely it is, because
    what it says was never measured on queries that the library has no answer to.
    """
    ordered = list(hits)
    for place, number in zip(places, order, strict=True):
        hit, worth = hits[places[number]], hits[place]
        first = msgspec.structs.replace(hit.moments[0], relevance=worth.relevance)
        ordered[place] = msgspec.structs.replace(
            hit, relevance=worth.relevance, less_likely=worth.less_likely, moments=(first, *hit.moments[1:])
        )
    return tuple(ordered)


def logit(probabilities: np.ndarray) -> np.ndarray:
    """Log-odds of probabilities, in the same shape `(...)`; finite."""
    clipped = np.clip(probabilities, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _has_words(hit: Hit) -> bool:
    return bool(hit.moments) and hit.moments[0].signal.holds_words and bool(hit.moments[0].text)


def _words(hit: Hit) -> str:
    return hit.moments[0].text or ""


def _blended(hit: Hit, gain: float, blend: Blend) -> float:
    retrieval = logit(np.array([hit.relevance]))
    return float(blend.probability(retrieval, np.array([gain]))[0])
