"""Words with times that come with a file: side-car files and subtitle tracks; and writing them.

Knows SubRip, WebVTT and LRC; knows nothing of transcription. Reading runs in the killable child process.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import av
from av.stream import Disposition

from indexer.container import open_media, start_seconds
from indexer.failures import shown
from indexer.items import Limits, Note, SubtitleItem
from indexer.side_cars import side_car_of
from search.errors import MediaError

Line = tuple[float, float, str]  # start and end in seconds, words

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


def side_car(path: Path, limits: Limits) -> Iterator[SubtitleItem | Note]:
    """The subtitles that lie beside a media file under its name, or under its name and a language."""
    if (beside := side_car_of(path)) is None:
        return
    file = Path(os.fsdecode(beside.path))
    name = shown(file.name)
    if beside.size_bytes > limits.max_subtitle_bytes:
        limit = f"max_subtitle_bytes = {limits.max_subtitle_bytes}"
        yield Note(f"{name} was left out: {beside.size_bytes} bytes, more than {limit}")
        return
    try:
        with file.open("rb") as opened:
            text = _text(opened.read(limits.max_subtitle_bytes))
    except OSError as error:
        yield Note(f"{name} was left out: {error.strerror}")
        return
    if lines := parse(text, file.suffix.lower()):
        yield SubtitleItem(lines, beside.language)
    else:
        yield Note(f"{name} was left out: it holds no words with times")


def _text(data: bytes) -> str:
    for encoding in ("utf-8-sig", "utf-16") if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig",):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("cp1252", "replace")  # what most files from before UTF-8 are in


def parse(text: str, extension: str) -> list[Line]:
    """The lines of an .srt, .vtt or .lrc file in time order; what can't be understood is skipped."""
    lines = _lyrics(text) if extension == ".lrc" else _cues(text)
    return _tidy(lines)


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


def subtitle_track(path: Path, limits: Limits) -> Iterator[SubtitleItem | Note]:
    """The text subtitles inside a container: the default track, else the first that is not only for signs."""
    with open_media(path, limits) as container:
        tracks = [s for s in container.streams.subtitles if s.codec_context.name in TEXT_CODECS]
        track = max(tracks, key=_preference, default=None)
        if track is None:
            return
        lines: list[Line] = []
        size = 0
        offset = start_seconds(container)
        try:
            for packet in container.demux(track):
                size += packet.size
                if size > limits.max_subtitle_bytes:
                    yield Note(f"subtitles were cut at max_subtitle_bytes = {limits.max_subtitle_bytes}")
                    break
                if packet.pts is not None and (words := _words(packet)):
                    start = float(packet.pts * packet.time_base) - offset
                    lines.append((start, start + float((packet.duration or 0) * packet.time_base), words))
        except (av.error.FFmpegError, MediaError):
            yield Note("the subtitle track is damaged; it was read as far as possible")
        if lines := _tidy(lines):
            language = track.language
            yield SubtitleItem(lines, language if language not in (None, "und") else None)


def _preference(track: av.subtitles.stream.SubtitleStream) -> tuple[bool, bool, int]:
    disposition = track.disposition
    return not disposition & Disposition.forced, bool(disposition & Disposition.default), -track.index


def _words(packet: av.Packet) -> str:
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
