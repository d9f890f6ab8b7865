"""From raw scores to probabilities of relevance, per space, signal and kind of evidence.

A cosine means nothing by itself: 0.3 is much between a sentence and a picture and little between two
sentences, and the best of a million is higher than the best of a hundred by chance alone. A `Curve`
turns a score, the partition's size and, where there are words, how many of the query's words a passage holds
into log-odds; `training/calibration.py` fits the curves. The size is the library's size now, so calibration
moves with the library as it grows. Spaces that nobody fitted
are judged by how far a score stands out from the query's own background in the partition.

Knows no database, no index and no model.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from search.candidates import Background, CandidateList, Evidence
from search.errors import SpaceError

SHIPPED = Path(__file__).parent / "spaces" / "weights"

# Log-odds are kept within this, so that no evidence is ever taken for certain.
_MOST_LOG_ODDS = 9.0
_LEAST_DEVIATION = 1e-3
_USUAL_LOG_SIZE = 2.0  # where the factor of the library's size is one
_USUAL_TERMS, _MOST_TERMS = 4, 12  # where the factor of the query's length is one, and where it stops to grow
_NOT_ALONE, _ALONE = -2.0, -6.0  # log-odds of the best hits between which a hit that stands out gains
_COPY = 0.97  # cosine from which a picture or a sound is the same again, resized or recompressed


class Curve(Struct, frozen=True, kw_only=True):
    """Log-odds of relevance, rising in the score. All weights are for plain numbers as they come."""

    intercept: float
    score: float = 0.0  # >= 0: per unit of cosine, or of share for words
    standard: float = 0.0  # >= 0: per deviation above the query's background
    mean: float = 0.0  # per unit of the background's mean
    covered: float = 0.0  # >= 0: per share of the query's words that the passage holds
    complete: float = 0.0  # >= 0: when it holds all of them; by example: when it is the same picture or sound
    log_size: float = 0.0  # per factor of ten in the partition's size
    sizes: tuple[float, float] = (1.0, 1000.0)  # that it was fitted on; others count as the nearest of these


class Calibration(Struct, frozen=True, kw_only=True, dict=True):
    """What the scores of one space mean. Curves are named `signal/asked` (see `key`)."""

    fingerprint: str  # of the space that it was fitted for; empty for the fallback
    curves: dict[str, Curve]
    fused: tuple[tuple[float, float], ...]  # knots: fused evidence -> probability, both strictly rising
    threshold: float  # of the probability from which a result is `confident`
    matching: float | None = None  # below it nothing matches well; where nobody fitted it, the threshold
    log_size: float = 0.0  # log-odds of fused evidence per factor of ten in the library's size
    sizes: tuple[float, float] = (1.0, 1000.0)  # that it was fitted on; others count as the nearest of these
    terms: float = 0.0  # log-odds of fused evidence per factor e in the number of the query's words, plus one
    alone: float = 0.0  # >= 0: log-odds of fused evidence per log-odds that the best hits are worth less on average
    agreement: float = 0.0  # >= 0: log-odds of fused evidence per deviation by which a second sense agrees
    together: tuple[float, float] = (1.0, 0.0)  # slope > 0 and shift: log-odds that all of several senses are right
    record: dict[str, str | float] = {}  # how it was fitted, for people

    def relevances(self, one: CandidateList) -> np.ndarray:
        """Probability of relevance per candidate, `(n,) float64`.

        It falls as the scores do among passages that hold as many of the query's words.
        """
        scores = np.array([candidate.score for candidate in one.candidates], dtype=np.float64)
        curve = self.curves.get(key(one)) or _FALLBACK_CURVES[one.evidence]
        return probability(log_odds(curve, one, scores))

    def jointly(self, chances: Iterable[float]) -> float:
        """Probabilities of senses -> evidence that all of them are right.

        Their product ranks well, but it is too low: who has what is seen has what is said rather than others.
        """
        least, (slope, shift) = math.exp(-_MOST_LOG_ODDS), self.together
        chance = min(max(math.prod(chances), least**2), 1 - least)
        return 1.0 / (1.0 + math.exp(-slope * math.log(chance / (1 - chance)) - shift))

    def odds(self, size: int, terms: int, best: float) -> float:
        """What fused evidence is worth to one query, as a factor of its odds.

        In a library of `size` segments: curves know their own partition only, but every signal of a large library has
        a chance to be wrong. For a query of `terms` words (0: not asked with words): of what is right, a cosine says
        the less the more was asked for. Where the best hits have log-odds of `best` on average (`mean_of_best`): a
        hit above many that are worth nothing is no chance; where several are good, standing out says nothing.
        """
        known = min(max(size, self.sizes[0]), self.sizes[1])
        value = self.log_size * (math.log10(known) - _USUAL_LOG_SIZE)
        if terms:
            value += self.terms * log_terms(terms) + self.alone * loneliness(best)
        return math.exp(value)

    def agreed(self, apart: float) -> float:
        """What it is worth that a second sense stands out so far (`search.fusion.agreements`), as a factor of odds."""
        return math.exp(self.agreement * apart)

    def final(self, evidence: float, odds: float = 1.0) -> float:
        """Fused evidence in [0, 1] -> probability of relevance, strictly rising. `odds` as the method says."""
        evidence = evidence * odds / (evidence * odds + 1.0 - evidence)
        # By hand: np.interp costs microseconds a call, and every candidate comes through here.
        right = min(max(bisect_right(self._places, evidence), 1), len(self.fused) - 1)
        (low, least), (high, most) = self.fused[right - 1], self.fused[right]
        return least + (most - least) * min(1.0, max(0.0, (evidence - low) / (high - low)))

    @property
    def least(self) -> float:
        """The probability of a best hit below which nothing in the library matches well."""
        return self.threshold if self.matching is None else self.matching

    @cached_property
    def _places(self) -> list[float]:
        return [place for place, _ in self.fused]


def key(one: CandidateList) -> str:
    """The name of the curve for a list: which signal was searched, and with what."""
    if one.evidence is Evidence.WORDS:
        return f"{one.signal}/words"
    return f"{one.signal}/{'example' if one.by_example else 'text'}"


def log_odds(curve: Curve, one: CandidateList, scores: np.ndarray) -> np.ndarray:
    """`(n,)` raw scores of a list -> `(n,)` log-odds."""
    background = one.background
    size = max(1, background.size if background else 1)
    if one.evidence is Evidence.WORDS:
        scores = share_of_words(scores, one.terms, size)
    values = curve.intercept + curve.score * scores + curve.log_size * np.log10(np.clip(size, *curve.sizes))
    if curve.covered or curve.complete:
        covered = np.array([candidate.covered for candidate in one.candidates])
        complete = is_same(scores) if one.by_example else covered == 1
        values += curve.covered * covered + curve.complete * complete
    if background and one.evidence is Evidence.DENSE:
        values += curve.standard * deviations(background, scores) + curve.mean * background.mean
    return np.clip(values, -_MOST_LOG_ODDS, _MOST_LOG_ODDS)


def log_terms(terms: int) -> float:
    """How much longer than usual a query of so many words is, as a logarithm."""
    return math.log((1 + min(terms, _MOST_TERMS)) / (1 + _USUAL_TERMS))


def loneliness(best: float) -> float:
    """How far the best hits stay below what counts as good, on average, in log-odds."""
    return _NOT_ALONE - min(max(best, _ALONE), _NOT_ALONE)


def deviations(background: Background, scores: np.ndarray) -> np.ndarray:
    """How far scores stand out from the query's background, in its deviations."""
    return (scores - background.mean) / max(background.deviation, _LEAST_DEVIATION)


