"""Many channels of sound -> one, so that nothing that can be heard on one of them is lost.

Half of all phones write stereo, some with one channel upside down: their mean is silence. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from search.arrays import Float32Array
from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform

_BLOCK = SAMPLE_RATE_HZ // 2  # samples over which channels are compared
_FADE = SAMPLE_RATE_HZ // 100  # over which weights change, so that nothing clicks
_OPPOSED, _ALIGNED = -0.5, 0.3  # correlation at which a channel is turned over, and back: it stays as it is between
_SILENT = 1e-3  # share of the loudest channel's amplitude below which one counts for nothing
_BASS = "LFE"


class Downmixer:
    """Mixes the blocks of one track; remembers which channels stand upside down."""

    def __init__(self) -> None:
        self._signs: Float32Array = np.ones(0, np.float32)
        self._weights: Float32Array | None = None

    def mix(self, channels: Float32Array, names: Sequence[str] = ()) -> Waveform:
        """`(c, n)` to `(n,)` float32; the mean of the channels that sound, none of them against another."""
        if len(channels) == 1:
            mono: Waveform = channels[0]
            return mono
        if _BASS in names and len(names) == len(channels) > 2:
            channels = channels[[index for index, name in enumerate(names) if name != _BASS]]
        if len(self._signs) != len(channels):
            self._signs, self._weights = np.ones(len(channels), np.float32), None
        starts = range(0, channels.shape[1], _BLOCK)
        mixed = [self._block(channels[:, start : start + _BLOCK]) for start in starts]
        return np.concatenate(mixed) if mixed else np.zeros(0, np.float32)

    def _block(self, block: Float32Array) -> Waveform:
        block = np.nan_to_num(block, posinf=1, neginf=-1)
        levels = np.sqrt(np.square(block).mean(axis=1))
        reference = block[int(levels.argmax())] * self._signs[int(levels.argmax())]
        likeness = (block @ reference) / (levels * np.sqrt(np.square(reference).mean()) * block.shape[1] + 1e-12)
        self._signs = np.where(likeness < _OPPOSED, -1, np.where(likeness > _ALIGNED, 1, self._signs)).astype(
            np.float32
        )
        sounding = levels > _SILENT * max(float(levels.max()), 1e-12)
        weights = (self._signs * sounding / max(1, int(sounding.sum()))).astype(np.float32)
        before, self._weights = weights if self._weights is None else self._weights, weights
        mixed: Waveform = weights @ block
        fade = min(_FADE, block.shape[1])
        rising = np.linspace(0, 1, fade, dtype=np.float32)
        mixed[:fade] = rising * mixed[:fade] + (1 - rising) * (before @ block[:, :fade])
        return mixed
