"""Ranked assets and the catalogue's records as hits: what a caller sees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import UNSET

from search.catalog.records import AssetRecord, SegmentRecord
from search.ranking.candidates import ScoredAsset, ScoredMoment
from search.results import AssetView, Box, Hit, Kind, Moment
from search.signals import Signal
from search.times import maybe_iso


def asset_view(record: AssetRecord) -> AssetView:
    """What results say about an asset."""
    captured = maybe_iso(record.captured_at, record.captured_offset)
    return AssetView(
        id=str(record.id),
        path=record.path,
        kind=Kind(record.kind or Kind.IMAGE),
        width=record.width,
        height=record.height,
        duration_seconds=record.duration_seconds,
        captured_at=captured,
        dated_at=captured or maybe_iso(record.modified_ns / 1e9),
        camera=record.camera,
        title=record.title,
        language=record.language,
        latitude=record.latitude,
        longitude=record.longitude,
        place=record.place,
        caption=record.caption or None,
        pages=record.pages,
    )


def thumbnail_of(segment_id: int) -> str:
    """Where the HTTP service serves a segment's picture."""
    return f"/v1/segments/{segment_id}/thumbnail"


def hit_of(
    scored: ScoredAsset,
    record: AssetRecord,
    ceiling: float = 1.0,
    copies: Iterable[int] = (),
    ends_at: float = 0.0,
    boxes: Mapping[int, Box] = {},
    *,
    explain: bool = False,
) -> Hit:
    """A ranked asset as a hit, at most as relevant as `ceiling`; less likely where it is below `ends_at`.

    `boxes`: of words in pictures, by segment.
    `explain`: moments say how each signal spoke.
    """
    return Hit(
        asset=asset_view(record),
        relevance=_rounded(min(scored.relevance, ceiling)),
        moments=tuple(_moment(moment, boxes.get(moment.words_id), explain) for moment in scored.moments),
        copies=tuple(map(str, copies)),
        less_likely=scored.relevance < ends_at,
    )


def moment_of(segment: SegmentRecord, relevance: float) -> Moment:
    """A whole segment as a moment that nothing has scored."""
    return Moment(
        segment_id=segment.id,
        signal=Signal(segment.signal),
        start_seconds=segment.start_seconds,
        end_seconds=segment.end_seconds,
        text=segment.text,
        score=0.0,
        relevance=relevance,
        thumbnail=thumbnail_of(segment.id),
        page=segment.page,
        lines=lines_of(segment.line, segment.text),
    )


def lines_of(first: int | None, text: str | None) -> tuple[int, int] | None:
    """The first and last line of words that begin in this line of a text file."""
    return None if first is None else (first, first + (text or "").count("\n"))


def box_of(text: str, boxes: Sequence[Box], highlights: Sequence[tuple[int, int]]) -> Box | None:
    """Around the lines of a text, one box a line, that hold what is highlighted; around all where nothing is."""
    ends: list[int] = []
    for line in text.split("\n"):
        ends.append((ends[-1] + 1 if ends else 0) + len(line))
    if len(ends) != len(boxes):
        return None  # cleaned on its way into the catalogue
    starts = [0, *(end + 1 for end in ends[:-1])]
    held = [
        box
        for box, start, end in zip(boxes, starts, ends, strict=True)
        if any(first < end and last > start for first, last in highlights)
    ] or boxes
    left, top, right, bottom = zip(*held, strict=True)
    return min(left), min(top), max(right), max(bottom)


def _moment(moment: ScoredMoment, box: Box | None, explain: bool) -> Moment:
    return Moment(
        segment_id=moment.segment_id,
        signal=moment.signal,
        start_seconds=moment.start_seconds,
        end_seconds=moment.end_seconds,
        text=moment.text,
        score=_rounded(moment.score),
        relevance=_rounded(moment.relevance),
        thumbnail=thumbnail_of(moment.segment_id),
        page=moment.page,
        lines=lines_of(moment.line, moment.text),
        box=box,
        why=moment.why if explain else UNSET,
    )


def _rounded(value: float) -> float:
    return round(value, 6)
