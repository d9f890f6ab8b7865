"""Sounds in recordings and videos: stretches of time that sound alike, each with a window to embed.

Follows the spectrogram and cuts where it changes; quiet stretches and repeats are skipped, so that an
hour of rain is a few segments and an hour of silence none. Knows the spectrogram; knows no encoder.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from indexer.decoding.items import SegmentDraft, SoundItem
from search.signals import Signal
from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform
from search.spaces.mel import BANDS, FRAMES_PER_SECOND, log_mel

WINDOW_SECONDS = 5.0  # what the encoder listens to at once
BLOCK_SECONDS = 0.5  # times are found to this
CONTEXT_BLOCKS = 5  # compared on each side of a place: 2.5 s, so that single barks of a dog stay together
LONGEST_SECONDS = 60.0
SHORTEST_SECONDS = 1.0
GROUP_SECONDS = 120.0  # of sound kept before it is cut

_BLOCK_SAMPLES = int(BLOCK_SECONDS * SAMPLE_RATE_HZ)
_BLOCK_FRAMES = int(BLOCK_SECONDS * FRAMES_PER_SECOND)
# Root-mean-square amplitude of a block below which there is nothing to hear: -60 dB.
_QUIET = 1e-3
_FLOOR = -5.0  # log10 power below which a band is silent: digital silence must not be further away than quiet
_MIN_BLOCKS = 4  # on both sides of a change, so that a single bark is not one
_LONG_QUIET_BLOCKS = 3  # pauses from here on end a segment
# Distances between mean log10 spectra, in bels a band. Chosen on joined clips of the training sounds.
_CHANGE = 0.55
_SAME_SEGMENT = 0.30  # neighbours closer than this should not have been cut
_REPEAT = 0.04  # only a copy of the same recording is this close
_REMEMBERED = 256  # segments compared with for repeats


@dataclass(frozen=True)
class _Stretch:
    """Blocks from `start` up to `end`."""

    start: int
    end: int


class SoundSegmenter:
    """Turns the sound track of one asset into drafts of sound. Not thread-safe; one per asset."""

    def __init__(self) -> None:
        self._waiting: list[Waveform] = []
        self._samples = 0
        self._start = 0  # sample of the recording at which the waiting ones begin
        self._remembered: deque[np.ndarray] = deque(maxlen=_REMEMBERED)

    def feed(self, item: object) -> Iterator[SegmentDraft]:
        """Take the next piece of the sound track."""
        if not isinstance(item, SoundItem):
            return
        self._waiting.append(item.waveform)
        self._samples += len(item.waveform)
        if self._samples >= GROUP_SECONDS * SAMPLE_RATE_HZ:
            yield from self._cut(last=False)

    def finish(self) -> Iterator[SegmentDraft]:
        """Drafts of the rest."""
        if self._samples:
            yield from self._cut(last=True)

    def _cut(self, *, last: bool) -> Iterator[SegmentDraft]:
        waveform = np.concatenate(self._waiting)
        stretches, blocks = find_stretches(waveform)
        whole = len(waveform) // _BLOCK_SAMPLES * _BLOCK_SAMPLES
        done = len(waveform) if last else whole
        # The last stretch may go on in the next group, unless it is as long as a segment may be.
        if not last and stretches and len(blocks) - stretches[-1].end < _LONG_QUIET_BLOCKS:
            tail = stretches[-1]
            if (tail.end - tail.start) * BLOCK_SECONDS < LONGEST_SECONDS:
                done = tail.start * _BLOCK_SAMPLES
                stretches = stretches[:-1]
        for stretch in stretches:
            yield from self._draft(stretch, waveform, blocks)
        rest = waveform[done:].copy()
        self._waiting, self._samples = [rest], len(rest)
        self._start += done

    def _draft(self, stretch: _Stretch, waveform: Waveform, blocks: np.ndarray) -> Iterator[SegmentDraft]:
        spectrum = blocks[stretch.start : stretch.end].mean(axis=0)
        if any(np.abs(spectrum - other).mean() < _REPEAT for other in self._remembered):
            return
        self._remembered.append(spectrum)
        first, end = stretch.start * _BLOCK_SAMPLES, min(stretch.end * _BLOCK_SAMPLES, len(waveform))
        window = _typical_window(waveform[first:end], blocks[stretch.start : stretch.end], spectrum)
        yield SegmentDraft(
            Signal.SOUND,
            (self._start + first) / SAMPLE_RATE_HZ,
            (self._start + end) / SAMPLE_RATE_HZ,
            details={"loudness_db": round(_decibels(window), 1)},
            sound=window,
        )


def find_stretches(waveform: Waveform) -> tuple[list[_Stretch], np.ndarray]:
    """`(n,) float32` at 16 kHz -> stretches that sound alike, and mean spectra of their blocks, `(m, 80) float32`."""
    count = max(1, len(waveform) // _BLOCK_SAMPLES)
    padded = np.pad(waveform, (0, max(0, count * _BLOCK_SAMPLES - len(waveform))))[: count * _BLOCK_SAMPLES]
    level = np.sqrt(np.square(padded.reshape(count, -1)).mean(axis=1))
    mel = np.maximum(log_mel(padded)[:, : count * _BLOCK_FRAMES], _FLOOR)
    blocks = mel.reshape(BANDS, count, _BLOCK_FRAMES).mean(axis=2).T
    stretches: list[_Stretch] = []
    for start, end in _loud_runs(level > _QUIET):
        cuts = [start, *_changes(blocks, start, end), end]
        pieces = [_Stretch(a, b) for a, b in itertools.pairwise(cuts) if b > a]
        stretches += _split(_joined(pieces, blocks))
    return [s for s in stretches if (s.end - s.start) * BLOCK_SECONDS >= SHORTEST_SECONDS or count <= 2], blocks


def _loud_runs(loud: np.ndarray) -> list[tuple[int, int]]:
    """Runs of blocks that can be heard; short pauses stay inside."""
    runs: list[tuple[int, int]] = []
    for block in np.flatnonzero(loud):
        if runs and block - runs[-1][1] < _LONG_QUIET_BLOCKS:
            runs[-1] = (runs[-1][0], int(block) + 1)
        else:
            runs.append((int(block), int(block) + 1))
    return runs


def _changes(blocks: np.ndarray, start: int, end: int) -> list[int]:
    """Places where what follows sounds different from what came before."""
    sums = np.concatenate([np.zeros((1, BANDS)), np.cumsum(blocks[start:end], axis=0, dtype=np.float64)])
    length = end - start
    distances = np.zeros(length)
    for block in range(_MIN_BLOCKS, length - _MIN_BLOCKS + 1):
        before, after = max(0, block - CONTEXT_BLOCKS), min(length, block + CONTEXT_BLOCKS)
        left = (sums[block] - sums[before]) / (block - before)
        right = (sums[after] - sums[block]) / (after - block)
        distances[block] = np.abs(left - right).mean()
    peaks = [
        block
        for block in range(_MIN_BLOCKS, length - _MIN_BLOCKS + 1)
        if distances[block] > _CHANGE
        and distances[block] >= distances[max(0, block - CONTEXT_BLOCKS) : block + CONTEXT_BLOCKS + 1].max()
    ]
    return [start + block for block in peaks]


def _joined(pieces: Sequence[_Stretch], blocks: np.ndarray) -> list[_Stretch]:
    """Neighbours that sound alike as wholes become one."""
    joined: list[_Stretch] = []
    for piece in pieces:
        if joined:
            before = blocks[joined[-1].start : joined[-1].end].mean(axis=0)
            if np.abs(before - blocks[piece.start : piece.end].mean(axis=0)).mean() < _SAME_SEGMENT:
                joined[-1] = _Stretch(joined[-1].start, piece.end)
                continue
        joined.append(piece)
    return joined


def _split(stretches: Sequence[_Stretch]) -> Iterator[_Stretch]:
    """No stretch longer than a segment may be; the parts are equally long."""
    longest = int(LONGEST_SECONDS / BLOCK_SECONDS)
    for stretch in stretches:
        parts = -(-(stretch.end - stretch.start) // longest)
        edges = np.linspace(stretch.start, stretch.end, parts + 1).astype(int)
        yield from (_Stretch(int(a), int(b)) for a, b in itertools.pairwise(edges))


def _typical_window(waveform: Waveform, blocks: np.ndarray, spectrum: np.ndarray) -> Waveform:
    """The 5 s that sound most like the whole stretch."""
    length = int(WINDOW_SECONDS / BLOCK_SECONDS)
    if len(blocks) <= length:
        return waveform
    sums = np.concatenate([np.zeros((1, BANDS)), np.cumsum(blocks, axis=0, dtype=np.float64)])
    means = (sums[length:] - sums[:-length]) / length
    first = int(np.abs(means - spectrum).mean(axis=1).argmin()) * _BLOCK_SAMPLES
    return waveform[first : first + int(WINDOW_SECONDS * SAMPLE_RATE_HZ)].copy()


def _decibels(waveform: Waveform) -> float:
    return 20 * float(np.log10(np.sqrt(np.square(waveform).mean()) + 1e-9))
