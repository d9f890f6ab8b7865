"""Which frames of a video are worth keeping, and for which stretch of time each one stands.

Pure functions: small thumbnails with their times in, stretches out. Knows nothing of
files, decoders or encoders, and keeps one candidate at a time, however long the video is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

PayloadT = TypeVar("PayloadT")

MIN_STEP_SECONDS = 0.5  # candidates are never closer: a cut is found to a quarter of a second
THUMB_WIDTH, THUMB_HEIGHT = 64, 36
_GRID = 4  # cells a side in which colours are averaged
# Mean absolute difference of thumbnails, 0 to 255. Chosen on the videos of the benchmark: noise and
# compression stay below 4, a slow pan moves 8 to 20 a second, a cut 40 and more.
_SAME = 6.0
_DRIFTED = 16.0
_CUT = 28.0
LONGEST_STRETCH_SECONDS = 12.0  # a frame of a long shot that slowly changes stands for no more than this
_BLACK_LEVEL = 24.0  # video black is 16; fades stay a little above
_BLACK_SPREAD = 8.0


@dataclass(frozen=True)
class Candidate(Generic[PayloadT]):
    """A decoded frame with its thumbnail, `(36, 64, 3) uint8`."""

    seconds: float
    thumb: np.ndarray
    payload: PayloadT


@dataclass(frozen=True)
class Stretch(Generic[PayloadT]):
    """A frame and the time that it stands for."""

    start_seconds: float
    end_seconds: float
    payload: PayloadT


def candidate_step(duration_seconds: float | None, max_frames: int) -> float:
    """Seconds between candidates, so that even one frame each stays within the limit.

    Half a second up to a thousand seconds (at the default of 2,000), 18 s for ten hours: evenly over all of it.
    """
    return MIN_STEP_SECONDS if duration_seconds is None else max(MIN_STEP_SECONDS, duration_seconds / max_frames)


class FrameSelector(Generic[PayloadT]):
    """Takes candidates in time order; stretches come out that cover everything but black.

    One stretch a shot, more in shots that change.
    """

    def __init__(self) -> None:
        self._open: _Open[PayloadT] | None = None

    def feed(self, candidate: Candidate[PayloadT]) -> Iterator[Stretch[PayloadT]]:
        """The stretch that ends before this candidate, if one does."""
        current = self._open
        if current and current.holds(candidate):
            current.extend(candidate)
            return
        # A cut lies somewhere between two candidates.
        boundary = (current.last.seconds + candidate.seconds) / 2 if current else candidate.seconds
        if current:
            yield current.close(boundary)
        if is_black(candidate.thumb):
            self._open = None
        else:
            is_beginning = current is None and boundary <= MIN_STEP_SECONDS
            self._open = _Open(candidate, 0.0 if is_beginning else boundary)

    def finish(self, end_seconds: float | None) -> Iterator[Stretch[PayloadT]]:
        """The last stretch; it ends at `end_seconds`, or where its last candidate is."""
        if self._open:
            last = self._open.last.seconds
            yield self._open.close(last if end_seconds is None else max(last, end_seconds))
            self._open = None


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """How different two `(h, w, 3) uint8` thumbnails look, 0 to 255.

    The colours of a coarse grid count as much as the pixels.
    """
    a, b = a.astype(np.float32), b.astype(np.float32)
    return float(np.abs(a - b).mean() + np.abs(_cells(a) - _cells(b)).mean()) / 2


def is_black(thumb: np.ndarray) -> bool:
    """Whether an `(h, w, 3) uint8` thumbnail is black, or so nearly black that nothing can be seen (fades, leaders)."""
    return float(np.percentile(thumb, 99)) < _BLACK_LEVEL + _BLACK_SPREAD and float(thumb.mean()) < _BLACK_LEVEL


def _cells(thumb: np.ndarray) -> np.ndarray:
    height, width = thumb.shape[0] // _GRID, thumb.shape[1] // _GRID
    cells = thumb[: height * _GRID, : width * _GRID].reshape(_GRID, height, _GRID, width, 3)
    return np.asarray(cells.mean(axis=(1, 3)))


def _sharpness(thumb: np.ndarray) -> float:
    luma = thumb.astype(np.float32).mean(axis=2)
    return float(np.abs(np.diff(luma, axis=0)).mean() + np.abs(np.diff(luma, axis=1)).mean())


class _Open(Generic[PayloadT]):
    """A stretch that still grows, with the sharpest of its frames so far."""

    def __init__(self, first: Candidate[PayloadT], start_seconds: float) -> None:
        self.last = first
        self._first = first
        self._best = first
        self._sharpness = _sharpness(first.thumb)
        self._start = start_seconds

    def holds(self, candidate: Candidate[PayloadT]) -> bool:
        """Does the candidate show what this stretch shows?"""
        if is_black(candidate.thumb):
            return False
        from_best = difference(self._best.thumb, candidate.thumb)
        if from_best < _SAME:
            return True
        if difference(self.last.thumb, candidate.thumb) > _CUT or from_best > _DRIFTED:
            return False
        return candidate.seconds - self._start < LONGEST_STRETCH_SECONDS

    def extend(self, candidate: Candidate[PayloadT]) -> None:
        self.last = candidate
        sharpness = _sharpness(candidate.thumb)
        # A tenth sharper, not a hair: frames next to a cut are often half of both shots.
        if sharpness > 1.1 * self._sharpness and difference(self._first.thumb, candidate.thumb) < _DRIFTED:
            self._best, self._sharpness = candidate, sharpness

    def close(self, end_seconds: float) -> Stretch[PayloadT]:
        return Stretch(self._start, max(end_seconds, self._start), self._best.payload)
