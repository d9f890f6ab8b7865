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
        yield (
            words_of(hit, moment, str(result.query.get("text") or "")),
            metadata_of(hit, moment, result),
            moment.relevance,
        )


def words_of(hit: Hit, moment: Moment, asked: str) -> str:
    """What is said there, or written in a document; of a picture or sound all that is known of it, in sentences.

    That includes how likely it is to be what was `asked` for: of most pictures nothing else says what they show.
    """
    asset = hit.asset
    if moment.text and moment.signal in ("speech", "text") and asset.kind != "image":
        return moment.text
    taken = f"taken {asset.captured_at[:16].replace('T', ' ')}" if asset.captured_at else None
    known = [f"{asset.kind.capitalize()} {citation_of(hit, moment)}", taken, asset.place]
    told = [", ".join(part for part in known if part), asset.title]
    seems = "sound like" if asset.kind == "audio" else "show"  # captions are a small model's, and not always right
    told += [f"Seems to {seems}: {asset.caption}"] if asset.caption else []
    told += [f"Words in it: {moment.text}"] if moment.text else []
    told += [f'It matches "{asked}" with a probability of {moment.relevance:.2f}'] if asked else []
    return ". ".join(part.rstrip(". ") for part in told if part)


def citation_of(hit: Hit, moment: Moment) -> str:
    """Where it stands, for people: `talk.mp4 at 1:02-1:07`, `lease.pdf, page 3`, `notes.md, lines 4-9`."""
    name = PurePath(hit.asset.path).name
    if moment.page is not None:
        return f"{name}, page {moment.page}"
    if moment.lines is not None:
        first, last = moment.lines
        return f"{name}, line {first}" if first == last else f"{name}, lines {first}-{last}"
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
        "page": moment.page,
        "lines": moment.lines,
        "box": moment.box,
        "relevance": moment.relevance,
        "matched": result.matched,
        "captured_at": hit.asset.captured_at,
        "place": hit.asset.place,
        "title": hit.asset.title,
        "caption": hit.asset.caption,
        "thumbnail": moment.thumbnail,
    }


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
