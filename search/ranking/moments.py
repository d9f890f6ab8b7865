"""Segments of one asset that belong together become one moment.

A frame, the words spoken over it and the sound below it are one moment for a person, not three hits.
This module knows nothing of databases, spaces or calibration: it gets segments with their relevance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from search.ranking.candidates import ScoredMoment
from search.results import Why
from search.signals import Signal

# Segments whose times are at most this far apart are the same moment: frames stand a second or more apart.
GAP_SECONDS = 1.0
# A moment stops growing here, or a talk about one subject would become a single moment of an hour.
LONGEST_SECONDS = 60.0
# A neighbour joins when it is at least this share as relevant: the moment ends where the matter changes.
JOINING_SHARE = 0.5


class Weighed(Struct, frozen=True, kw_only=True):
    """One segment with everything known for it; `relevance` is its own, fused over its evidence."""

    segment_id: int
    signal: Signal
    start_seconds: float | None
    end_seconds: float | None
    text: str | None
    score: float
    relevance: float
    page: int | None = None
    line: int | None = None
    why: tuple[Why, ...]


def merge(
    segments: Sequence[Weighed], combine: Callable[[Sequence[float]], float], most: int
) -> tuple[ScoredMoment, ...]:
    """Segments of one asset -> at most `most` moments, best first. `combine` fuses the relevance of signals."""
    timed = sorted((segment for segment in segments if segment.start_seconds is not None), key=_place)
    groups = _untimed(segments)[:most]
    free = dict.fromkeys(range(len(timed)))  # ordered set of places in `timed`
    for seed in sorted(free, key=lambda position: (-timed[position].relevance, position)):
        if len(groups) >= most:
            break
        if seed in free:
            taken = _grown(timed, free, seed)
            groups.append([timed[position] for position in taken])
            for position in taken:
                del free[position]
    moments = [_moment(group, combine) for group in groups]
    moments.sort(key=lambda moment: (-moment.relevance, moment.start_seconds or 0.0, moment.segment_id))
    return tuple(moments)


def _untimed(segments: Sequence[Weighed]) -> list[list[Weighed]]:
    """What has no times, best first: a picture with the text seen in it; of a document its passages and pages."""
    whole: list[Weighed] = []
    passages: list[list[Weighed]] = []
    pages: list[Weighed] = []
    for segment in segments:
        if segment.start_seconds is None:
            if segment.page is None and segment.line is None:
                whole.append(segment)
            elif segment.signal.holds_words:
                passages.append([segment])
            else:
                pages.append(segment)
    for page in pages:
        # The picture of a page speaks for the passage on it that is about as relevant, which says more.
        beside = [group for group in passages if group[0].page == page.page]
        best = max(beside, key=lambda group: group[0].relevance, default=None)
        if best is not None and best[0].relevance >= page.relevance * JOINING_SHARE:
            best.append(page)
        else:
            passages.append([page])
    groups = [*([whole] if whole else []), *passages]
    return sorted(groups, key=lambda group: (-max(segment.relevance for segment in group), group[0].segment_id))


def _grown(timed: Sequence[Weighed], free: Mapping[int, None], seed: int) -> list[int]:
    """The seed with its neighbours in time that are nearly as relevant; places in `timed`, rising."""
    start, end = _start(timed[seed]), _end(timed[seed])
    least = timed[seed].relevance * JOINING_SHARE
    taken = [seed]
    for step in (1, -1):
        position = seed + step
        while 0 <= position < len(timed) and start - LONGEST_SECONDS <= _start(timed[position]) <= end + GAP_SECONDS:
            if position not in free:
                break  # a better moment stands there
            segment = timed[position]
            near = _end(segment) >= start - GAP_SECONDS
            fits = max(end, _end(segment)) - min(start, _start(segment)) <= LONGEST_SECONDS
            # What lies inside adds its words and reasons, however weak: it makes the moment no longer.
            inside = start <= _start(segment) and _end(segment) <= end
            if inside or (near and fits and segment.relevance >= least):
                start, end = min(start, _start(segment)), max(end, _end(segment))
                taken.append(position)
            position += step
    return sorted(taken)


def _place(segment: Weighed) -> tuple[float, int]:
    return (_start(segment), segment.segment_id)


def _start(segment: Weighed) -> float:
    return segment.start_seconds or 0.0


def _end(segment: Weighed) -> float:
    return max(_start(segment), segment.end_seconds if segment.end_seconds is not None else 0.0)


def _moment(group: Sequence[Weighed], combine: Callable[[Sequence[float]], float]) -> ScoredMoment:
    best = max(group, key=lambda segment: (segment.relevance, -segment.segment_id))
    if best.page is not None:
        best = group[0]  # the passage, whose thumbnail is the page's
    # One voice per signal: five frames of one scene are one piece of evidence, not five.
    per_signal: dict[Signal, float] = {}
    for segment in group:
        per_signal[segment.signal] = max(per_signal.get(segment.signal, 0.0), segment.relevance)
    telling = _telling(group, best)
    timed = best.start_seconds is not None
    return ScoredMoment(
        segment_id=best.segment_id,
        signal=best.signal,
        start_seconds=min(_start(segment) for segment in group) if timed else None,
        end_seconds=max(_end(segment) for segment in group) if timed else None,
        text=telling.text,
        score=best.score,
        relevance=combine(list(per_signal.values())),
        page=best.page,
        line=best.line,
        words_id=telling.segment_id if telling.text else 0,
        why=_reasons(group, telling),
    )


def _telling(group: Sequence[Weighed], best: Weighed) -> Weighed:
    """The segment whose words stand for the moment: its best one, else the best that has words."""
    return best if best.text else max(group, key=lambda segment: (bool(segment.text), segment.relevance))


def _reasons(group: Sequence[Weighed], telling: Weighed) -> tuple[Why, ...]:
    """The strongest reason of each kind. Matched words must be those of the text that is shown."""
    strongest: dict[str, Why] = {}
    for segment in group:
        for why in segment.why:
            known = strongest.get(why.signal)
            shown = segment is telling or not why.highlights
            if shown and (known is None or why.relevance > known.relevance):
                strongest[why.signal] = why
    return tuple(sorted(strongest.values(), key=lambda why: -why.relevance))
