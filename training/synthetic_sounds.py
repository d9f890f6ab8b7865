"""Sounds that need no recording: silence, noise, tones and simple music, for training only."""

from __future__ import annotations

import numpy as np

from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform

SECONDS = 5
PER_LABEL = 16
_FOLDS = 4
_SAMPLES = SECONDS * SAMPLE_RATE_HZ
_TIMES = np.arange(_SAMPLES) / SAMPLE_RATE_HZ
_SCALE = (0, 2, 4, 5, 7, 9, 11)  # semitones


def synthetic(random: np.random.Generator) -> list[tuple[str, int, Waveform]]:
    """(label, fold, waveform) for each sound made here."""
    makers = {"silence": _silence, "noise": _noise, "tone": _tone, "synthetic music": _music}
    return [
        (label, number % _FOLDS, make(random).clip(-1, 1).astype(np.float32))
        for label, make in makers.items()
        for number in range(PER_LABEL)
    ]


def _silence(random: np.random.Generator) -> np.ndarray:
    """Digital silence, or the faint hiss of a quiet room."""
    return random.normal(size=_SAMPLES) * 10 ** random.uniform(-6, -4) * (random.random() < 0.8)


def _noise(random: np.random.Generator) -> np.ndarray:
    """White to brown noise."""
    spectrum = np.fft.rfft(random.normal(size=_SAMPLES))
    frequencies = np.maximum(np.fft.rfftfreq(_SAMPLES, 1 / SAMPLE_RATE_HZ), 20)
    noise = np.fft.irfft(spectrum * frequencies ** -random.uniform(0, 1), _SAMPLES)
    return np.asarray(noise / np.abs(noise).max() * random.uniform(0.05, 0.9))


def _tone(random: np.random.Generator) -> np.ndarray:
    """One tone, held or beeping."""
    tone = np.sin(2 * np.pi * 10 ** random.uniform(2.2, 3.6) * _TIMES)
    if random.random() < 0.6:
        tone = tone * ((_TIMES * random.uniform(0.7, 5)) % 1 < random.uniform(0.2, 0.7))
    return tone * random.uniform(0.1, 0.9)


def _music(random: np.random.Generator) -> np.ndarray:
    """A melody over chords, plucked or held, sometimes with a beat."""
    beat = 60 / random.uniform(80, 150)
    root = 110 * 2 ** (random.integers(0, 12) / 12)
    out = np.zeros(_SAMPLES)
    for number in range(int(SECONDS / beat) + 1):
        at = number * beat
        step = int(random.integers(0, 7))
        out += _note(root * 2 ** (1 + _SCALE[step] / 12), at, beat * 1.8, random)
        if number % 4 == 0:
            for third in (0, 2, 4):
                out += 0.6 * _note(root * 2 ** (_SCALE[(step + third) % 7] / 12), at, beat * 4, random)
        if number % 2 == 0:
            out += 0.5 * _drum(at, random)
    return np.asarray(out / np.abs(out).max() * random.uniform(0.3, 0.9))


def _note(hertz: float, at: float, seconds: float, random: np.random.Generator) -> np.ndarray:
    since = _TIMES - at
    partials = sum(np.sin(2 * np.pi * hertz * k * since) / k ** random.uniform(1.2, 2) for k in range(1, 6))
    return np.where((since >= 0) & (since < seconds), partials * np.exp(-since.clip(0) * 3 / seconds), 0)


def _drum(at: float, random: np.random.Generator) -> np.ndarray:
    since = (_TIMES - at).clip(0)
    return np.where(at <= _TIMES, np.exp(-since * 25) * random.normal(size=_SAMPLES), 0)
