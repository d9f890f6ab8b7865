"""Opening media containers that nobody vouches for, and reading what they say about themselves.

Knows PyAV, the limits and the traps of containers (playlists, streams without end, headers that lie);
knows nothing of frames, sound or words. Runs in the killable child process.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from indexer.decoding.boxes import lacks_index
from indexer.decoding.items import Limits, WrittenItem
from indexer.decoding.metadata.capture_time import Moment, read_date
from indexer.decoding.metadata.image_metadata import camera_of
from indexer.decoding.metadata.witness import MAX_CAPTION_CHARACTERS, Witness, keywords_of, place_of, somebodys_words
from indexer.decoding.probe import CONTAINER_OPTIONS
from indexer.decoding.streams.ogg_links import PartOfFile
from search.errors import PermanentMediaError, TransientMediaError

MICROSECONDS = 1_000_000
_EPOCH_YEARS = (1904, 1970)  # what cameras without a clock write
_MAX_CHAPTERS = 1000
_NUMBERED = re.compile(r"(?:chapter|kapitel|chapitre|track|part|scene)?\W*\d*|[\d:.]+", re.IGNORECASE)
_LOCATION = re.compile(r"^([+-]\d+(?:\.\d+)?)([+-]\d+(?:\.\d+)?)")


@contextmanager
def open_media(path: Path, limits: Limits, part: PartOfFile | None = None, **options: Any) -> Iterator[InputContainer]:
    """The opened container, or a part of the file as one, checked against the limits.

    Raises PermanentMediaError, TransientMediaError.
    """
    try:
        size = path.stat().st_size
        if size > limits.max_file_bytes:
            raise PermanentMediaError(f"{path}: {size} bytes, more than max_file_bytes = {limits.max_file_bytes}")
        with _open(path, limits, options, part) as container:
            _check_streams(container, path, limits)
            yield container
    except av.error.InvalidDataError as error:
        if lacks_index(path):
            raise PermanentMediaError(
                f"{path}: ends early: its index is missing, which stands at the end until a recording is finished"
            ) from None
        raise PermanentMediaError(f"{path}: damaged or no media that ffmpeg knows ({error.strerror})") from None
    except (FileNotFoundError, PermissionError, TimeoutError, BlockingIOError, ConnectionError) as error:
        raise TransientMediaError(f"{path}: can't be read: {error.strerror or error}") from None
    except (av.error.FFmpegError, av.error.EOFError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PermanentMediaError(f"{path}: ffmpeg can't read it: {reason}") from None
    except OSError as error:
        raise TransientMediaError(f"{path}: can't be read: {error.strerror or error}") from None


def _open(path: Path, limits: Limits, options: dict[str, Any], part: PartOfFile | None) -> InputContainer:
    # 100,000 streams must be refused while the header is read, not after.
    container_options = {**CONTAINER_OPTIONS, "max_streams": str(limits.max_streams + 1)}
    options = {"container_options": container_options, "metadata_errors": "replace", **options}
    if part is not None:
        of_part: InputContainer = av.open(part, **options)
        return of_part
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:  # a name that is not Unicode can't pass through PyAV: give it the open file
        opened: InputContainer = av.open(path.open("rb"), buffer_size=1024 * 1024, **options)
        return opened
    # The scheme keeps a file called "http:..." or "concat:..." from being read as one.
    opened = av.open(f"file:{path.absolute()}", **options)
    return opened


def _check_streams(container: InputContainer, path: Path, limits: Limits) -> None:
    count = len(container.streams)
    if count > limits.max_streams:
        raise PermanentMediaError(f"{path}: more than max_streams = {limits.max_streams} streams")
    if not count:
        raise PermanentMediaError(f"{path}: holds no picture and no sound")
    for stream in container.streams.video:
        pixels = stream.codec_context.width * stream.codec_context.height
        if pixels > limits.max_image_pixels:
            raise PermanentMediaError(
                f"{path}: frames of {pixels} pixels, more than max_image_pixels = {limits.max_image_pixels}"
            )


def picture_streams(container: InputContainer) -> list[VideoStream]:
    """The streams of moving pictures: neither cover art nor thumbnails."""
    still = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    return [stream for stream in container.streams.video if not stream.disposition & still]


def picture_stream(container: InputContainer) -> VideoStream | None:
    """The stream of moving pictures that is seen: one with a decoder."""
    moving = [
        stream for stream in picture_streams(container) if is_decodable(stream) and stream.codec_context.width > 0
    ]
    return max(moving, key=lambda s: (bool(s.disposition & Disposition.default), -s.index), default=None)


def is_decodable(stream: Any) -> bool:
    """Is there a decoder for it?"""
    try:
        return bool(stream.codec_context and stream.codec_context.codec.is_decoder)
    except (av.error.FFmpegError, ValueError, AttributeError):
        return False


def track_name(stream: Any, number: int) -> str:
    """What people call a track, the first of its kind being number 1."""
    title, language = stream.metadata.get("title", "").strip(), stream.language
    parts = [part for part in (None if language == "und" else language, title) if part]
    return f"number {number}" + (f" ({', '.join(parts)})" if parts else "")


def start_seconds(container: InputContainer) -> float:
    """Where the container's clock starts; times given to people count from there."""
    return (container.start_time or 0) / MICROSECONDS


