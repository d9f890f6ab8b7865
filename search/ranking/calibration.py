"""From raw scores to probabilities of relevance, per space, signal and kind of evidence.

A cosine means nothing by itself: 0.3 is much between a sentence and a picture and little between two
sentences, and the best of a million is higher than the best of a hundred by chance alone. A `Curve`
turns a score, the number of segments around it and, where there are words, how many of the query's words a
passage holds into log-odds; `training/calibration.py` fits the curves. The size is the library's
size now, so calibration moves with the library as it grows. Spaces that nobody fitted are judged by how far a
score stands out from the query's own background in the partition.

Knows no database, no index and no model.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

import msgspec
import numpy as np
from msgspec import Struct

from search.errors import SpaceError
from search.ranking.candidates import Background, CandidateList, Evidence
from search.signals import Signal
from search.spaces.weights import SHIPPED

# Log-odds are kept within this, so that no evidence is ever taken for certain.
_MOST_LOG_ODDS = 9.0
_LEAST_DEVIATION = 1e-3
FIRST = 10  # hits among which one must be expected to be right where none is likely by itself
USUAL_TERMS = 4  # words of a sentence; what is asked without words counts as one
COPY = 0.97  # cosine from which a picture or a sound is the same again, resized or recompressed


class Table(Struct, frozen=True, kw_only=True):
    """Log-odds by score, number of words asked for, and number of segments; linear between the knots.

    Scores of relevant and of irrelevant pictures are spread differently for one word ("snow"), a few words and a
    sentence, and differently in libraries of ten and of thousands. No one slope says that; a table does.
    """

    scores: tuple[float, ...]  # knots, rising; at least two
    terms: tuple[float, ...]  # numbers of words, rising
    log_sizes: tuple[float, ...]  # decimal logarithms of the background's sizes, rising
    values: tuple[tuple[tuple[float, ...], ...], ...]  # (log_sizes, terms, scores), rising along the last

    def at(self, scores: np.ndarray, terms: int, size: float) -> np.ndarray:
        """`(n,)` scores -> `(n,)` log-odds; beyond the outermost knots the last slope continues, for scores only."""
        line = self.line(terms, size)
        log_odds_at = np.interp(scores, self.scores, line)
        last = (line[-1] - line[-2]) / (self.scores[-1] - self.scores[-2])
        return np.asarray(log_odds_at + last * np.maximum(0.0, scores - self.scores[-1]))

    def line(self, terms: int, size: float) -> np.ndarray:
        """Log-odds at the knots of the scores, `(scores,)`, for that many words in a library of this size."""
        values = np.array(self.values, dtype=np.float64)
        by_score = shares([math.log10(max(1, size))], self.log_sizes)[0] @ values.transpose(1, 0, 2).reshape(
            len(self.terms), len(self.log_sizes), -1
        )
        return np.asarray(shares([terms or USUAL_TERMS], self.terms)[0] @ by_score)


def shares(values: Sequence[float] | np.ndarray, knots: Sequence[float]) -> np.ndarray:
    """`(n,)` values -> `(n, knots)`: how much of each knot a value is, linear between two, held at the ends."""
    at, places = np.asarray(values, dtype=np.float64), np.asarray(knots, dtype=np.float64)
    if len(places) == 1:
        return np.ones((len(at), 1))
    at = np.clip(at, places[0], places[-1])
    left = np.clip(np.searchsorted(places, at, side="right") - 1, 0, len(places) - 2)
    share = (at - places[left]) / (places[left + 1] - places[left])
    weights = np.zeros((len(at), len(places)))
    rows = np.arange(len(at))
    weights[rows, left], weights[rows, left + 1] = 1 - share, share
    return weights


class Curve(Struct, frozen=True, kw_only=True):
    """Log-odds of relevance, rising in the score. All weights are for plain numbers as they come."""

    intercept: float = 0.0
    table: Table | None = None  # by score, words and size; the weights below are added to it
    score: float = 0.0  # >= 0: per unit of cosine, or of share for words
    standard: float = 0.0  # >= 0: per deviation above the query's background
    mean: float = 0.0  # per unit of the background's mean
    covered: float = 0.0  # >= 0: per share of the query's words that the passage holds
    complete: float = 0.0  # >= 0: when it holds all of them; by example: when it is the same picture or sound
    mentioned: float = 0.0  # <= 0: when "all of them" is a single word: saying it is not yet being about it
    best_of: float = 0.0  # <= 0: per factor e in the number of the asset's segments that could have been its best
    log_terms: float = 0.0  # per factor e in the number of words asked for
    log_size: float = 0.0  # per factor of ten in the background's size
    sizes: tuple[float, float] = (1.0, 1000.0)  # that it was fitted on; others count as the nearest of these

    @property
    def uses_background(self) -> bool:
        """Whether a score's meaning depends on how the query scores against the library at large."""
        return bool(self.standard or self.mean)

    def extreme_sizes(self, least: int, most: int) -> list[float]:
        """Sizes from `least` to `most` among which are those where a score means most, and least, whatever it is.

        Log-odds are linear in the logarithm of the size between these.
        """
        knots = [*self.sizes, *(10**knot for knot in (self.table.log_sizes if self.table else ()))]
        return sorted({float(least), float(most), *(knot for knot in knots if least < knot < most)})


