"""Which way through a video is the cheapest, for frames at regular times.

Three ways give the same frames at very different cost: decoding everything, decoding keyframes alone,
and jumping from one wanted time to the next. Which one is cheapest depends on how far apart the
keyframes and the wanted times are. Pure: knows no file and no decoder.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

_MAX_DECODER_THREADS = 4  # each thread of a frame-threaded decoder holds frames of its own
# In frames decoded, as benchmarks/frames.py measures it: what a jump costs besides (flushing, reading anew),
# and how much heavier keyframes are.
_JUMP_COST = 1.5
_KEYFRAME_COST = 1.5
_PACKET_COST = 0.02  # reading a packet without decoding it
# A cut is found to half of this anyway, so keyframes no further apart do instead of closer candidates.
_KEYFRAMES_CLOSE_SECONDS = 1.0


class SeekStrategy(StrEnum):
    """How frames are reached."""

    SEQUENTIAL = "sequential"
    KEYFRAMES = "keyframes"
    SEEK = "seek"


@dataclass(frozen=True)
class Layout:
    """Where the keyframes of a file are, and how many frames there are."""

    key_seconds: Sequence[float]  # in order; empty where nothing is known
    duration_seconds: float | None
    rate: float  # frames a second
    can_seek: bool


def choose_strategy(layout: Layout, step_seconds: float) -> SeekStrategy:
    """The cheapest way to a frame each `step_seconds`. Pure."""
    keys, duration = layout.key_seconds, layout.duration_seconds
    if duration is None or len(keys) < 2:
        return SeekStrategy.SEQUENTIAL
    costs = {SeekStrategy.SEQUENTIAL: duration * layout.rate / _threads_gain()}
    widest = max(b - a for a, b in zip(keys, [*keys[1:], max(duration, keys[-1])], strict=True))
    if widest <= max(step_seconds, _KEYFRAMES_CLOSE_SECONDS):
        costs[SeekStrategy.KEYFRAMES] = len(keys) * _KEYFRAME_COST + duration * layout.rate * _PACKET_COST
    if layout.can_seek:
        costs[SeekStrategy.SEEK] = _seek_cost(layout, step_seconds, duration)
    return min(costs, key=lambda strategy: costs[strategy])


def _seek_cost(layout: Layout, step: float, duration: float) -> float:
    cost, at = 0.0, -1.0
    for aim in aims(layout.key_seconds, step, duration):
        key = layout.key_seconds[max(0, bisect.bisect_right(layout.key_seconds, aim + 1e-6) - 1)]
        if key > at:
            cost += _JUMP_COST + _KEYFRAME_COST
            at = key
        cost += (aim - at) * layout.rate
        at = aim
    return cost


def aims(keys: Sequence[float], step: float, duration: float) -> Iterator[float]:
    """The wanted times; where a keyframe lies within half a step of one, its time instead. All in seconds."""
    for number in range(max(1, int(duration / step + 0.5))):
        target = number * step
        index = bisect.bisect_left(keys, target)
        near = min(keys[max(0, index - 1) : index + 1], key=lambda key: abs(key - target), default=None)
        yield near if near is not None and abs(near - target) < step / 2 else target


def decoder_threads() -> int:
    """Threads for one video decoder."""
    return min(_MAX_DECODER_THREADS, os.cpu_count() or 1)


def _threads_gain() -> float:
    return 1 + 0.6 * (decoder_threads() - 1)
