"""From hits to what an answer may rest on: numbered sources and their spans.

A span is a sentence that was said or is written, a fact that a file states about itself, or a
description of a picture. Knows hits; knows no model and no prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import PurePosixPath

from msgspec import Struct

from search.language.rewriting import Want
from search.language.wording import content, overlap, sentences
from search.results import AssetView, Hit, Kind, Moment, Signal

MAX_SPANS = 48  # weighed for one question; the best-matching sentences of long transcripts
MAX_SPANS_PER_SOURCE = 12


class Origin(StrEnum):
    """Where a span's words come from."""

    SAID = "said"
    WRITTEN = "written"
    FILE = "file"
    PICTURE = "picture"


class Span(Struct, frozen=True, kw_only=True):
    """Words that can support a sentence, and where they stand."""

    hit: Hit
    moment: Moment
    origin: Origin
    words: str
    context: str = ""  # the whole passage that the words stand in

    @property
    def name(self) -> str:
        """The file's name, for people."""
        return PurePosixPath(self.hit.asset.path).name

    @property
    def setting(self) -> str:
        """What the words are about besides themselves: their passage, the file's name and title."""
        return f"{self.context or self.words} {self.name} {self.hit.asset.title or ''}"


def spoken_spans(question: str, hits: Sequence[Hit]) -> list[Span]:
    """Sentences said or written in the hits. Long transcripts are cut by relevance, not by position."""
    wanted = content(question)
    spans: list[Span] = []
    for hit in hits:
        for moment in hit.moments:
            if moment.text and moment.signal in (Signal.SPEECH, Signal.TEXT):
                spans += _best(wanted, list(_sentences(hit, moment)), MAX_SPANS_PER_SOURCE)
    return _best(wanted, spans, MAX_SPANS)


def _sentences(hit: Hit, moment: Moment) -> Iterator[Span]:
    origin = Origin.SAID if moment.signal is Signal.SPEECH else Origin.WRITTEN
    text = moment.text or ""
    for words in sentences(text):
        yield Span(hit=hit, moment=moment, origin=origin, words=words, context=text)


def _best(wanted: frozenset[str], spans: list[Span], limit: int) -> list[Span]:
    if len(spans) <= limit:
        return spans
    # Stable: among equals the earlier source, found more relevant, stays ahead.
    ranked = sorted(range(len(spans)), key=lambda i: -overlap(wanted, content(spans[i].words)))
    return [spans[i] for i in sorted(ranked[:limit])]


def fact_span(want: Want, hit: Hit) -> Span | None:
    """What the file says about itself, where it says it."""
    statement = _fact(want, hit.asset)
    if statement is None or not hit.moments:
        return None
    return Span(hit=hit, moment=hit.moments[0], origin=Origin.FILE, words=statement)


def facts(hit: Hit) -> list[str]:
    """Everything that the file says about itself."""
    wants = (Want.TAKEN, Want.DURATION, Want.SIZE, Want.CAMERA, Want.PLACE)
    return [statement for want in wants if (statement := _fact(want, hit.asset))]


def _fact(want: Want, asset: AssetView) -> str | None:
    name = PurePosixPath(asset.path).name
    match want:
        case Want.TAKEN if asset.captured_at:
            return f"{name} was {'taken' if asset.kind is Kind.IMAGE else 'recorded'} {_date(asset.captured_at)}."
        case Want.DURATION if asset.duration_seconds is not None:
            return f"{name} is {_duration(asset.duration_seconds)} long."
        case Want.SIZE if asset.width and asset.height:
            return f"{name} is {asset.width} x {asset.height} pixels."
        case Want.CAMERA if asset.camera:
            return f"{name} was taken with {asset.camera}."
        case Want.PLACE if asset.latitude is not None and asset.longitude is not None:
            return f"{name} was taken at {_angle(asset.latitude, 'NS')}, {_angle(asset.longitude, 'EW')}."
    return None


def _date(moment: str) -> str:
    try:
        when = datetime.fromisoformat(moment)
    except ValueError:
        return f"at {moment}"
    return f"on {when.day} {when:%B %Y} at {when:%H:%M}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g} seconds"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "hour"), (minutes, "minute"), (rest, "second")]
    return " ".join(f"{count} {unit}{'' if count == 1 else 's'}" for count, unit in parts if count)


def _angle(degrees: float, sides: str) -> str:
    return f"{abs(degrees):.4f}° {sides[degrees < 0]}"


def clock(seconds: float) -> str:
    """A place in a recording, as players show it."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