class Ending(Struct, frozen=True):
    """Where a list's relevance ends: hits below either are less likely."""

    least: float = 0.0  # relevance
    share: float = 0.0  # of the best hit's relevance


class Calibration(Struct, frozen=True, kw_only=True, dict=True):
    """What the scores of one space mean. Curves are named `signal/asked` (see `key`)."""

    fingerprint: str  # of the space that it was fitted for; empty for the fallback
    curves: dict[str, Curve]
    fused: tuple[tuple[float, float], ...]  # knots: fused evidence -> probability, both strictly rising
    threshold: float  # of the probability from which a result is `confident`
    matching: float | None = None  # best relevance below which nothing matches well by itself; None: the threshold
    ending: Ending = Ending()
    together: tuple[float, float] = (1.0, 0.0)  # slope > 0 and shift: log-odds that all of several senses are right
    record: dict[str, str | float] = {}  # how it was fitted, for people

    def relevances(self, candidate_list: CandidateList) -> np.ndarray:
        """Probability of relevance per candidate, `(n,) float64`.

        It falls as the scores do among passages that hold as many of the query's words.
        """
        scores = np.array([candidate.score for candidate in candidate_list.candidates], dtype=np.float64)
        curve = self.curves.get(key(candidate_list)) or _FALLBACK_CURVES[candidate_list.evidence]
        return probability(log_odds(curve, candidate_list, scores))

    def jointly(self, chances: Iterable[float]) -> float:
        """Probabilities of senses -> evidence that all of them are right.

        Their product ranks well but is too low: an asset that shows what is asked for is also likelier to say it.
        """
        least, (slope, shift) = math.exp(-_MOST_LOG_ODDS), self.together
        chance = min(max(math.prod(chances), least**2), 1 - least)
        return 1.0 / (1.0 + math.exp(-slope * math.log(chance / (1 - chance)) - shift))

    def final(self, evidence: float) -> float:
        """Fused evidence in [0, 1] -> probability of relevance, strictly rising."""
        # By hand: np.interp costs microseconds a call, and every candidate comes through here.
        right = min(max(bisect_right(self._places, evidence), 1), len(self.fused) - 1)
        (low, least), (high, most) = self.fused[right - 1], self.fused[right]
        return least + (most - least) * min(1.0, max(0.0, (evidence - low) / (high - low)))

    def evidence_for(self, relevance: float) -> float:
        """The least fused evidence with which `final` gives this relevance; 1 where none does."""
        low, high = 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (low, middle) if self.final(middle) >= relevance else (middle, high)
        return high

    def curve_for(self, signal: Signal, by_example: bool) -> Curve:
        """What cosines of a signal mean."""
        name = f"{signal.encoder}/{'example' if by_example else 'text'}"
        return self.curves.get(name) or _FALLBACK_CURVES[Evidence.DENSE]

    def ends_at(self, best: float) -> float:
        """The relevance below which hits are less likely, where the best hit has `best`."""
        return max(self.ending.least, self.ending.share * best)

    def matches(self, relevances: Sequence[float]) -> bool:
        """Whether the best of a list (best first) matches well, or one of the first ten is to be expected to be right.

        Of a broad word ("yellow") hardly a hit is likely by itself, but ten together are. Copies of the same bytes have
        one relevance, and count once.
        """
        return bool(relevances) and (relevances[0] >= self.least or expected_right(relevances) >= 1)

    @property
    def least(self) -> float:
        """The best hit's relevance below which it does not match well by itself."""
        return self.threshold if self.matching is None else self.matching

    @cached_property
    def _places(self) -> list[float]:
        return [position for position, _ in self.fused]


