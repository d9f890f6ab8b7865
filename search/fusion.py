"""One ranking of assets from many lists of candidates.

Raw scores of different signals can't be sorted together. Each list is first calibrated; then every
signal is a witness for its asset, with its best segment, and the witnesses are joined by noisy-or: a
second witness raises an asset, and a signal with much to say but little certainty buries nobody.
(docs/benchmarks.md compares this with reciprocal rank, weighted sum and maximum.)

Knows no database, no index and no space.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from search.calibration import FALLBACK, Calibration, deviations
from search.candidates import Candidate, CandidateList, Evidence, ScoredAsset, ScoredMoment, Sense
from search.moments import Weighed, merge
from search.results import Signal, Why

Highlights = Mapping[int, tuple[tuple[int, int], ...]]
_NO_HIGHLIGHTS: Highlights = {}
MOST_MOMENTS = 20
AGREES_FROM = 1.5  # deviations above the background from which a second sense says more than chance does
_UNKNOWN = 1e-4  # relevance where a sense has nothing to say
_BEST = 5  # hits that tell whether the first of them stands alone
WORDS = "words"  # how `Why` names what full text found


def noisy_or(relevances: Iterable[float]) -> float:
    """Probability that at least one of several independent witnesses is right."""
    return 1.0 - math.prod(1.0 - relevance for relevance in relevances)


def library_size(lists: Sequence[CandidateList]) -> int:
    """Segments in the partitions that were searched."""
    return sum(one.background.size for one in lists if one.background and one.evidence is Evidence.DENSE)


def terms_asked(lists: Sequence[CandidateList]) -> int:
    """How many different words were asked for; 0 where the query shows something."""
    return 0 if any(one.by_example for one in lists) else max((one.terms for one in lists), default=0)


def mean_of_best(evidence: Iterable[float]) -> float:
    """The log-odds of the best hits on average, from the evidence for all: what `Calibration.odds` weighs."""
    best = [min(max(one, _UNKNOWN), 1.0 - _UNKNOWN) for one in heapq.nlargest(_BEST, evidence)]
    return sum(math.log(one / (1.0 - one)) for one in best) / len(best) if best else 0.0


def agreements(lists: Sequence[CandidateList]) -> dict[int, float]:
    """By asset, how far a second sense stands out from the query's background, in deviations above AGREES_FROM.

    Who asks for what is seen while something is said gets a little of each from many assets; that one has
    much of both is no chance. An asset that isn't in here agrees with nothing.
    """
    best: dict[int, dict[Sense, float]] = {}
    for one in lists:
        if one.background is None or one.evidence is not Evidence.DENSE or one.by_example:
            continue  # an example shows one thing
        sense = Sense.of(one.signal)
        scores = np.array([candidate.score for candidate in one.candidates], dtype=np.float64)
        for candidate, apart in zip(one.candidates, deviations(one.background, scores).tolist(), strict=True):
            if apart <= AGREES_FROM:
                break  # they fall
            found = best.setdefault(candidate.asset_id, {})
            found[sense] = max(apart, found.get(sense, 0.0))
    return {asset_id: sorted(found.values())[-2] - AGREES_FROM for asset_id, found in best.items() if len(found) > 1}


class Fusion:
    """The ranking of everything that the lists propose; moments are made for those that are shown.

    `ranking` holds `(asset id, relevance)`, best first, ties by id. Where senses are wanted `together`, an asset is
    right if each of them finds it; else if any signal does.
    """

    def __init__(
        self,
        lists: Sequence[CandidateList],
        calibration: Calibration = FALLBACK,
        most_moments: int = MOST_MOMENTS,
        together: Sequence[Sense] = (),
    ) -> None:
        self._calibration = calibration
        self._most_moments = most_moments
        self._lists = [(one, calibration.relevances(one).tolist()) for one in lists]
        witnesses: dict[int, dict[Signal, float]] = {}
        for one, relevances in self._lists:
            for candidate, relevance in zip(one.candidates, relevances, strict=True):
                voices = witnesses.setdefault(candidate.asset_id, {})
                # What full text and vectors say about the same words is one witness, not two.
                if relevance > voices.get(one.signal, 0.0):
                    voices[one.signal] = relevance
        least = {sense: self._least(sense) for sense in together}
        evidence = {
            asset_id: calibration.jointly(_chances(voices, least)) if together else noisy_or(voices.values())
            for asset_id, voices in witnesses.items()
        }
        # Nearly every asset lacks one of several senses, so that the best of them always stand alone.
        best = 0.0 if together else mean_of_best(evidence.values())
        self._odds = calibration.odds(library_size(lists), terms_asked(lists), best)
        agreeing = agreements(lists) if calibration.agreement and not together else {}
        self.ranking = []
        for asset_id, value in evidence.items():
            odds = self._odds * calibration.agreed(agreeing[asset_id]) if asset_id in agreeing else self._odds
            self.ranking.append((asset_id, calibration.final(value, odds)))
        self.ranking.sort(key=lambda one: (-one[1], one[0]))

    def _least(self, sense: Sense) -> float:
        """What a sense says of an asset that it does not propose: at most what it says of the last that it does, and
        nothing where it has proposed all."""
        cut = (found[-1] for one, found in self._lists if one.signal in sense.signals and found and not one.complete)
        return max(cut, default=_UNKNOWN)

    @property
    def confident(self) -> bool:
        """Whether the best hit is as likely as the calibration promises."""
        return self._best >= self._calibration.threshold

    @property
    def matched(self) -> bool:
        """Whether anything is likely enough to be worth more than "nothing matches well"."""
        return self._best >= self._calibration.least

    @property
    def _best(self) -> float:
        return self.ranking[0][1] if self.ranking else -1.0

    def found_by_words(self, asset_ids: Sequence[int]) -> list[int]:
        """Segments of these assets that full text found: `highlights` of them are worth having."""
        wanted = set(asset_ids)
        return [
            candidate.segment_id
            for one, _ in self._lists
            if one.evidence is Evidence.WORDS
            for candidate in one.candidates
            if candidate.asset_id in wanted
        ]

    def assets(self, asset_ids: Sequence[int], highlights: Highlights = _NO_HIGHLIGHTS) -> list[ScoredAsset]:
        """These assets with their moments, in this order; `highlights` by segment."""
        relevance = dict(self.ranking)
        found = self._found(set(asset_ids), highlights)
        return [
            ScoredAsset(asset_id=asset_id, relevance=relevance[asset_id], moments=self._moments(found[asset_id]))
            for asset_id in asset_ids
        ]

    def _found(self, wanted: set[int], highlights: Highlights) -> dict[int, dict[int, list[_Found]]]:
        """By asset and segment, everything that was found for it."""
        found: dict[int, dict[int, list[_Found]]] = {asset_id: {} for asset_id in wanted}
        for one, relevances in self._lists:
            for place, (candidate, relevance) in enumerate(zip(one.candidates, relevances, strict=True), start=1):
                if candidate.asset_id in wanted:
                    ranges = highlights.get(candidate.segment_id, ()) if one.evidence is Evidence.WORDS else ()
                    why = _why(one, candidate, self._calibration.final(relevance, self._odds), place, ranges)
                    segments = found[candidate.asset_id]
                    segments.setdefault(candidate.segment_id, []).append((one.signal, candidate, why, relevance))
        return found

    def _moments(self, segments: Mapping[int, Sequence[_Found]]) -> tuple[ScoredMoment, ...]:
        return merge([_weighed(found) for found in segments.values()], self._join, self._most_moments)

    def _join(self, relevances: Sequence[float]) -> float:
        return self._calibration.final(noisy_or(relevances), self._odds)


def fuse(lists: Sequence[CandidateList], calibration: Calibration = FALLBACK) -> list[ScoredAsset]:
    """All assets that any list proposes, with their moments, by falling relevance (ties: by id)."""
    fusion = Fusion(lists, calibration)
    return fusion.assets([asset_id for asset_id, _ in fusion.ranking])


# signal, candidate, why, relevance before the final map
_Found = tuple[Signal, Candidate, Why, float]


def _why(
    one: CandidateList, candidate: Candidate, relevance: float, place: int, highlights: tuple[tuple[int, int], ...]
) -> Why:
    return Why(
        signal=WORDS if one.evidence is Evidence.WORDS else str(one.signal),
        score=candidate.score,
        relevance=relevance,
        rank=place,
        highlights=highlights,
    )


def _chances(voices: Mapping[Signal, float], least: Mapping[Sense, float]) -> Iterator[float]:
    """How likely each wanted sense is right."""
    for sense, low in least.items():
        found = [voice for signal, voice in voices.items() if signal in sense.signals]
        yield noisy_or(found) if found else low


def _weighed(found: Sequence[_Found]) -> Weighed:
    """One segment, which meaning and words may both have found."""
    signal, candidate, why, relevance = max(found, key=lambda one: one[3])
    by_meaning = next((one for one in found if one[2].signal != WORDS), None)
    return Weighed(
        segment_id=candidate.segment_id,
        signal=signal,
        start_seconds=candidate.start_seconds,
        end_seconds=candidate.end_seconds,
        text=candidate.text,
        score=by_meaning[1].score if by_meaning else why.score,
        relevance=relevance,
        why=tuple(one[2] for one in sorted(found, key=lambda one: -one[3])),
    )