def read_tags(container: InputContainer) -> Witness:
    """What the tags of a container say."""
    tags = {key.lower(): value for key, value in container.metadata.items()}
    for stream in container.streams:  # Ogg keeps the tags of the file in its first stream
        for key, value in stream.metadata.items():
            tags.setdefault(key.lower(), value)
    make = tags.get("com.apple.quicktime.make") or tags.get("com.android.manufacturer") or tags.get("make")
    model = tags.get("com.apple.quicktime.model") or tags.get("com.android.model") or tags.get("model")
    captions = (tags.get(key) for key in ("description", "comment", "synopsis"))
    return Witness(
        taken=_taken(tags),
        place=_place(tags),
        camera=camera_of(make, model),
        title=somebodys_words(tags.get("title")),
        caption=next((text for value in captions if (text := somebodys_words(value, MAX_CAPTION_CHARACTERS))), None),
        keywords=keywords_of((tags.get("artist"), tags.get("album"), *(tags.get("keywords") or "").split(","))),
    )


def spoken_language(container: InputContainer) -> str | None:
    """As the file says."""
    named = [container.metadata.get("language"), *(stream.language for stream in container.streams.audio)]
    return next((language for language in named if language not in (None, "", "und")), None)


def chapters(container: InputContainer) -> WrittenItem | None:
    """The titles of its chapters with their times; those that are only numbers say nothing."""
    lines: list[tuple[float | None, float | None, str]] = []
    for chapter in container.chapters()[:_MAX_CHAPTERS]:
        base = float(chapter["time_base"] or 0)
        title = somebodys_words(chapter["metadata"].get("title"))
        if title and not _NUMBERED.fullmatch(title):
            start, end = (max(0.0, chapter[edge] * base - start_seconds(container)) for edge in ("start", "end"))
            lines.append((start, max(start, end), title))
    return WrittenItem(lines, "chapter") if lines else None


def _taken(tags: dict[str, str]) -> Moment | None:
    for key in ("com.apple.quicktime.creationdate", "creation_time", "date_recorded", "date", "tdrc"):
        value = tags.get(key, "").strip()
        if len(value) < len("20200101"):
            continue  # a bare year is the year of publication
        moment = read_date(value)
        if moment and datetime.fromtimestamp(moment.epoch_seconds, UTC).year not in _EPOCH_YEARS:
            # Cameras write UTC with a Z whatever their clock shows: that is an instant, and tells of no clock.
            return Moment(moment.epoch_seconds, None if key == "creation_time" else moment.offset_seconds)
    return None


def _place(tags: dict[str, str]) -> tuple[float, float] | None:
    """ISO 6709, as phones write it: +27.5916+086.5640+8850/ (and so on)."""
    for key in ("com.apple.quicktime.location.iso6709", "location", "location-eng"):
        if (match := _LOCATION.match(tags.get(key, ""))) and (place := place_of(float(match[1]), float(match[2]))):
            return place
    return None
