"""Moments as passages for language models: the words to read, and where they stand. Knows no framework."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import PurePath
from typing import Any

from medley_client.models import Hit, Moment, SearchResult


def passages(result: SearchResult, limit: int) -> Iterator[tuple[str, dict[str, Any], float]]:
    """Words, metadata and relevance of the best moments: first the best one of every file, then the others."""
    moments = [(hit, moment) for hit in result.hits for moment in hit.moments]
    firsts = [(hit, moment) for hit, moment in moments if moment is hit.moments[0]]
    others = [(hit, moment) for hit, moment in moments if moment is not hit.moments[0]]
    others.sort(key=lambda pair: -pair[1].relevance)
    for hit, moment in islice([*firsts, *others], limit):
        yield words_of(hit, moment), metadata_of(hit, moment, result), moment.relevance


def words_of(hit: Hit, moment: Moment) -> str:
    """What is said or seen there; of a picture or sound without words, what it is."""
    known = [hit.asset.title, hit.asset.caption if moment.signal == "image" else None]
    told = ". ".join(part for part in known if part)
    return moment.text or f"{hit.asset.kind.capitalize()} {citation_of(hit, moment)}" + (f": {told}" if told else "")


def citation_of(hit: Hit, moment: Moment) -> str:
    """Where it stands, for people: `talk.mp4 at 1:02-1:07`."""
    name = PurePath(hit.asset.path).name
    if moment.start_seconds is None:
        return name
    end = "" if moment.end_seconds is None else f"-{_clock(moment.end_seconds)}"
    return f"{name} at {_clock(moment.start_seconds)}{end}"


def metadata_of(hit: Hit, moment: Moment, result: SearchResult) -> dict[str, Any]:
    """Where it stands, for programs: `source` is file and stretch; `matched` is False for what only comes closest."""
    start, end = moment.start_seconds, moment.end_seconds
    stretch = "" if start is None else f"@{start:g}-{start if end is None else end:g}"
    return {
        "source": hit.asset.id + stretch,
        "citation": citation_of(hit, moment),
        "asset_id": hit.asset.id,
        "path": hit.asset.path,
        "kind": hit.asset.kind,
        "segment_id": moment.segment_id,
        "signal": moment.signal,
        "start_seconds": start,
        "end_seconds": end,
        "relevance": moment.relevance,
        "matched": result.matched,
        "captured_at": hit.asset.captured_at,
        "thumbnail": moment.thumbnail,
    }


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
