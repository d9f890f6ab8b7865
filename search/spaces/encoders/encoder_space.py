"""A space of one model of sentence-transformers, for whatever that model takes.

Knows which signal is which kind of input; the model is `encoder.Encoder`'s affair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, assert_never, cast

import numpy as np

from search.arrays import Float32Array
from search.errors import SpaceError
from search.runtime.lazy import Exclusive
from search.settings import Settings
from search.signals import ENCODED, Input, Signal
from search.spaces.inputs import ImageInput, Picture, Waveform, fit_picture
from search.spaces.space import Fingerprint
from search.spaces.specification import EncoderSpecification

if TYPE_CHECKING:
    from search.spaces.encoders.encoder import Encoder

# What a model must take for a kind of input; a model of videos sees a picture as one that stands still.
NEEDED = {Input.PICTURE: {"image", "video"}, Input.WAVEFORM: {"audio"}, Input.WORDS: {"text"}}


def can_take(takes: Sequence[str], kind: Input) -> bool:
    """Can a model that takes these embed inputs of this kind?"""
    return bool(NEEDED[kind] & set(takes))


class EncoderSpace:
    """Implements `search.spaces.space.Space` with one model."""

    def __init__(self, model: EncoderSpecification, settings: Settings) -> None:
        self._model = model
        self._encoder = Exclusive(lambda: _load(model, settings))

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Identity of the space; the files' sum was noted at creation and is checked at loading."""
        model = self._model
        return Fingerprint(
            space="encoder",
            models=(("encoder", model.files_sha256),),
            preprocessing=f"pictures: {model.fit} {model.side} {model.resample}; sounds: {model.rate_hz} Hz; "
            f"prompts: {model.query_prompt!r}, {model.passage_prompt!r}; pooling: {model.pooling or 'its own'}; "
            f"dimension: {model.dimension or 'all'}",
            # Vectors of the number types agree (cosine >= 0.999), so they may share one space unless one was named.
            dtype=model.dtype or "what the device multiplies fast",
            dimensions=tuple(sorted((signal.value, size) for signal, size in self.dimensions.items())),
        )

    @cached_property
    def dimensions(self) -> Mapping[Signal, int]:
        """The signals that the model takes."""
        return {signal: self._model.length for signal in ENCODED if can_take(self._model.takes, signal.input)}

    @property
    def image_input(self) -> ImageInput:
        """What loses nothing before the model's own processor."""
        return ImageInput(self._model.side, cast(Any, self._model.fit), cast(Any, self._model.resample))

    def embed(self, signal: Signal, items: Sequence[Any]) -> Float32Array:
        """Vectors of segments, `(len(items), d) float32`, unit rows. Raises SpaceError."""
        if signal not in self.dimensions:
            raise SpaceError(f"{self._model.model} can't embed {signal}: it takes {', '.join(self._model.takes)}")
        if not items:
            return np.empty((0, self._model.length), np.float32)
        with self._encoder.use() as encoder:
            match signal.input:
                case Input.PICTURE:
                    return encoder.pictures([fit_picture(item, self.image_input) for item in items])
                case Input.WAVEFORM:
                    return encoder.sounds(items, self._model.rate_hz)
                case Input.WORDS:
                    return encoder.texts(items)
                case _:
                    assert_never(signal.input)

    def cuts(self, signal: Signal, texts: Sequence[str]) -> list[bool]:  # noqa: ARG002 - the same for all signals
        """As `Space.cuts`; False of a model that does not say how much it reads."""
        if "text" not in self._model.takes:
            return [False] * len(texts)
        with self._encoder.use() as encoder:
            return [encoder.cuts(text) for text in texts]

    def embed_query_text(self, texts: Sequence[str]) -> Mapping[Signal, Float32Array]:
        """See Space. The same vector for every signal; zeros if the model takes no words."""
        if "text" not in self._model.takes:
            return self._per_signal(np.zeros((len(texts), self._model.length), np.float32))
        with self._encoder.use() as encoder:
            return self._per_signal(encoder.texts(texts, asked=True))

    def embed_query_image(self, pictures: Sequence[Picture]) -> Mapping[Signal, Float32Array]:
        """As segments are embedded, so that the same picture has cosine 1; zeros of a model that sees nothing."""
        return self._per_signal(self._example(Signal.IMAGE, pictures))

    def embed_query_sound(self, waveforms: Sequence[Waveform]) -> Mapping[Signal, Float32Array]:
        """As `embed_query_image`, for sounds."""
        return self._per_signal(self._example(Signal.SOUND, waveforms))

    def release(self) -> None:
        """Release the model."""
        self._encoder.release()

    def _example(self, signal: Signal, items: Sequence[Any]) -> Float32Array:
        if signal in self.dimensions:
            return self.embed(signal, items)
        return np.zeros((len(items), self._model.length), np.float32)

    def _per_signal(self, vectors: Float32Array) -> Mapping[Signal, Float32Array]:
        return dict.fromkeys(self.dimensions, vectors)


def _load(model: EncoderSpecification, settings: Settings) -> Encoder:
    # Imported here because torch and the library take seconds.
    from search.spaces.encoders.encoder import Encoder

    return Encoder(model, settings)
