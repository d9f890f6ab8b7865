"""A space without a model, for tests: vectors of words by hashing.

A picture's mean colour stands for the words red, green and blue, so that text finds pictures, exactly and at once.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from search.results import Signal
from search.spaces.inputs import ImageInput, Picture, Waveform
from search.spaces.space import Fingerprint, unit_rows

DIMENSION = 256
COLOURS = ("red", "green", "blue")


class WordSpace:
    """Vectors of words by hashing."""

    def __init__(self) -> None:
        self.calls: list[int] = []  # texts per call of the encoder
        self.delay_seconds = 0.0
        self.broken: str | None = None

    @property
    def fingerprint(self) -> Fingerprint:
        dimensions = tuple((str(signal), DIMENSION) for signal in Signal)
        return Fingerprint(space="words", models=(), preprocessing="1", dtype="float32", dimensions=dimensions)

    @property
    def dimensions(self) -> Mapping[Signal, int]:
        return dict.fromkeys(Signal, DIMENSION)

    @property
    def image_input(self) -> ImageInput:
        return ImageInput(side=32, fit="squash")

    def embed(self, signal: Signal, items: Sequence[Any]) -> np.ndarray:
        if signal in (Signal.IMAGE, Signal.FRAME):
            return np.stack([_of_picture(item) for item in items])
        if signal is Signal.SOUND:
            return np.stack([vector_of("sound") for _ in items])
        return np.stack([vector_of(item) for item in items])

    def embed_query_text(self, texts: Sequence[str]) -> Mapping[Signal, np.ndarray]:
        self.calls.append(len(texts))
        if self.delay_seconds:
            time.sleep(self.delay_seconds)
        if self.broken:
            raise RuntimeError(self.broken)
        return dict.fromkeys(Signal, np.stack([vector_of(text) for text in texts]))

    def embed_query_image(self, pictures: Sequence[Picture]) -> Mapping[Signal, np.ndarray]:
        return dict.fromkeys(Signal, np.stack([_of_picture(picture) for picture in pictures]))

    def embed_query_sound(self, waveforms: Sequence[Waveform]) -> Mapping[Signal, np.ndarray]:
        return dict.fromkeys(Signal, np.stack([vector_of("sound") for _ in waveforms]))

    def release(self) -> None:
        pass


def vector_of(text: str) -> np.ndarray:
    vector = np.full(DIMENSION, 1e-3, np.float32)
    for word in text.lower().split():
        vector[zlib.crc32(word.encode()) % DIMENSION] += 1
    return unit_rows(vector[None])[0]


def _of_picture(picture: Picture) -> np.ndarray:
    brightest = int(np.argmax(picture.reshape(-1, 3).mean(axis=0)))
    return vector_of(COLOURS[brightest])
