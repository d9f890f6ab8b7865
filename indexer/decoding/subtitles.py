"""Words with times that come with a file: side-car files and subtitle tracks.

Knows SubRip, WebVTT and LRC; knows nothing of transcription. Reading runs in the killable child process.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from indexer.decoding.container import open_media, start_seconds, track_name
from indexer.decoding.items import Decoded, Limits, Line, Note, Part, SubtitleItem
from indexer.decoding.sidecars import Sidecar, Unsafe, words_of
from indexer.decoding.text_encoding import UnreadableTextError, read_text
from search.catalog.states import NoteKind
from search.errors import MediaError

TEXT_CODECS = frozenset({"mov_text", "subrip", "srt", "webvtt", "ass", "ssa", "text"})
_LAST_LYRIC_SECONDS = 5.0  # an LRC line lasts until the next; the last one has no end
_MAX_LINE_SECONDS = 60.0  # a subtitle shown for longer is a mistake in its times
_CLOCK = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?"
_CUE = re.compile(rf"^\s*{_CLOCK}\s*-->\s*{_CLOCK}")
_LYRIC = re.compile(r"\[(\d{1,3}):(\d{1,2})(?:[.:](\d{1,3}))?\]")
# Each excludes its own beginning, or ten thousand of them that never end would be read ten thousand times.
_MARKUP = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
# A day of talk has thirty thousand lines, of two rows of forty characters. What has more was not made to be read.
_MAX_LINES = 100_000
_MAX_LINE_CHARACTERS = 500


def subtitles(path: Path, limits: Limits) -> Iterator[SubtitleItem | Decoded | Note]:
    """Files beside a recording or video win over tracks inside: somebody put them there on purpose."""
    has_subtitles = False
    for item in side_car(path, limits):
        has_subtitles |= isinstance(item, SubtitleItem) and not item.is_partial
        yield item
    yield from subtitle_track(path, limits, are_words_beside=has_subtitles)


def side_car(path: Path, limits: Limits) -> Iterator[SubtitleItem | Note]:
    """The subtitles that lie beside a media file under its name, or under its name and a language."""
    for number, beside in enumerate(words_of(path)):
        if number == 0:
            yield from _read(beside, limits)
            read = beside.name
        else:
            yield Note(NoteKind.BESIDE, f"{beside.name} was left out: {read} is read")


def _read(beside: Sidecar, limits: Limits) -> Iterator[SubtitleItem | Note]:
    name = beside.name
    if beside.size_bytes > limits.max_subtitle_bytes:
        limit = f"max_subtitle_bytes = {limits.max_subtitle_bytes}"
        yield Note(NoteKind.BESIDE, f"{name} was left out: {beside.size_bytes} bytes, more than {limit}")
        return
    try:
        text = read_text(beside.read(limits.max_subtitle_bytes))
    except (Unsafe, UnreadableTextError) as error:
        yield Note(NoteKind.BESIDE, str(error) if isinstance(error, Unsafe) else f"{name} was left out: {error}")
        return
    if lines := parse(text, os.path.splitext(name)[1].lower()):
        yield SubtitleItem(lines, beside.language, beside.is_partial)
        if unread := unread_lines(text):
            were = "line was" if unread == 1 else "lines were"
            yield Note(NoteKind.WORDS, f"{unread:,} {were} left out of {name}: their times can't be read")
    else:
        yield Note(NoteKind.BESIDE, f"{name} was left out: it holds no words with times")


def parse(text: str, extension: str) -> list[Line]:
    """The lines of an .srt, .vtt or .lrc file in time order; what can't be understood is skipped."""
    lines = _lyrics(text) if extension == ".lrc" else _cues(text)
    return _tidy(lines)


def unread_lines(text: str) -> int:
    """How many lines of an .srt or .vtt file have times that can't be read, or stand behind the last that are."""
    times = [row for row in text.splitlines() if "-->" in row]
    read = sum(_CUE.match(row) is not None for row in times)
    return len(times) - min(read, _MAX_LINES)


def _cues(text: str) -> Iterator[Line]:
    times: tuple[float, float] | None = None
    words: list[str] = []
    for row in [*text.splitlines(), ""]:
        if match := _CUE.match(row):
            if times and words:
                yield (*times, " ".join(words))
            parts = match.groups()
            times, words = (_seconds(*parts[:4]), _seconds(*parts[4:])), []
        elif not row.strip():
            if times and words:
                yield (*times, " ".join(words))
            times, words = None, []
        elif times:
            words.append(row.strip())


