"""Pictures of sound: the spectrogram that encoders see, and the waveform that people know.

Pure NumPy. The waveform is drawn from a stream, so a day of sound takes no more memory than a second.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from search.spaces.inputs import Picture, Waveform
from search.spaces.mel import log_mel

SPECTROGRAM_HEIGHT = 160
WAVEFORM_HEIGHT = 120
WIDTH = 640
_PEAKS_PER_COLUMN = 64  # kept while a sound is read: the place of a peak is true to a 32nd of a column
_RANGE_BELS = 8.0  # 80 dB below the loudest are shown
# Black over violet and orange to pale yellow: brightness rises evenly, so it also reads in grey.
_COLOURS = np.array(
    [
        [0, 0, 4],
        [40, 11, 84],
        [101, 21, 110],
        [159, 42, 99],
        [212, 72, 66],
        [245, 125, 21],
        [250, 193, 39],
        [252, 255, 164],
    ],
    np.float32,
)
_LINE = np.array([59, 130, 246, 255], np.uint8)  # seen on white and on black


def spectrogram_picture(waveform: Waveform, width: int = WIDTH) -> Picture:
    """`(160, width, 3) uint8`: time to the right, pitch upwards."""
    mel = log_mel(waveform)
    if not mel.shape[1]:
        return np.zeros((SPECTROGRAM_HEIGHT, width, 3), np.uint8)
    top = mel.max()
    level = np.clip((mel - (top - _RANGE_BELS)) / _RANGE_BELS, 0, 1) if top > -9.9 else np.zeros_like(mel)
    columns = _averaged(level, width)
    rows = np.repeat(columns[::-1], SPECTROGRAM_HEIGHT // len(columns), axis=0)
    shade = rows * (len(_COLOURS) - 1)
    below = np.minimum(shade.astype(int), len(_COLOURS) - 2)
    part = (shade - below)[..., None]
    return np.asarray(_COLOURS[below] * (1 - part) + _COLOURS[below + 1] * part, np.uint8)


def _averaged(level: np.ndarray, width: int) -> np.ndarray:
    """Columns averaged (or repeated) to `width`."""
    frames = level.shape[1]
    if frames <= width:
        return level[:, np.arange(width) * frames // width]
    edges = np.arange(width) * frames // width
    return np.add.reduceat(level, edges, axis=1) / np.diff([*edges, frames])


def waveform_picture(pieces: Iterable[Waveform], width: int = WIDTH) -> np.ndarray:
    """`(120, width, 4) uint8`, transparent around the curve, from pieces of any length."""
    peaks = _columns(_peaks(pieces, _PEAKS_PER_COLUMN * width), width)
    half = WAVEFORM_HEIGHT / 2
    # Loudness is heard on a curved scale; the root keeps quiet speech visible beside a shout.
    heights = np.maximum(1, np.sqrt(peaks / max(float(peaks.max()), 1e-4)) * (half - 2))
    distance = np.abs(np.arange(WAVEFORM_HEIGHT) + 0.5 - half)[:, None]
    picture = np.zeros((WAVEFORM_HEIGHT, width, 4), np.uint8)
    picture[distance <= heights[None]] = _LINE
    return picture


def _peaks(pieces: Iterable[Waveform], most: int) -> np.ndarray:
    """`(n,) float32`, n <= most: the peaks of equal stretches, however long the sound turns out to be."""
    stretch = 1  # samples; doubles whenever there are too many
    peaks = rest = np.zeros(0, np.float32)
    for piece in pieces:
        rest = np.concatenate([rest, np.abs(piece)])
        whole = len(rest) // stretch * stretch
        peaks = np.concatenate([peaks, rest[:whole].reshape(-1, stretch).max(axis=1)])
        rest = rest[whole:]
        while len(peaks) > most:
            odd = peaks[len(peaks) // 2 * 2 :]
            peaks = peaks[: len(peaks) // 2 * 2].reshape(-1, 2).max(axis=1)
            rest = np.concatenate([np.repeat(odd, stretch), rest])  # half of the next stretch
            stretch *= 2
    return np.append(peaks, rest.max()) if len(rest) else peaks


def _columns(peaks: np.ndarray, width: int) -> np.ndarray:
    """Peaks gathered (or repeated) to `width`; silence where there are none."""
    if len(peaks) <= width:
        return peaks[np.arange(width) * len(peaks) // width] if len(peaks) else np.zeros(width, np.float32)
    return np.maximum.reduceat(peaks, np.arange(width) * len(peaks) // width)