def expected_right(relevances: Sequence[float]) -> float:
    """How many of the first ten hits are to be expected to be right, given all relevances, best first."""
    return sum(set(relevances[:FIRST]))


def key(candidate_list: CandidateList) -> str:
    """The name of the curve for a list: which signal was searched, and with what."""
    signal = candidate_list.signal.encoder
    if candidate_list.evidence is Evidence.WORDS:
        return f"{signal}/words"
    return f"{signal}/{'example' if candidate_list.by_example else 'text'}"


def log_odds(curve: Curve, candidate_list: CandidateList, scores: np.ndarray) -> np.ndarray:
    """`(n,)` raw scores of a list -> `(n,)` log-odds."""
    background = candidate_list.background
    size = max(1, background.size if background else 1)
    if candidate_list.evidence is Evidence.WORDS:
        scores = share_of_words(scores, candidate_list.terms, size)
    values = curve.intercept + curve.score * scores + curve.log_size * np.log10(np.clip(size, *curve.sizes))
    values += curve.log_terms * math.log(candidate_list.terms or USUAL_TERMS)
    if curve.table:
        values += curve.table.at(scores, candidate_list.terms, size)
    if curve.best_of:
        values += curve.best_of * np.log([candidate.of for candidate in candidate_list.candidates])
    if curve.covered or curve.complete:
        covered = np.array([candidate.covered for candidate in candidate_list.candidates])
        complete = is_same(scores) if candidate_list.by_example else covered == 1
        sure = np.array([candidate.sure for candidate in candidate_list.candidates])
        of_all = curve.complete + curve.mentioned * (candidate_list.terms == 1)
        values += sure * (curve.covered * covered + of_all * complete)
    if background and candidate_list.evidence is Evidence.DENSE:
        values += curve.standard * deviations(background, scores) + curve.mean * background.mean
    return np.asarray(np.clip(values, -_MOST_LOG_ODDS, _MOST_LOG_ODDS))


class Yardsticks(Struct, frozen=True, kw_only=True):
    """What one segment in each of many lists is judged by, beside its cosine. None is one of several, or a copy."""

    terms: np.ndarray  # (n,) numbers of words
    size: float  # of the background of every list
    means: np.ndarray  # (n,) of the backgrounds
    spreads: np.ndarray  # (n,) of the backgrounds
    covered: float = 0.0  # share of the words that every segment holds


def log_odds_of_queries(curve: Curve, scores: np.ndarray, judged_by: Yardsticks) -> np.ndarray:
    """As `log_odds`, of one segment in each of many lists at once: `(n,)` cosines -> `(n,)` log-odds."""
    offsets, slopes = _linear(curve, judged_by)
    values = offsets + slopes * scores
    if curve.table:
        for count in np.unique(judged_by.terms):
            held = judged_by.terms == count
            values[held] += curve.table.at(scores[held], int(count), judged_by.size)
    return np.asarray(np.clip(values, -_MOST_LOG_ODDS, _MOST_LOG_ODDS))


def least_scores(curve: Curve, wanted: np.ndarray, judged_by: Yardsticks) -> np.ndarray:
    """The inverse of `log_odds_of_queries`: the least cosine with which each list reaches `(n,)` log-odds, `(n,)`.

    -inf where every cosine does, inf where none does.
    """
    offsets, slopes = _linear(curve, judged_by)
    knots = np.array(curve.table.scores if curve.table else (0.0, 1.0))
    least = np.empty(len(wanted))
    for count in np.unique(judged_by.terms):
        held = judged_by.terms == count
        line = curve.table.line(int(count), judged_by.size) if curve.table else np.zeros(len(knots))
        heights = offsets[held, None] + slopes[held, None] * knots + line
        last = slopes[held] + (line[-1] - line[-2]) / (knots[-1] - knots[-2])
        least[held] = _crossings(knots, heights, slopes[held], last, wanted[held])
    return np.where(wanted <= -_MOST_LOG_ODDS, -np.inf, np.where(wanted > _MOST_LOG_ODDS, np.inf, least))


def _linear(curve: Curve, judged_by: Yardsticks) -> tuple[np.ndarray, np.ndarray]:
    """Of many lists, `(n,)` log-odds at a cosine of 0 and their rise per unit of cosine, but for the curve's table."""
    terms, covered = judged_by.terms, judged_by.covered
    deviation = curve.standard / np.maximum(judged_by.spreads, _LEAST_DEVIATION)
    offsets = curve.intercept + curve.log_size * np.log10(np.clip(max(1, judged_by.size), *curve.sizes))
    offsets += curve.log_terms * np.log(np.where(terms > 0, terms, USUAL_TERMS))
    offsets += (curve.mean - deviation) * judged_by.means
    if covered:
        offsets += curve.covered * covered + (curve.complete + curve.mentioned * (terms == 1)) * (covered == 1)
    return offsets, curve.score + deviation