def _lyrics(text: str) -> Iterator[Line]:
    starts: list[tuple[float, str]] = []
    for row in text.splitlines():
        words = _LYRIC.sub("", row).strip()
        for minutes, seconds, fraction in _LYRIC.findall(row):  # a refrain has several times
            starts.append((_seconds("0", minutes, seconds, fraction), words))
    starts.sort(key=lambda entry: entry[0])
    ends = [start for start, _ in starts[1:]] + [starts[-1][0] + _LAST_LYRIC_SECONDS] if starts else []
    for (start, words), end in zip(starts, ends, strict=True):
        yield start, end, words


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str | None) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction or 0}")


def _tidy(lines: Iterable[Line]) -> list[Line]:
    """Markup away, empty lines away, in time order; rolling captions that repeat themselves once."""
    tidy: list[Line] = []
    for start, end, words in sorted(islice(lines, _MAX_LINES), key=lambda line: line[:2]):
        words = _MARKUP.sub("", words[: 2 * _MAX_LINE_CHARACTERS])[:_MAX_LINE_CHARACTERS]
        words = " ".join(html.unescape(words).replace("\\N", " ").split())
        end = min(max(end, start), start + _MAX_LINE_SECONDS)
        if not words:
            continue
        if tidy and tidy[-1][2] == words and start <= tidy[-1][1] + 0.1:
            tidy[-1] = (tidy[-1][0], max(end, tidy[-1][1]), words)
        else:
            tidy.append((start, end, words))
    return tidy


def subtitle_track(path: Path, limits: Limits, *, are_words_beside: bool = False) -> Iterator[SubtitleItem | Decoded]:
    """The text subtitles inside a container: the default track, else the first that is not only for signs."""
    with open_media(path, limits) as container:
        streams = list(container.streams.subtitles)
        tracks = [stream for stream in streams if stream.codec_context.name in TEXT_CODECS]
        chosen = None if are_words_beside else max(tracks, key=_preference, default=None)
        for number, stream in enumerate(streams, start=1):
            if stream is not chosen:
                why = _why(is_text=stream in tracks, are_words_beside=are_words_beside)
                yield Decoded(part=Part.SUBTITLE_TRACK, name=track_name(stream, number), share=0, why=why)
        if chosen is not None:
            lines, why = _lines(container, chosen, limits)
            if lines:
                yield SubtitleItem(lines, chosen.language if chosen.language not in (None, "und") else None)
            yield Decoded(part=Part.SUBTITLE_TRACK, why=why)


def _lines(container: Any, track: Any, limits: Limits) -> tuple[Sequence[Line], str]:
    """The lines of a track, and what is missing of them."""
    lines: list[Line] = []
    size, why = 0, ""
    offset = start_seconds(container)
    try:
        for packet in container.demux(track):
            size += packet.size
            if size > limits.max_subtitle_bytes:
                why = f"subtitles were cut at max_subtitle_bytes = {limits.max_subtitle_bytes}"
                break
            if packet.pts is not None and (words := _words(packet)):
                start = float(packet.pts * packet.time_base) - offset
                lines.append((start, start + float((packet.duration or 0) * packet.time_base), words))
    except (av.error.FFmpegError, MediaError):
        why = "the subtitle track is damaged; it was read as far as possible"
    return _tidy(lines), why


def _why(*, is_text: bool, are_words_beside: bool) -> str:
    if not is_text:
        return "pictures of words"
    return "the words beside the file are read" if are_words_beside else "another one is read"


def _preference(track: av.subtitles.stream.SubtitleStream) -> tuple[bool, bool, int]:
    disposition = track.disposition
    return not disposition & Disposition.forced, bool(disposition & Disposition.default), -track.index


def _words(packet: av.Packet[Any]) -> str:
    try:
        events = packet.decode()
    except (av.error.FFmpegError, ValueError):
        return ""
    # An ASS event is "ReadOrder,Layer,Style,Name,MarginL,MarginR,MarginV,Effect,Text".
    return " ".join(part for event in events for part in _event_words(event) if part)


def _event_words(event: object) -> Iterator[str]:
    raw = getattr(event, "ass", b"") or getattr(event, "text", b"")
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    yield text.split(",", 8)[-1] if text.count(",") >= 8 else text
