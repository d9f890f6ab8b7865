"""The speech segments of an asset -> lines of subtitles, short enough to read while they are shown.

Pure. Knows how speech segments keep their words; knows no file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from indexer.subtitles import Line, to_srt, to_vtt
from search.catalog.records import SegmentRecord
from search.results import Signal

LONGEST_SECONDS = 6.0
LONGEST_CHARACTERS = 84  # two rows of 42, as broadcasters have it
_PAUSE_SECONDS = 0.7
_FORMATS = {"srt": to_srt, "vtt": to_vtt}


def captions(segments: Iterable[SegmentRecord], form: str) -> str:
    """The subtitles of one asset as `srt` or `vtt`."""
    return _FORMATS[form](sorted(line for segment in segments for line in _lines(segment)))


def _lines(segment: SegmentRecord) -> Iterator[Line]:
    if segment.signal != Signal.SPEECH or segment.start_seconds is None or segment.end_seconds is None:
        return
    details: dict[str, Any] = msgspec.json.decode(segment.details) if segment.details else {}
    words = [(float(start), float(end), str(text)) for start, end, text in details.get("words", ())]
    if not words:
        yield segment.start_seconds, segment.end_seconds, segment.text or ""
    elif details.get("subtitles"):
        yield from words  # what came with the file goes out as it came
    else:
        yield from _grouped(words)


def _grouped(words: list[Line]) -> Iterator[Line]:
    current: list[Line] = []
    for word in words:
        if current and _is_full(current, word):
            yield _joined(current)
            current = []
        current.append(word)
    if current:
        yield _joined(current)


def _is_full(current: list[Line], word: Line) -> bool:
    characters = sum(len(text) + 1 for _, _, text in current) + len(word[2])
    return (
        characters > LONGEST_CHARACTERS
        or word[1] - current[0][0] > LONGEST_SECONDS
        or word[0] - current[-1][1] > _PAUSE_SECONDS
        or current[-1][2].endswith((".", "?", "!"))
    )


def _joined(words: list[Line]) -> Line:
    return words[0][0], words[-1][1], " ".join(text for _, _, text in words)
