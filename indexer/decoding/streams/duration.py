"""How long a recording is, whatever its header says.

Reads packets, decodes nothing. Runs in the killable child process.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from indexer.decoding.container import MICROSECONDS, open_media, picture_streams, start_seconds
from indexer.decoding.items import Limits, StillWorking
from indexer.decoding.streams.clock import may_restart, packets_in_time, timeline_of
from indexer.decoding.streams.ogg_links import PartOfFile, Range, links
from search.errors import PermanentMediaError

_END_PACKETS = 20_000  # packets read behind the last seek point to find the true end
_SIGN_OF_LIFE_SECONDS = 5.0


@dataclass(frozen=True)
class Duration:
    """Seconds from the first packet to the end of the last; None where nothing tells."""

    seconds: float | None
    ends: Mapping[int, float] = field(default_factory=dict)  # of the streams of which it was found, by their index
    restarts: int = 0  # how often its clock starts again


def true_duration(
    container: InputContainer, streams: Sequence[Any], limits: Limits, path: Path
) -> Generator[StillWorking, None, Duration]:
    """Found from the packets of these streams. Leaves the container at its start.

    Raises PermanentMediaError above the limit.
    """
    parts = links(path) if container.format.name == "ogg" and not picture_streams(container) else []
    if len(parts) > 1:
        duration = yield from _read_links(path, limits, parts)
    elif may_restart(container):
        duration = yield from _read_all(container, streams)
    elif ends := _last_ends(container, streams):
        duration = Duration(max(ends.values()), ends)
    else:  # an index that leads behind the end of a file that was cut
        duration = yield from _read_all(container, streams)
    if duration.seconds is not None and duration.seconds > limits.max_duration_seconds:
        limit = f"max_duration_seconds = {limits.max_duration_seconds:.0f}"
        raise PermanentMediaError(f"{path}: {duration.seconds:.0f} seconds long, more than {limit}")
    return duration


def _read_links(path: Path, limits: Limits, parts: Sequence[Range]) -> Generator[StillWorking, None, Duration]:
    """Of a chained Ogg, each link by itself."""
    seconds = 0.0
    for part in parts:
        with closing(PartOfFile(path, part)) as file, open_media(path, limits, file) as container:
            link = yield from _read_all(container, container.streams.audio)
            seconds += link.seconds or 0.0
    return Duration(seconds, restarts=len(parts) - 1)


def _read_all(container: InputContainer, streams: Sequence[Any]) -> Generator[StillWorking, None, Duration]:
    """Where a clock may start again, and where nothing else helps, only all packets tell."""
    timeline, told = timeline_of(container), time.monotonic()
    ends = _Ends(container)
    try:
        for packet in packets_in_time(container, streams, timeline):
            ends.add(packet)
            if time.monotonic() - told > _SIGN_OF_LIFE_SECONDS:
                yield StillWorking()
                told = time.monotonic()
    except (av.error.FFmpegError, OSError):
        pass  # a file that ends early just ends
    finally:
        _rewind(container)
    declared = None if container.duration is None else container.duration / MICROSECONDS
    return Duration(max(ends.seconds.values(), default=declared), ends.seconds, timeline.restarts)


def _last_ends(container: InputContainer, streams: Sequence[Any]) -> dict[int, float]:
    """The ends of the streams' last packets, found by reading on from the last point that can be sought."""
    declared = 0 if container.duration is None else container.duration
    for target in (max(declared, 30 * 24 * 3600 * MICROSECONDS), declared):
        try:
            container.seek(target, backward=True)
            ends = _read_to_end(container, container.demux(streams))
        except (av.error.FFmpegError, OSError):
            ends = {}
        finally:
            _rewind(container)
        if ends:
            return ends
    return {}


def _read_to_end(container: InputContainer, packets: Iterable[av.Packet[Any]]) -> dict[int, float]:
    ends = _Ends(container)
    for count, packet in enumerate(packets):
        if count > _END_PACKETS:
            return {}
        ends.add(packet)
    return ends.seconds


class _Ends:
    """The latest end of a packet of each stream, on a clock that starts with the container's."""

    def __init__(self, container: InputContainer) -> None:
        self._offset = start_seconds(container)
        self.seconds: dict[int, float] = {}

    def add(self, packet: av.Packet[Any]) -> None:
        if packet.pts is not None:
            end = max(0.0, float((packet.pts + (packet.duration or 0)) * packet.time_base) - self._offset)
            self.seconds[packet.stream.index] = max(end, self.seconds.get(packet.stream.index, 0.0))


def _rewind(container: InputContainer) -> None:
    try:
        container.seek(container.start_time or 0, backward=True)
    except (av.error.FFmpegError, OSError):
        return  # formats without seeking start again when they are opened again
