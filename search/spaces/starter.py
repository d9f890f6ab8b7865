"""The starter space: MiniLM's sentence space, with pictures (and sounds) projected into it.

Everything that it needs comes inside installed packages: no download at run time. Vectors of every
signal have 384 dimensions and can be compared with each other. Version 1 is for English captions; version 2 knows
single words and other languages too. Knows which encoders there are; the encoders know their models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, assert_never

import numpy as np
from msgspec import Struct

from search.errors import SpaceError
from search.runtime.lazy import Lazy
from search.settings import Settings
from search.signals import ENCODED, Input, Signal
from search.spaces.inputs import ImageInput, Picture, Waveform, fit_picture
from search.spaces.space import SURELY_READ, Fingerprint
from search.spaces.specification import StarterSpecification, newest_starter
from search.spaces.text.minilm import DIMENSION
from search.spaces.text.sentences import (
    EnglishSentences,
    EverydaySentences,
    Models,
    Sentences,
    english_models,
    everyday_models,
)
from search.spaces.weights import EFFICIENTNET, IMAGE, PRIOR, file_sha256, shipped

NAME = "starter"
# The whole picture, distorted to a square: a centre crop loses people at the edges and 3 points of R@10.
IMAGE_INPUT = ImageInput(side=260, fit="squash", resample="bicubic")
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

    def __init__(
        self, settings: Settings, sound: SoundPart | None = None, version: StarterSpecification | None = None
    ) -> None:
        """Without a version, the newest one that can be had here."""
        self._version = version or newest_starter()
        self._sound_part = sound
        idle_seconds = settings.idle_release_seconds
        self._text = Lazy(self._load_sentences)  # stays: every query needs it at once
        self._image = Lazy(lambda: _load_image_encoder(settings.device, settings.threads), idle_seconds)
        self._sound = Lazy(sound.load, idle_seconds) if sound else None

    @property
    def fingerprint(self) -> Fingerprint:
        """Identity of the space, from the pinned sums; the files are checked when they are read."""
        models = [
            *self._text_models,
            ("image", EFFICIENTNET.sha256),
            ("prior", file_sha256(shipped(PRIOR))),
            ("image head", file_sha256(shipped(IMAGE))),
        ]
        preprocessing = f"text: 256 tokens, centred; image: {IMAGE_INPUT.fit} {IMAGE_INPUT.side} {IMAGE_INPUT.resample}"
        if self._is_everyday:
            preprocessing += "; unknown text: zeros" + "; every language: 512 tokens" * self._version.multilingual
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
        """Every signal, except sound if there is no encoder for it."""
        return {signal: DIMENSION for signal in ENCODED if signal.input is not Input.WAVEFORM or self._sound}

    @property
    def image_input(self) -> ImageInput:
        """The network's own side, so that decoders send 200 kB a picture."""
        return IMAGE_INPUT

    def embed(self, signal: Signal, items: Sequence[Any]) -> np.ndarray:
        """Vectors of segments, `(len(items), 384) float32`, unit rows. Raises SpaceError."""
        if not items:
            return np.empty((0, DIMENSION), np.float32)
        match signal.input:
            case Input.PICTURE:
                return self._pictures(items)
            case Input.WAVEFORM:
                return self._sounds(items)
            case Input.WORDS:
                with self._text.use() as encoder:
                    return encoder.passages(items)
            case _:
                assert_never(signal.input)

    def cuts(self, signal: Signal, texts: Sequence[str]) -> list[bool]:  # noqa: ARG002 - the same for all signals
        """As `Space.cuts`."""
        if all(len(text) < SURELY_READ for text in texts):
            return [False] * len(texts)
        with self._text.use() as encoder:
            return [len(text) >= SURELY_READ and encoder.cuts(text) for text in texts]

    def embed_query_text(self, texts: Sequence[str]) -> Mapping[Signal, np.ndarray]:
        """See Space. Passages and sounds are compared with a text's own vector, pictures with an adapted one."""
        with self._text.use() as encoder:
            queries = encoder.queries(texts)
        return {
            signal: queries.pictures if signal.input is Input.PICTURE else queries.sentences
            for signal in self.dimensions
        }

    def embed_query_image(self, pictures: Sequence[Picture]) -> Mapping[Signal, np.ndarray]:
        """As `embed_query_text`, for example pictures of any size."""
        return self._for_every_signal(self.embed(Signal.IMAGE, pictures))

    def embed_query_sound(self, waveforms: Sequence[Waveform]) -> Mapping[Signal, np.ndarray]:
        """As `embed_query_text`, for example sounds."""
        return self._for_every_signal(self.embed(Signal.SOUND, waveforms))

    def release(self) -> None:
        """Release the models; they load again when needed."""
        for model in (self._text, self._image, self._sound):
            if model:
                model.release()

    @property
    def _is_everyday(self) -> bool:
        return self._version.version > 1

    @property
    def _text_models(self) -> Models:
        return everyday_models(self._version.multilingual) if self._is_everyday else english_models()

    def _load_sentences(self) -> Sentences:
        return EverydaySentences.load(self._version.multilingual) if self._is_everyday else EnglishSentences.load()

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


def _load_image_encoder(device: str, threads: int) -> Encoder[Picture]:
    # Imported here because torch takes seconds, and a text query needs none of it.
    from search.spaces.image_encoder import ImageEncoder

    return ImageEncoder.load(device, threads)