def _crossings(
    knots: np.ndarray, heights: np.ndarray, first: np.ndarray, last: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """Where rising lines, of `(n, k)` heights at `(k,)` knots, reach `(n,)` heights; `first` and `last` are slopes."""
    rows = np.arange(len(wanted))
    right = np.sum(heights < wanted[:, None], axis=1)  # the first knot that is high enough
    inner = np.clip(right, 1, len(knots) - 1)
    low, high = heights[rows, inner - 1], heights[rows, inner]
    with np.errstate(divide="ignore", invalid="ignore"):  # a level stretch is crossed nowhere, and not chosen below
        between = knots[inner - 1] + (knots[inner] - knots[inner - 1]) * (wanted - low) / (high - low)
        before = np.where(first > 0, knots[0] - (heights[:, 0] - wanted) / first, -np.inf)
        after = np.where(last > 0, knots[-1] + (wanted - heights[:, -1]) / last, np.inf)
    return np.where(right == 0, before, np.where(right == len(knots), after, between))


def deviations(background: Background, scores: np.ndarray) -> np.ndarray:
    """How far `(n,)` scores stand out from the query's background, in its deviations."""
    return (scores - background.mean) / max(background.deviation, _LEAST_DEVIATION)


def share_of_words(scores: np.ndarray, terms: int, size: int) -> np.ndarray:
    """`(n,)` BM25 scores -> how much of what the query's words could say was found, about 0 to 1.

    A word in one segment of `size` is worth log(size) to BM25; every word found so rarely would be all. No more:
    BM25 knows how rare words are among all that is spoken and seen, also where a partition is small.
    """
    return np.asarray(np.minimum(1.0, scores / (max(1, terms) * np.log(2.0 + size))))


def is_same(scores: np.ndarray) -> np.ndarray:
    """Which cosines between two pictures or sounds say that one is a copy of the other, `(n,) bool`."""
    return scores >= COPY


def probability(values: np.ndarray) -> np.ndarray:
    """Log-odds -> probabilities, in the same shape `(...)`."""
    return np.asarray(1.0 / (1.0 + np.exp(-values)))


def decode(text: str | bytes) -> Calibration:
    """Read what `encode` wrote. Raises SpaceError when it is damaged or makes no sense."""
    try:
        calibration = msgspec.json.decode(text, type=Calibration)
    except msgspec.MsgspecError as error:
        raise SpaceError(f"the space's calibration can't be read: {error}; fit it again") from None
    places = [position for position, _ in calibration.fused]
    values = [value for _, value in calibration.fused]
    if len(places) < 2 or any(np.diff(places) <= 0) or any(np.diff(values) <= 0):
        raise SpaceError("the space's calibration does not rise; fit it again")
    for curve in calibration.curves.values():
        falls = curve.table and np.any(np.diff(np.array(curve.table.values), axis=-1) < 0)
        if falls or min(curve.score, curve.standard, curve.covered, curve.complete) < 0:
            raise SpaceError("the space's calibration falls with the score; fit it again")
    if calibration.together[0] <= 0:
        raise SpaceError("the space's calibration falls where senses agree; fit it again")
    return calibration


def for_space(stored: str | None, fingerprint: str, parts: Mapping[str, str] = MappingProxyType({})) -> Calibration:
    """What the catalogue holds for a space, else what ships for this fingerprint, else a cautious guess.

    `parts`: fingerprints of a composed space's parts by sense; the curves of those that are known stay true.
    """
    text = stored or shipped(fingerprint)
    if text:
        return decode(text)
    curves: dict[str, Curve] = {}
    for sense, part in parts.items():
        known = decode(packed).curves if (packed := shipped(part)) else {}
        curves |= {name: curve for name, curve in known.items() if Signal(name.split("/")[0]).sense == sense}
    return msgspec.structs.replace(FALLBACK, curves=curves)


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
FALLBACK = Calibration(
    fingerprint="", curves={}, fused=((0.0, 0.0), (1.0, 1.0)), threshold=0.5, ending=Ending(least=0.1, share=0.2)
)