def share_of_words(scores: np.ndarray, terms: int, size: int) -> np.ndarray:
    """BM25 scores -> how much of what the query's words could say was found, about 0 to 1.

    A word in one segment of `size` is worth log(size) to BM25; every word found so rarely would be all. No more:
    BM25 knows how rare words are among all that is spoken and seen, also where a partition is small.
    """
    return np.minimum(1.0, scores / (max(1, terms) * np.log(2.0 + size)))


def is_same(scores: np.ndarray) -> np.ndarray:
    """Which cosines between two pictures or sounds say that one is a copy of the other, `(n,) bool`."""
    return scores >= _COPY


def probability(values: np.ndarray) -> np.ndarray:
    """Log-odds -> probabilities."""
    return 1.0 / (1.0 + np.exp(-values))


def decode(text: str | bytes) -> Calibration:
    """Read what `encode` wrote. Raises SpaceError when it is damaged or makes no sense."""
    try:
        calibration = msgspec.json.decode(text, type=Calibration)
    except msgspec.MsgspecError as error:
        raise SpaceError(f"the space's calibration can't be read: {error}; fit it again") from None
    places = [place for place, _ in calibration.fused]
    values = [value for _, value in calibration.fused]
    if len(places) < 2 or any(np.diff(places) <= 0) or any(np.diff(values) <= 0):
        raise SpaceError("the space's calibration does not rise; fit it again")
    if any(min(one.score, one.standard, one.covered, one.complete) < 0 for one in calibration.curves.values()):
        raise SpaceError("the space's calibration falls with the score; fit it again")
    if min(calibration.agreement, calibration.alone) < 0 or calibration.together[0] <= 0:
        raise SpaceError("the space's calibration falls where senses agree or a hit stands out; fit it again")
    return calibration


def for_space(stored: str | None, fingerprint: str) -> Calibration:
    """What the catalogue holds for a space, else what ships for this fingerprint, else a cautious guess."""
    text = stored or shipped(fingerprint)
    return decode(text) if text else FALLBACK


def shipped(fingerprint: str) -> str | None:
    """The calibration that comes with Medley for a space of this fingerprint, as JSON."""
    for path in sorted(SHIPPED.glob("*calibration.json")):
        text = path.read_text("utf-8")
        if decode(text).fingerprint == fingerprint:
            return text
    return None


def encode(calibration: Calibration) -> str:
    """As JSON for the catalogue and for the files that ship with spaces."""
    return msgspec.json.format(msgspec.json.encode(calibration, order="deterministic"), indent=1).decode()


# For spaces that nobody has fitted: what is far above the query's background is likely relevant. Cosines
# of unknown spaces can't be compared, deviations can. Cautious on purpose.
_FALLBACK_CURVES = {
    Evidence.DENSE: Curve(intercept=-4.0, standard=1.3, log_size=-0.9),
    Evidence.WORDS: Curve(intercept=-4.0, score=7.0, complete=1.5),
}
FALLBACK = Calibration(fingerprint="", curves={}, fused=((0.0, 0.0), (1.0, 1.0)), threshold=0.5)
