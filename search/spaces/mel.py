"""The log-mel spectrogram that every sound encoder starts from.

NumPy only. Agrees within 1e-3 with librosa's, as transformers computes it, and with what whisper was trained on: a test
checks both.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from search.arrays import Float32Array, Float64Array
from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform

WINDOW_SAMPLES = 400  # 25 ms
HOP_SAMPLES = 160  # 10 ms
FRAMES_PER_SECOND = SAMPLE_RATE_HZ // HOP_SAMPLES
BANDS = 80
LOWEST_HZ = 0.0
HIGHEST_HZ = SAMPLE_RATE_HZ / 2
POWER_FLOOR = 1e-10  # log10 of it is the value of silence
# Slaney's mel scale: linear below 1 kHz, logarithmic above.
_HZ_PER_LINEAR_MEL = 200 / 3
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_LINEAR_MEL
_LOG_STEP = np.log(6.4) / 27


def log_mel(waveform: Waveform) -> Float32Array:
    """`(n,) float32` at 16 kHz -> `(80, n // 160) float32`: log10 of the power in each band, at least -10."""
    if waveform.ndim != 1:
        raise ValueError(f"a waveform has one dimension, not {waveform.ndim}")
    frames = len(waveform) // HOP_SAMPLES
    if not frames:
        return np.empty((BANDS, 0), np.float32)
    half = WINDOW_SAMPLES // 2
    samples = waveform.astype(np.float32)
    # Too short to be mirrored: surrounded by silence instead.
    padded = np.pad(samples, half, mode="reflect") if len(samples) > half else np.pad(samples, half)
    pieces = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES][:frames]
    spectrum = np.fft.rfft(pieces * _window(), axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    bands = filterbank() @ power.T.astype(np.float32)
    return np.log10(np.maximum(bands, POWER_FLOOR)).astype(np.float32)


def whisper_features(mel: Float32Array) -> Float32Array:
    """As `log_mel`, scaled for whisper: the 80 dB below the loudest band become about -1 to 1."""
    return np.asarray((np.maximum(mel, mel.max(initial=-10.0) - 8.0) + 4.0) / 4.0)


@cache
def filterbank() -> Float32Array:
    """`(80, 201) float32`: triangles of equal area on Slaney's mel scale."""
    bins_hz = np.fft.rfftfreq(WINDOW_SAMPLES, 1 / SAMPLE_RATE_HZ)
    edges_hz = _to_hz(np.linspace(_to_mel(LOWEST_HZ), _to_mel(HIGHEST_HZ), BANDS + 2))
    widths = np.diff(edges_hz)
    distance = edges_hz[:, None] - bins_hz[None]
    rising = -distance[:-2] / widths[:-1, None]
    falling = distance[2:] / widths[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return (triangles * (2 / (edges_hz[2:] - edges_hz[:-2]))[:, None]).astype(np.float32)


def _to_mel(hz: float) -> float:
    return hz / _HZ_PER_LINEAR_MEL if hz < _BREAK_HZ else _BREAK_MEL + float(np.log(hz / _BREAK_HZ)) / _LOG_STEP


def _to_hz(mels: Float64Array) -> Float64Array:
    return np.where(mels < _BREAK_MEL, mels * _HZ_PER_LINEAR_MEL, _BREAK_HZ * np.exp(_LOG_STEP * (mels - _BREAK_MEL)))


@cache
def _window() -> Float32Array:
    """Hann, periodic."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW_SAMPLES) / WINDOW_SAMPLES)).astype(np.float32)
