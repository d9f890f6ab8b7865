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

from indexer.items import Limits
from indexer.probe import CONTAINER_OPTIONS
from search.catalog.records import AssetFacts
from search.errors import PermanentMediaError, TransientMediaError

MICROSECONDS = 1_000_000
_END_PACKETS = 20_000  # packets read behind the last seek point to find the true end
_EPOCH_YEARS = (1904, 1970)  # what cameras without a clock write
_LOCATION = re.compile(r"^([+-]\d+(?:\.\d+)?)([+-]\d+(?:\.\d+)?)")


@contextmanager
def open_media(path: Path, limits: Limits, **options: Any) -> Iterator[InputContainer]:
    """The opened container, checked against the limits. Raises PermanentMediaError, TransientMediaError."""
    try:
        size = path.stat().st_size
        if size > limits.max_file_bytes:
            raise PermanentMediaError(f"{path}: {size} bytes, more than max_file_bytes = {limits.max_file_bytes}")
        with _open(path, limits, options) as container:
            _check_streams(container, path, limits)
            yield container
    except av.error.InvalidDataError as error:
        raise PermanentMediaError(f"{path}: damaged or no media that ffmpeg knows ({error.strerror})") from None
    except (FileNotFoundError, PermissionError, TimeoutError, BlockingIOError, ConnectionError) as error:
        raise TransientMediaError(f"{path}: can't be read: {error.strerror or error}") from None
    except (av.error.FFmpegError, av.error.EOFError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PermanentMediaError(f"{path}: ffmpeg can't read it: {reason}") from None
    except OSError as error:
        raise TransientMediaError(f"{path}: can't be read: {error.strerror or error}") from None


def _open(path: Path, limits: Limits, options: dict[str, Any]) -> InputContainer:
    # 100,000 streams must be refused while the header is read, not after.
    container_options = {**CONTAINER_OPTIONS, "max_streams": str(limits.max_streams + 1)}
    options = {"container_options": container_options, "metadata_errors": "replace", **options}
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:  # a name that is no Unicode can't pass through PyAV: give it the open file
        return av.open(path.open("rb"), buffer_size=1024 * 1024, **options)
    # The scheme keeps a file called "http:..." or "concat:..." from being read as one.
    return av.open(f"file:{path.absolute()}", **options)


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


def picture_stream(container: InputContainer) -> VideoStream | None:
    """The stream of moving pictures: neither cover art nor thumbnails, and with a decoder."""
    still = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    moving = [
        stream
        for stream in container.streams.video
        if not stream.disposition & still and _decodable(stream) and stream.codec_context.width > 0
    ]
    return max(moving, key=lambda s: (bool(s.disposition & Disposition.default), -s.index), default=None)


def sound_stream(container: InputContainer) -> Any | None:
    """The sound track that a player would choose."""
    tracks = [stream for stream in container.streams.audio if _decodable(stream)]
    return max(tracks, key=lambda s: (bool(s.disposition & Disposition.default), -s.index), default=None)


def _decodable(stream: Any) -> bool:
    try:
        return bool(stream.codec_context and stream.codec_context.codec.is_decoder)
    except (av.error.FFmpegError, ValueError, AttributeError):
        return False


def true_duration(container: InputContainer, stream: Any, limits: Limits, path: Path) -> float | None:
    """Seconds from the first to the last packet, whatever the header says; None where nothing tells.

    Raises PermanentMediaError above the limit. Leaves the container at its start.
    """
    declared = None if container.duration is None else container.duration / MICROSECONDS
    measured = _end_seconds(container, stream, declared)
    seconds = declared if measured is None else measured
    if seconds is not None and seconds > limits.max_duration_seconds:
        raise PermanentMediaError(
            f"{path}: {seconds:.0f} seconds long, more than max_duration_seconds = {limits.max_duration_seconds:.0f}"
        )
    return seconds


def _end_seconds(container: InputContainer, stream: Any, declared: float | None) -> float | None:
    """Time of the stream's last packet, found by reading on from the last point that can be sought."""
    beyond = int(max(declared or 0, 30 * 24 * 3600) * MICROSECONDS)
    for target in (beyond, int((declared or 0) * MICROSECONDS)):
        try:
            container.seek(target, backward=True)
            end = _read_to_end(container, stream)
        except (av.error.FFmpegError, OSError):
            end = None
        finally:
            _rewind(container)
        if end is not None:
            return end
    return None


def _read_to_end(container: InputContainer, stream: Any) -> float | None:
    end = None
    for count, packet in enumerate(container.demux(stream)):
        if count > _END_PACKETS:
            return None
        if packet.pts is not None:
            last = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            end = last if end is None else max(end, last)
    return None if end is None else max(0.0, end - start_seconds(container))


def _rewind(container: InputContainer) -> None:
    try:
        container.seek(container.start_time or 0, backward=True)
    except (av.error.FFmpegError, OSError):
        return  # formats without seeking start again when they are opened again


def start_seconds(container: InputContainer) -> float:
    """Where the container's clock starts; times given to people count from there."""
    return (container.start_time or 0) / MICROSECONDS


def container_facts(container: InputContainer, path: Path) -> dict[str, Any]:
    """The fields of AssetFacts that the tags of a container tell."""
    tags = {key.lower(): value for key, value in container.metadata.items()}
    for stream in container.streams:  # Ogg keeps the tags of the file in its first stream
        for key, value in stream.metadata.items():
            tags.setdefault(key.lower(), value)
    latitude, longitude = _location(tags)
    make = tags.get("com.apple.quicktime.make") or tags.get("com.android.manufacturer") or tags.get("make")
    model = tags.get("com.apple.quicktime.model") or tags.get("com.android.model") or tags.get("model")
    language = tags.get("language")
    return {
        "captured_at": _captured_at(tags),
        "latitude": latitude,
        "longitude": longitude,
        "camera": " ".join(part.strip() for part in (make, model) if part) or None,
        "title": (tags.get("title") or "").strip() or None,
        "language": language if language not in (None, "", "und") else None,
    }


def asset_facts(container: InputContainer, path: Path, **more: Any) -> AssetFacts:
    """What the container says, with what the caller measured."""
    return AssetFacts(**{**container_facts(container, path), **more})


def _captured_at(tags: dict[str, str]) -> float | None:
    for key in ("com.apple.quicktime.creationdate", "creation_time", "date_recorded", "date", "tdrc"):
        value = tags.get(key, "").strip()
        if len(value) < len("2020-01-01"):
            continue  # a bare year is the year of publication
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            continue
        if time.year not in _EPOCH_YEARS:
            return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    return None


def _location(tags: dict[str, str]) -> tuple[float | None, float | None]:
    """ISO 6709, as phones write it: +27.5916+086.5640+8850/"""
    for key in ("com.apple.quicktime.location.iso6709", "location", "location-eng"):
        if match := _LOCATION.match(tags.get(key, "")):
            latitude, longitude = float(match[1]), float(match[2])
            if abs(latitude) <= 90 and abs(longitude) <= 180:
                return latitude, longitude
    return None, None
