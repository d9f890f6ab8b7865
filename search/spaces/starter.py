"""The starter space: MiniLM's sentence space, with pictures (and sounds) projected into it.

Everything that it needs comes inside installed packages: no download at run time. Vectors of every
signal have 384 dimensions and can be compared with each other. Knows which encoders there are and
how queries are prepared; the encoders know their models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from msgspec import Struct
from safetensors import safe_open
from safetensors.numpy import load_file

from search.errors import SpaceError
from search.lazy import Lazy
from search.results import Signal
from search.settings import Settings
from search.spaces.inputs import ImageInput, Picture, Waveform, fit_picture
from search.spaces.minilm import DIMENSION, MiniLM
from search.spaces.space import Fingerprint, unit_rows
from search.spaces.weights import EFFICIENTNET, IMAGE, MINILM, MINILM_TOKENIZER, PRIOR, file_sha256, shipped

NAME = "starter"
# The whole picture, distorted to a square: a centre crop loses people at the edges and 3 points of R@10.
IMAGE_INPUT = ImageInput(side=260, fit="squash", resample="bicubic")
_SEEN = (Signal.IMAGE, Signal.FRAME)
# The head learned from sentences, so bare words become one; half way, because "dog frisbee" makes a poor sentence.
_PROMPT = "there is {} in the picture"
_BARE_WORDS = 3

ItemT = TypeVar("ItemT", contravariant=True)


class Encoder(Protocol[ItemT]):
    """What projects items of one kind into the shared space."""

    def encode(self, items: Sequence[ItemT], /) -> np.ndarray:
        """`(len(items), 384) float32`, unit rows. Thread-safe."""


class SoundPart(Struct, frozen=True):
    """The slot for sounds: an encoder, described without loading it."""

    models: tuple[tuple[str, str], ...]  # (role, sha256) for the fingerprint
    preprocessing: str
    load: Callable[[], Encoder[Waveform]]


class StarterSpace:
    """The embedded default; see `search.spaces.space.Space` for what each method promises."""

    def __init__(self, settings: Settings, sound: SoundPart | None = None) -> None:
        self._sound_part = sound
        idle_seconds = settings.idle_release_seconds
        self._text = Lazy(_SentenceEncoder.load)  # stays: every query needs it at once
        self._image = Lazy(lambda: _load_image_encoder(settings.device, settings.threads), idle_seconds)
        self._sound = Lazy(sound.load, idle_seconds) if sound else None

    @property
    def fingerprint(self) -> Fingerprint:
        """Identity of the space, from the pinned sums; the files are checked when they are read."""
        models = [
            ("text", MINILM.sha256),
            ("tokenizer", MINILM_TOKENIZER.sha256),
            ("image", EFFICIENTNET.sha256),
            ("prior", file_sha256(shipped(PRIOR))),
            ("image head", file_sha256(shipped(IMAGE))),
        ]
        preprocessing = f"text: 256 tokens, centred; image: {IMAGE_INPUT.fit} {IMAGE_INPUT.side} {IMAGE_INPUT.resample}"
        if self._sound_part:
            models += self._sound_part.models
            preprocessing += f"; sound: {self._sound_part.preprocessing}"
        return Fingerprint(
            space=NAME,
            models=tuple(models),
            preprocessing=preprocessing,
            # Vectors of both kinds of processor agree (cosine >= 0.998), so they may share one space.
            dtype="float32; image in bfloat16 where the device has it",
            dimensions=tuple(sorted((signal.value, DIMENSION) for signal in self.dimensions)),
        )

    @property
    def dimensions(self) -> Mapping[Signal, int]:
        """Every signal, save sound where there is no encoder for it."""
        return {signal: DIMENSION for signal in Signal if signal is not Signal.SOUND or self._sound}

    @property
    def image_input(self) -> ImageInput:
        """The network's own side, so that decoders send 200 kB a picture."""
        return IMAGE_INPUT

    def embed(self, signal: Signal, items: Sequence[Any]) -> np.ndarray:
        """Vectors of segments, `(len(items), 384) float32`, unit rows. Raises SpaceError."""
        if not items:
            return np.empty((0, DIMENSION), np.float32)
        if signal in _SEEN:
            return self._pictures(items)
        if signal is Signal.SOUND:
            return self._sounds(items)
        with self._text.use() as encoder:
            return encoder.encode(items)

    def embed_query_text(self, texts: Sequence[str]) -> Mapping[Signal, np.ndarray]:
        """A text's own vector serves passages and sounds; pictures are compared with an adapted one."""
        sentences = self.embed(Signal.TEXT, texts)
        with self._text.use() as encoder:
            adapted = encoder.adapt(texts, sentences)
        return {signal: adapted if signal in _SEEN else sentences for signal in self.dimensions}

    def embed_query_image(self, pictures: Sequence[Picture]) -> Mapping[Signal, np.ndarray]:
        """As `embed_query_text`, for example pictures of any size."""
        return self._for_every_signal(self.embed(Signal.IMAGE, pictures))

    def embed_query_sound(self, waveforms: Sequence[Waveform]) -> Mapping[Signal, np.ndarray]:
        """As `embed_query_text`, for example sounds."""
        return self._for_every_signal(self.embed(Signal.SOUND, waveforms))

    def release(self) -> None:
        """Let go of the models; they load again when needed."""
        for model in (self._text, self._image, self._sound):
            if model:
                model.release()

    def _pictures(self, pictures: Sequence[Picture]) -> np.ndarray:
        with self._image.use() as encoder:
            return encoder.encode([fit_picture(picture, IMAGE_INPUT) for picture in pictures])

    def _sounds(self, waveforms: Sequence[Waveform]) -> np.ndarray:
        if not self._sound:
            raise SpaceError(f"the space {NAME!r} has no encoder for sounds")
        with self._sound.use() as encoder:
            return encoder.encode(waveforms)

    def _for_every_signal(self, vectors: np.ndarray) -> Mapping[Signal, np.ndarray]:
        return dict.fromkeys(self.dimensions, vectors)


