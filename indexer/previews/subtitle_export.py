"""Turns the speech segments of an asset into subtitles short enough to read while they are shown.

Pure. Knows how speech segments keep their words; knows no file.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from indexer.decoding.items import Line
from search.catalog.records import SegmentRecord
from search.signals import Signal

LONGEST_SECONDS = 6.0
LONGEST_CHARACTERS = 84  # two rows of 42, as broadcasters have it
_PAUSE_SECONDS = 0.7


def captions(segments: Iterable[SegmentRecord], form: str) -> str:
    """The subtitles of one asset as `srt` or `vtt`."""
    write = to_srt if form == "srt" else to_vtt
    return write(sorted(line for segment in segments for line in _lines(segment)))


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


def to_srt(lines: Sequence[Line]) -> str:
    """SubRip text of lines in time order."""
    cues = (
        f"{number}\n{_stamp(start, ',')} --> {_stamp(end, ',')}\n{_plain(words)}\n"
        for number, (start, end, words) in enumerate(lines, 1)
    )
    return "\n".join(cues)


def to_vtt(lines: Sequence[Line]) -> str:
    """WebVTT text of lines in time order."""
    cues = (
        f"{_stamp(start, '.')} --> {_stamp(end, '.')}\n{html.escape(_plain(words), quote=False)}\n"
        for start, end, words in lines
    )
    return "WEBVTT\n\n" + "\n".join(cues)


def _plain(words: str) -> str:
    return " ".join(words.split()).replace("-->", "->")  # an arrow would start a new cue


def _stamp(seconds: float, point: str) -> str:
    milliseconds = round(max(0.0, seconds) * 1000)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{point}{rest % 1000:03}"
