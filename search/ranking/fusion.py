"""One ranking of assets from many lists of candidates.

Raw scores of different signals can't be sorted together. Each list is first calibrated; then every
signal is a witness for its asset, with its best segment, and the witnesses are joined by noisy-or: a
second witness raises an asset, and a signal with much to say but little certainty buries nobody.
(docs/benchmarks/ranking.md compares this with reciprocal rank, weighted sum and maximum.)

Knows no database, no index and no space.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from search.ranking.calibration import FALLBACK, FIRST, Calibration
from search.ranking.candidates import Candidate, CandidateList, Evidence, ScoredAsset, ScoredMoment
from search.ranking.moments import Weighed, merge
from search.results import Why
from search.signals import Sense, Signal

Highlights = Mapping[int, tuple[tuple[int, int], ...]]
_NO_HIGHLIGHTS: Highlights = {}
MOST_MOMENTS = 20
_UNKNOWN = 1e-4  # relevance where a sense has nothing to say
WORDS = "words"  # how `Why` names what full text found


def noisy_or(relevances: Iterable[float]) -> float:
    """Probability that at least one of several independent witnesses is right."""
    return 1.0 - math.prod(1.0 - relevance for relevance in relevances)


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
        self._lists = [(candidate_list, calibration.relevances(candidate_list).tolist()) for candidate_list in lists]
        witnesses: dict[int, dict[Signal, float]] = {}
        for candidate_list, relevances in self._lists:
            for candidate, relevance in zip(candidate_list.candidates, relevances, strict=True):
                voices = witnesses.setdefault(candidate.asset_id, {})
                # What full text and vectors say about the same words is one witness, not two.
                if relevance > voices.get(candidate_list.signal, 0.0):
                    voices[candidate_list.signal] = relevance
        least = {sense: self._least(sense) for sense in together}
        evidence = {
            asset_id: calibration.jointly(_chances(voices, least)) if together else noisy_or(voices.values())
            for asset_id, voices in witnesses.items()
        }
        self.ranking = [(asset_id, calibration.final(value)) for asset_id, value in evidence.items()]
        self.ranking.sort(key=lambda entry: (-entry[1], entry[0]))

    def _least(self, sense: Sense) -> float:
        """What a sense says about an asset that it does not propose.

        At most what it says about the last one that it does; nothing if it has proposed all.
        """
        cut = (
            relevances[-1]
            for candidate_list, relevances in self._lists
            if candidate_list.signal in sense.signals and relevances and not candidate_list.complete
        )
        return max(cut, default=_UNKNOWN)

    @property
    def confident(self) -> bool:
        """Whether the best hit is as likely as the calibration promises."""
        return self._best >= self._calibration.threshold

    @property
    def matched(self) -> bool:
        """Whether anything is likely enough to be worth more than "nothing matches well"."""
        return self._calibration.matches([relevance for _, relevance in self.ranking[:FIRST]])

    @property
    def ends_at(self) -> float:
        """The relevance below which hits are less likely; where nothing matches, all are."""
        return self._calibration.ends_at(self._best) if self.matched else math.inf

    @property
    def matching(self) -> int:
        """How many assets of the ranking, as deep as it goes, are not less likely."""
        end = self.ends_at
        return sum(relevance >= end for _, relevance in self.ranking)

    @property
    def _best(self) -> float:
        return self.ranking[0][1] if self.ranking else -1.0

    def found_by_words(self, asset_ids: Sequence[int]) -> list[int]:
        """Segments of these assets that full text found: `highlights` of them are worth having."""
        wanted = set(asset_ids)
        return [
            candidate.segment_id
            for candidate_list, _ in self._lists
            if candidate_list.evidence is Evidence.WORDS
            for candidate in candidate_list.candidates
            if candidate.asset_id in wanted
        ]

    def assets(self, asset_ids: Sequence[int], highlights: Highlights = _NO_HIGHLIGHTS) -> list[ScoredAsset]:
        """These assets with their moments, in this order; `highlights` by segment."""
        relevance = dict(self.ranking)
        by_asset = self._found(set(asset_ids), highlights)
        return [
            ScoredAsset(asset_id=asset_id, relevance=relevance[asset_id], moments=self._moments(by_asset[asset_id]))
            for asset_id in asset_ids
        ]

    def _found(self, wanted: set[int], highlights: Highlights) -> dict[int, dict[int, list[_Found]]]:
        """By asset and segment, everything that was found for it."""
        by_asset: dict[int, dict[int, list[_Found]]] = {asset_id: {} for asset_id in wanted}
        for candidate_list, relevances in self._lists:
            for rank, (candidate, relevance) in enumerate(
                zip(candidate_list.candidates, relevances, strict=True), start=1
            ):
                if candidate.asset_id in wanted:
                    ranges = (
                        highlights.get(candidate.segment_id, ()) if candidate_list.evidence is Evidence.WORDS else ()
                    )
                    why = _why(candidate_list, candidate, self._calibration.final(relevance), rank, ranges)
                    segments = by_asset[candidate.asset_id]
                    segments.setdefault(candidate.segment_id, []).append(
                        (candidate_list.signal, candidate, why, relevance)
                    )
        return by_asset

    def _moments(self, segments: Mapping[int, Sequence[_Found]]) -> tuple[ScoredMoment, ...]:
        return merge([_weighed(evidence) for evidence in segments.values()], self._join, self._most_moments)

    def _join(self, relevances: Sequence[float]) -> float:
        return self._calibration.final(noisy_or(relevances))


def fuse(lists: Sequence[CandidateList], calibration: Calibration = FALLBACK) -> list[ScoredAsset]:
    """All assets that any list proposes, with their moments, by falling relevance (ties: by id)."""
    fusion = Fusion(lists, calibration)
    return fusion.assets([asset_id for asset_id, _ in fusion.ranking])


# signal, candidate, why, relevance before the final map
_Found = tuple[Signal, Candidate, Why, float]


def _why(
    candidate_list: CandidateList,
    candidate: Candidate,
    relevance: float,
    rank: int,
    highlights: tuple[tuple[int, int], ...],
) -> Why:
    return Why(
        signal=WORDS if candidate_list.evidence is Evidence.WORDS else str(candidate_list.signal),
        score=candidate.score,
        relevance=relevance,
        rank=rank,
        highlights=highlights,
    )


def _chances(voices: Mapping[Signal, float], least: Mapping[Sense, float]) -> Iterator[float]:
    """How likely each wanted sense is right."""
    for sense, low in least.items():
        chances = [voice for signal, voice in voices.items() if signal in sense.signals]
        yield noisy_or(chances) if chances else low


def _weighed(evidence: Sequence[_Found]) -> Weighed:
    """One segment, which meaning and words may both have found."""
    signal, candidate, why, relevance = max(evidence, key=lambda piece: piece[3])
    by_meaning = next((piece for piece in evidence if piece[2].signal != WORDS), None)
    return Weighed(
        segment_id=candidate.segment_id,
        signal=signal,
        start_seconds=candidate.start_seconds,
        end_seconds=candidate.end_seconds,
        text=candidate.text,
        page=candidate.page,
        line=candidate.line,
        score=by_meaning[1].score if by_meaning else why.score,
        relevance=relevance,
        why=tuple(piece[2] for piece in sorted(evidence, key=lambda piece: -piece[3])),
    )
