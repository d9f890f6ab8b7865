"""Sounds projected into the sentence space: whisper's encoder hears, a small trained head names.

Whisper was trained on everything that people upload, so its encoder knows dogs and rain as well as
words. Mean and deviation of its states over 5 s windows, with statistics of the spectrogram, go
through a head that was trained by `training/sounds.py`; its record lies beside the weights. Knows
CTranslate2 and the head's layout; knows nothing of segments.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors.numpy import load_file

from search.arrays import Float32Array
from search.settings import Settings
from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform
from search.spaces.mel import BANDS, FRAMES_PER_SECOND, log_mel, whisper_features
from search.spaces.space import unit_rows
from search.spaces.starter import SoundPart
from search.spaces.weights import file_sha256, shipped
from search.spaces.whisper_weights import MODEL_SHA256, unpacked_whisper

HEAD = "sound.safetensors"
WINDOW_SECONDS = 5
WINDOW_SAMPLES = WINDOW_SECONDS * SAMPLE_RATE_HZ
MAX_WINDOWS = 6  # of one sound, spread evenly over it: a longer one is a mixture anyway
STATES = 512  # width of whisper base
FRAMES = WINDOW_SECONDS * FRAMES_PER_SECOND // 2  # that the encoder makes of a window: it halves the rate
FEATURES = 2 * STATES + 4 * BANDS + 3
_BATCH = 8  # windows that go through the encoder together
_QUIET_PEAK = 1e-4  # -80 dB


def sound_part(settings: Settings) -> SoundPart:
    """The slot of the starter space, filled; loads nothing yet."""
    return SoundPart(
        models=(("sound", MODEL_SHA256), ("sound head", file_sha256(shipped(HEAD)))),
        preprocessing=f"log-mel {BANDS} bands, windows of {WINDOW_SECONDS} s",
        load=lambda: SoundEncoder.load(settings),
    )


class SoundFeatures:
    """What is heard in a window, before any training of ours. Thread-safe."""

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder

    @classmethod
    def load(cls, models: Path, threads: int) -> Self:
        """Whisper base through CTranslate2, 8-bit weights. Raises SpaceError."""
        import ctranslate2

        folder = unpacked_whisper(models)
        return cls(ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="int8", intra_threads=threads))

    def __call__(self, windows: Sequence[Waveform]) -> np.ndarray:
        """Windows of at most 5 s -> `(n, FEATURES) float32`."""
        rows = [_row(states, mel) for states, mel in self._heard(windows)]
        return np.stack(rows) if rows else np.empty((0, FEATURES), np.float32)

    def states(self, windows: Sequence[Waveform]) -> Float32Array:
        """What the encoder makes of windows of at most 5 s: `(n, 250, 512) float32`, 20 ms a row."""
        states = [states for states, _ in self._heard(windows)]
        return np.stack(states) if states else np.empty((0, FRAMES, STATES), np.float32)

    def _heard(self, windows: Sequence[Waveform]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """States and log-mel spectrogram of each window."""
        for start in range(0, len(windows), _BATCH):
            mels = [log_mel(_whole(window)) for window in windows[start : start + _BATCH]]
            yield from zip(self._encoded(np.stack([whisper_features(mel) for mel in mels])), mels, strict=True)

    def _encoded(self, features: np.ndarray) -> np.ndarray:
        import ctranslate2

        view = ctranslate2.StorageView.from_array(np.ascontiguousarray(features, np.float32))
        return np.array(self._encoder.encode(view, to_cpu=True), dtype=np.float32)


def _whole(window: Waveform) -> Waveform:
    """A window of 5 s at one loudness: a shorter sound is repeated, because silence after it would be heard too."""
    window = window[:WINDOW_SAMPLES]
    if not len(window):
        return np.zeros(WINDOW_SAMPLES, np.float32)
    repeats = -(-WINDOW_SAMPLES // len(window))
    return np.tile(window, repeats)[:WINDOW_SAMPLES] if repeats > 1 else window


def _row(states: np.ndarray, mel: np.ndarray) -> np.ndarray:
    """`(frames, 512)` states and `(80, frames)` log-mel -> one row of features."""
    loudness = mel.mean(axis=0)
    level = np.array([loudness.mean(), loudness.std(), mel.max()], np.float32)
    shape = mel - mel.mean()  # how loud it is stands in `level` alone
    steps = np.abs(np.diff(mel, axis=1))
    texture = [shape.mean(axis=1), mel.std(axis=1), steps.mean(axis=1), np.percentile(shape, 95, axis=1)]
    return np.concatenate([states.mean(axis=0), states.std(axis=0), *texture, level]).astype(np.float32)


class SoundHead:
    """Features -> the sentence space. Two views are blended.

    A classifier's probabilities mix the vectors of the labels (ConSE, arXiv 1312.5650): sharp for sounds it
    knows. A linear map goes straight to the space: it keeps what lies between the labels.
    """

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        """As `training.sounds.fit` returns them."""
        self._weights = {name: value.astype(np.float32) for name, value in weights.items()}

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """`(n, FEATURES) float32` -> `(n, 384) float32`, unit rows."""
        w = self._weights
        reduced = ((features - w["mean"]) / w["deviation"]) @ w["basis"]
        direct = unit_rows(reduced @ w["map"] + w["map_bias"])
        scores = (reduced @ w["classes"] + w["classes_bias"]) / w["temperature"]
        probabilities = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        named = unit_rows(probabilities @ w["labels"])
        return unit_rows(w["blend"] * named + (1 - w["blend"]) * direct)


class SoundEncoder:
    """Sounds of any length -> vectors. Thread-safe."""

    def __init__(self, features: SoundFeatures, head: SoundHead) -> None:
        self._features = features
        self._head = head
        self._lock = threading.Lock()  # CTranslate2 would queue them anyway, and memory stays bounded

    @classmethod
    def load(cls, settings: Settings) -> Self:
        """The shipped head on the embedded whisper. Raises SpaceError."""
        threads = settings.threads or os.cpu_count() or 1
        return cls(SoundFeatures.load(settings.models, threads), SoundHead(load_file(shipped(HEAD))))

    def encode(self, waveforms: Sequence[Waveform]) -> np.ndarray:
        """`(len(waveforms), 384) float32`, unit rows: the mean over a sound's windows."""
        if not waveforms:
            return np.empty((0, self._head(np.zeros((1, FEATURES), np.float32)).shape[1]), np.float32)
        pieces = [windows(waveform) for waveform in waveforms]
        with self._lock:
            vectors = self._head(self._features([window for piece in pieces for window in piece]))
        ends = np.cumsum([len(piece) for piece in pieces])
        return unit_rows(np.stack([rows.mean(axis=0) for rows in np.split(vectors, ends[:-1])]))


def windows(waveform: Waveform, samples: int = WINDOW_SAMPLES) -> list[Waveform]:
    """At most MAX_WINDOWS windows of that many samples, spread evenly; quiet ones only where all are quiet."""
    count = max(1, round(len(waveform) / samples))
    starts = np.linspace(0, max(0, len(waveform) - samples), min(count, MAX_WINDOWS)).astype(int)
    cut = [waveform[start : start + samples] for start in starts]
    loud = [window for window in cut if len(window) and np.abs(window).max() > _QUIET_PEAK]
    return loud or cut[:1]