class _SentenceEncoder:
    """MiniLM, centred: what all captions have in common says nothing about one of them."""

    def __init__(self, model: MiniLM, centre: np.ndarray, query: np.ndarray, axis: np.ndarray) -> None:
        self._model = model
        self._centre = centre
        self._query = query
        self._axis = axis

    @classmethod
    def load(cls) -> _SentenceEncoder:
        with safe_open(shipped(IMAGE), framework="numpy") as file:
            query, axis = (file.get_tensor(name).astype(np.float32) for name in ("query", "head.axis"))
        return cls(MiniLM.load(), load_file(shipped(PRIOR))["centre"], query, axis)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return unit_rows(self._model.encode(texts) - self._centre)

    def adapt(self, texts: Sequence[str], sentences: np.ndarray) -> np.ndarray:
        """Turn sentence vectors a little towards what pictures show; learned with the image head.

        And give all the same value along the axis on which pictures say how crowded they are (image_head.py).
        """
        short = [row for row, text in enumerate(texts) if len(text.split()) <= _BARE_WORDS]
        if short:
            sentences = sentences.copy()
            sentences[short] = unit_rows(sentences[short] + self.encode([_PROMPT.format(texts[row]) for row in short]))
        turned = sentences + sentences @ self._query.T
        off_axis = turned - np.outer(turned @ self._axis, self._axis) / (self._axis @ self._axis)
        return unit_rows(unit_rows(off_axis) + self._axis)


def _load_image_encoder(device: str, threads: int) -> Encoder[Picture]:
    # Imported here because torch takes seconds, and a text query needs none of it.
    from search.spaces.image_encoder import ImageEncoder

    return ImageEncoder.load(device, threads)
