"""One clock for a recording whose own clock starts again or jumps, as a player shows it.

Joined MPEG-TS, VOB and FLAC files, chained Ogg, dumps of streams: each part brings its own times. What follows a jump
continues where everything before it ended, alike for sound, pictures and duration, because all read their packets
here. Knows packets and their times; decodes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import av
from av.container import InputContainer

# Formats whose clock may start again, and how far ahead it may jump within one part (as ffmpeg's own tools have it
# for MPEG; elsewhere a long hole is a hole).
_JUMPS = {"mpegts": 10.0, "mpeg": 10.0, "ogg": math.inf, "flv": math.inf, "flac": math.inf}
_BACK_SECONDS = 0.5  # packets of one stream stand closer to their order than that
_NEAR_SECONDS = 2.0  # streams of one part begin that close to each other


class Timeline:
    """Where the times of each stream stand on the clock that a player shows."""

    def __init__(self, jump_seconds: float) -> None:
        self._jump = jump_seconds
        self._shifts = [0.0]  # of every part so far
        self._shift: dict[int, float] = {}  # of each stream's part
        self._last: dict[int, float] = {}  # start and end of each stream's last packet, on the shown clock
        self._end: dict[int, float] = {}

    @property
    def restarts(self) -> int:
        """How often the clock has started again."""
        return len(self._shifts) - 1

    def shift(self, stream: int, seconds: float, length: float) -> float:
        """What to add to the time of this stream's next packet, in decoding order."""
        shift = self._shift.get(stream, self._shifts[-1])
        if stream in self._last and self._is_elsewhere(stream, seconds + shift):
            shift = self._known(stream, seconds)
        self._shift[stream] = shift
        self._last[stream] = seconds + shift
        self._end[stream] = max(self._end.get(stream, -math.inf), seconds + shift + length)
        return shift

    def _is_elsewhere(self, stream: int, seconds: float) -> bool:
        return seconds < self._last[stream] - _BACK_SECONDS or seconds > self._end[stream] + self._jump

    def _known(self, stream: int, seconds: float) -> float:
        """The shift of a part that another stream has reached already (or not left yet), or that of a new one."""
        for shift in reversed(self._shifts):
            if -_BACK_SECONDS <= seconds + shift - self._last[stream] <= _NEAR_SECONDS:
                return shift
        self._shifts.append(max(self._end.values()) - seconds)
        return self._shifts[-1]


def may_restart(container: InputContainer) -> bool:
    """Is this a format whose clock may start again?"""
    return container.format.name in _JUMPS


def packets_in_time(
    container: InputContainer, streams: Sequence[Any], timeline: Timeline | None = None
) -> Iterator[av.Packet[Any]]:
    """The packets of these streams from where the container stands, their times those that a player shows.

    Where a clock may start again, every stream of sound and pictures is watched: the end of one tells of the other.
    """
    if not may_restart(container):
        yield from container.demux(streams)
        return
    wanted = {stream.index for stream in streams}
    timeline = timeline or timeline_of(container)
    for packet in container.demux([*container.streams.video, *container.streams.audio]):
        base = packet.time_base
        time = packet.dts if packet.dts is not None else packet.pts
        if time is not None:
            length = float((packet.duration or 0) * base)
            shift = timeline.shift(packet.stream.index, float(time * base), length)
            if ticks := round(shift / float(base)):
                packet.pts = None if packet.pts is None else packet.pts + ticks
                packet.dts = None if packet.dts is None else packet.dts + ticks
        if packet.stream.index in wanted:
            yield packet


def timeline_of(container: InputContainer) -> Timeline:
    """A new one, for the format of the container."""
    return Timeline(_JUMPS.get(container.format.name, math.inf))
