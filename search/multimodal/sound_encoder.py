"""Whisper's encoder as a language model is adapted to it: states of a few seconds of sound, pooled in time.

The states are those that the starter's sound vectors are made of (`search/spaces/sound.py`), and independent of the
space that a library is searched with. Knows the encoder; knows no language model.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Self

import numpy as np

from search.arrays import FloatArray
from search.settings import Settings
from search.spaces.inputs import Waveform
from search.spaces.sound import FRAMES, STATES, WINDOW_SAMPLES, SoundFeatures
from search.spaces.whisper_weights import MODEL_SHA256

PLACES = 50  # 0.1 s each: a clock ticks in one, and a bark takes three
IDENTITY = f"whisper-base-{MODEL_SHA256[:12]}-{PLACES}"  # changes whenever the maps of a sound do


class SoundMaps:
    """Sounds to maps in time. Thread-safe."""

    identity = IDENTITY

    def __init__(self, features: SoundFeatures) -> None:
        self._features = features

    @classmethod
    def load(cls, settings: Settings) -> Self:
        """Raises SpaceError."""
        return cls(SoundFeatures.load(settings.models, settings.threads or os.cpu_count() or 1))

    def maps(self, sounds: Sequence[Waveform]) -> FloatArray:
        """`(len(sounds), PLACES, 512) float16`, in the order of time, of the middle of each."""
        states = self._features.states([middle(sound) for sound in sounds])
        maps: FloatArray = states.reshape(-1, PLACES, FRAMES // PLACES, STATES).mean(axis=2).astype(np.float16)
        return maps


def middle(sound: Waveform) -> Waveform:
    """At most the 5 s in the middle of a sound: as much as the encoder listens to at once."""
    start = max(0, (len(sound) - WINDOW_SAMPLES) // 2)
    return sound[start : start + WINDOW_SAMPLES]
