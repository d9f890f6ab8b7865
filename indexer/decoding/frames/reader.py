"""Reaching frames at regular times in the cheapest way that a file allows.

Reads the layout of a file from its index, lets `seek_strategy` choose, and walks the file that way. Knows PyAV
and broken timestamps; knows nothing of what the frames show.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.stream import VideoStream

from indexer.decoding.container import MICROSECONDS, open_media, picture_stream, start_seconds
from indexer.decoding.frames.seek_strategy import Layout, SeekStrategy, aims, choose_strategy, decoder_threads
from indexer.decoding.items import Limits
from indexer.decoding.streams.clock import packets_in_time
from indexer.decoding.streams.damage import PacketCount
from search.errors import PermanentMediaError

_PROBE_PACKETS = 600  # read to learn the distance of keyframes where there is no index
_DEFAULT_RATE = 25.0
_EARLY_SECONDS, _EARLY_STEPS = 2.0, 2.5  # by which the last frame may stand before the end, in seconds and in steps
_MAX_DAMAGED_PACKETS = 500  # in a row


class FrameReader:
    """Iterates over `(seconds, frame)`, about one each `step_seconds`, in time order. Use once."""

    def __init__(
        self,
        path: Path,
        limits: Limits,
        duration_seconds: float | None,
        step_seconds: float,
        strategy: SeekStrategy | None = None,
        *,
        can_seek: bool = True,
    ) -> None:
        """`can_seek` is false of a file whose clock starts again: its times lead nowhere."""
        self._path, self._limits = path, limits
        self._duration, self._step = duration_seconds, step_seconds
        self._can_seek = can_seek
        self.strategy = strategy  # None until chosen from the file
        self.last_seconds = -1.0  # of the frames that have come
        self.tolerance_seconds = max(_EARLY_SECONDS, _EARLY_STEPS * step_seconds)
        self.packets = PacketCount()
        self._sent = 0

    def __iter__(self) -> Iterator[tuple[float, av.VideoFrame]]:
        with _open(self._path, self._limits) as container:
            stream = picture_stream(container)
            if stream is None:
                return
            layout = _layout(container, stream, self._duration, self._can_seek)
            self.strategy = self.strategy or choose_strategy(layout, self._step)
            if self.strategy is SeekStrategy.SEEK:
                try:
                    yield from self._thinned(self._seek(container, stream, layout))
                except (av.error.FFmpegError, OSError):
                    self.strategy = SeekStrategy.SEQUENTIAL  # a file that says it can seek, but can't
                if self._ends_early():  # an index that takes every frame for a key frame, or leads nowhere
                    self.strategy = SeekStrategy.SEQUENTIAL
        if self.strategy is not SeekStrategy.SEEK:
            # Opened afresh, because looking for the layout has moved the reader.
            with _open(self._path, self._limits) as container:
                stream = picture_stream(container)
                if stream is not None:
                    yield from self._thinned(self._forward(container, stream))

    def _ends_early(self) -> bool:
        return self._duration is not None and self._duration - self.last_seconds > self.tolerance_seconds

    def _thinned(self, frames: Iterator[tuple[float, av.VideoFrame]]) -> Iterator[tuple[float, av.VideoFrame]]:
        """Keeps to the limit even where the header lied about the duration."""
        for seconds, frame in frames:
            if seconds > self._limits.max_duration_seconds:
                limit = f"max_duration_seconds = {self._limits.max_duration_seconds:.0f}"
                raise PermanentMediaError(f"{self._path}: longer than {limit}")
            if seconds <= self.last_seconds:
                continue
            self.last_seconds = seconds
            self._sent += 1
            if self._sent >= self._limits.max_frames_per_asset:
                self._sent, self._step = self._sent // 2, self._step * 2
            yield seconds, frame

    def _forward(self, container: InputContainer, stream: VideoStream) -> Iterator[tuple[float, av.VideoFrame]]:
        tolerance = 1e-3
        if self.strategy is SeekStrategy.KEYFRAMES:
            stream.codec_context.skip_frame = "NONKEY"
            tolerance = self._step / 2
        clock = _Clock(container, stream, self._duration)
        wanted = 0.0
        for frame in _decoded(stream, packets_in_time(container, [stream]), self.packets):
            seconds = clock.read(frame)
            if seconds >= wanted - tolerance:
                yield seconds, _with_aspect(frame, stream)
                while wanted <= seconds + tolerance:
                    wanted += self._step

    def _seek(
        self, container: InputContainer, stream: VideoStream, layout: Layout
    ) -> Iterator[tuple[float, av.VideoFrame]]:
        assert layout.duration_seconds is not None
        offset = start_seconds(container)
        half_frame = 0.5 / layout.rate
        keys = layout.key_seconds
        at = -1.0
        frames: Iterator[av.VideoFrame] = iter(())
        for aim in aims(keys, self._step, layout.duration_seconds):
            key = keys[max(0, bisect.bisect_right(keys, aim + half_frame) - 1)]
            if key > at + half_frame or at < 0:
                container.seek(int((aim + half_frame + offset) * MICROSECONDS), backward=True)
                frames = _decoded(stream, container.demux(stream), self.packets)
            for frame in frames:
                at = (frame.time if frame.time is not None else aim + offset) - offset
                if at >= aim - half_frame:
                    yield max(0.0, at), _with_aspect(frame, stream)
                    break


def first_frame(container: InputContainer, stream: VideoStream) -> av.VideoFrame | None:
    """The first frame that can be decoded, for what only a frame tells: its size and how it is turned."""
    return next(
        (_with_aspect(frame, stream) for frame in _decoded(stream, container.demux(stream), PacketCount())), None
    )


def _open(path: Path, limits: Limits) -> Any:
    device = hardware_device(limits.hardware_decoding)
    options: dict[str, Any] = {"hwaccel": device} if device else {}
    return open_media(path, limits, **options)


def hardware_device(wanted: str) -> HWAccel | None:
    """The decoder hardware to try: `off`, a name such as `cuda` or `vaapi`, or `auto` for what is there.

    Where the hardware can't decode a file, ffmpeg falls back to software by itself.
    """
    nodes = {"cuda": Path("/dev/nvidia0"), "vaapi": Path("/dev/dri/renderD128")}
    names = [name for name, node in nodes.items() if node.exists()] if wanted == "auto" else [wanted]
    for name in names:
        if name == "off" or name not in av.codec.hwaccel.hwdevices_available():
            continue
        try:
            return HWAccel(device_type=name, allow_software_fallback=True)
        except (av.error.FFmpegError, ValueError, RuntimeError, OSError):
            continue
    return None


def _layout(container: InputContainer, stream: VideoStream, duration: float | None, can_seek: bool) -> Layout:
    rate = float(stream.average_rate or stream.guessed_rate or _DEFAULT_RATE)
    rate = rate if 0.01 < rate < 1000 else _DEFAULT_RATE
    offset = start_seconds(container)
    can_seek = _try_seek(container) and can_seek  # also makes Matroska read its index, which stands at the end
    base = float(stream.time_base or 0)
    keys = sorted(entry.timestamp * base - offset for entry in stream.index_entries if entry.is_keyframe)
    if (len(keys) < 2 or not can_seek) and duration:
        keys = _probe_keys(container, stream, duration)
        # What is guessed is good for a choice between decoding all and keyframes, not for jumping.
        can_seek = False
    return Layout([max(0.0, key) for key in keys], duration, rate, can_seek)


def _try_seek(container: InputContainer) -> bool:
    try:
        container.seek(int(start_seconds(container) * MICROSECONDS) + 1, backward=True)
    except (av.error.FFmpegError, OSError):
        return False
    return True


def _probe_keys(container: InputContainer, stream: VideoStream, duration: float) -> list[float]:
    """Keyframe times guessed from the widest distance in the first packets."""
    seen: list[float] = []
    try:
        for count, packet in enumerate(container.demux(stream)):
            if count >= _PROBE_PACKETS:
                break
            if packet.is_keyframe and packet.pts is not None:
                seen.append(float(packet.pts * packet.time_base))
    except (av.error.FFmpegError, OSError):
        return []
    widest = max((b - a for a, b in pairwise(seen)), default=0.0)
    return [number * widest for number in range(int(duration / widest) + 1)] if widest > 0 else []


def _decoded(stream: VideoStream, packets: Iterator[av.Packet[Any]], count: PacketCount) -> Iterator[av.VideoFrame]:
    """Frames as they come; damaged packets are skipped, and a file that ends early just ends."""
    if not stream.codec_context.is_open:
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = decoder_threads()
    while count.in_a_row < _MAX_DAMAGED_PACKETS:
        try:
            packet = next(packets)
        except (StopIteration, av.error.InvalidDataError, av.error.EOFError):
            return
        try:
            yield from packet.decode()
            count.add(is_good=True)
        except (av.error.FFmpegError, ValueError):
            count.add(is_good=False)


def _with_aspect(frame: av.VideoFrame, stream: VideoStream) -> av.VideoFrame:
    """Frames don't carry their pixel aspect ratio in PyAV, so it travels in their `opaque`."""
    frame.opaque = float(stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1)
    return frame


class _Clock:
    """Times of frames in decoding order; repairs what is missing, runs backwards or leaves the file."""

    def __init__(self, container: InputContainer, stream: VideoStream, duration: float | None) -> None:
        rate = float(stream.average_rate or stream.guessed_rate or _DEFAULT_RATE)
        self._frame_seconds = 1 / (rate if 0.01 < rate < 1000 else _DEFAULT_RATE)
        self._offset = start_seconds(container)
        self._end = duration
        self._last = -self._frame_seconds

    def read(self, frame: av.VideoFrame) -> float:
        expected = self._last + self._frame_seconds
        seconds = expected if frame.time is None else frame.time - self._offset
        if seconds <= self._last or (self._end is not None and seconds > self._end + 1):
            seconds = expected
        self._last = max(0.0, seconds)
        return self._last
