"""Spaces made of an open_clip model, with the starter as companion for what CLIP can't do.

Pictures go through the image tower and words through the text tower. CLIP's text tower is weak at
comparing text with text, so a speech or text segment's vector is two halves side by side: CLIP's and the
companion's. A query in words brings both halves; a picture brings only the first. CLIP hears nothing:
a sound enters as the mixture of phrases that the companion finds near it (ConSE, arXiv 1312.5650). Without a
companion the space is the part of another one that sees, and embeds pictures alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, assert_never, cast

import numpy as np

from search.arrays import Float32Array
from search.errors import SpaceError
from search.runtime.lazy import Lazy
from search.settings import Settings
from search.signals import ENCODED, Input, Signal
from search.spaces.clip import Towers
from search.spaces.inputs import ImageInput, Picture, Waveform, fit_picture
from search.spaces.sound_phrases import PHRASES
from search.spaces.space import Fingerprint, Space, unit_rows
from search.spaces.specification import ClipSpecification

# Share of the companion in a speech or text vector. It gets the larger one: against passages it ranks far
# better than CLIP's text tower, which is there so that a picture can find words too.
COMPANION_SHARE = 0.8
# Sharpness of the mixture of phrases, on cosines; and how many phrases may take part.
PHRASE_TEMPERATURE = 0.05
PHRASES_MIXED = 10


class ClipSpace:
    """Implements `search.spaces.space.Space` with an open_clip model."""

    def __init__(self, model: ClipSpecification, settings: Settings, companion: Space | None) -> None:
        self._model = model
        self._companion = companion
        self._towers = Lazy(lambda: Towers(model, settings))

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Identity of the space; the weights' sum was noted at creation and is checked at loading."""
        model = self._model
        models = [("clip", model.weights_sha256)]
        preprocessing = f"{model.fit} {model.side} {model.resample} mean {model.mean} std {model.std}"
        if self._companion:
            models.append(("companion", self._companion.fingerprint.digest))
            preprocessing += f"; companion's share {COMPANION_SHARE}; sounds: {PHRASES_MIXED} of {len(PHRASES)} phrases"
        return Fingerprint(
            space="open_clip",
            models=tuple(models),
            preprocessing=preprocessing,
            # Vectors of both kinds of hardware agree (cosine >= 0.999), so they may share one space.
            dtype="float32, or bfloat16 where the device has it",
            dimensions=tuple(sorted((signal.value, size) for signal, size in self.dimensions.items())),
        )

    @cached_property
    def dimensions(self) -> Mapping[Signal, int]:
        """CLIP's dimension for what is seen and heard; both halves for words."""
        visual = self._model.dimension
        if self._companion is None:
            return {signal: visual for signal in ENCODED if signal.input is Input.PICTURE}
        both = visual + self._companion.dimensions[Signal.TEXT]
        return {signal: both if signal.holds_words else visual for signal in self._companion.dimensions}

    @property
    def image_input(self) -> ImageInput:
        """As the model's own preprocessing."""
        return ImageInput(self._model.side, cast(Any, self._model.fit), cast(Any, self._model.resample))

    def embed(self, signal: Signal, items: Sequence[Any]) -> Float32Array:
        """Vectors of segments, `(len(items), d) float32`, unit rows. Raises SpaceError."""
        if not items:
            return np.empty((0, self.dimensions[signal]), np.float32)
        if signal not in self.dimensions:
            raise SpaceError(f"the space of {self._model.model} can't embed {signal}: it has no companion that can")
        match signal.input:
            case Input.PICTURE:
                with self._towers.use() as towers:
                    return towers.pictures([fit_picture(item, self.image_input) for item in items])
            case Input.WAVEFORM:
                return self._sounds(items)
            case Input.WORDS:
                with self._towers.use() as towers:
                    return _join(towers.passages(items), self._beside.embed(signal, items))
            case _:
                assert_never(signal.input)

    def cuts(self, signal: Signal, texts: Sequence[str]) -> list[bool]:
        """As `Space.cuts`: passages are read in pieces by CLIP, but not by the companion."""
        if signal.holds_words:
            return self._beside.cuts(signal, texts)
        with self._towers.use() as towers:
            return [towers.cuts(text) for text in texts]

    def embed_query_text(self, texts: Sequence[str]) -> Mapping[Signal, Float32Array]:
        """See Space. Both halves for words, CLIP's for the rest."""
        with self._towers.use() as towers:
            visual = towers.texts(texts)
        words = self._companion.embed_query_text(texts)[Signal.TEXT] if self._companion else None
        return self._per_signal(visual, words)

    def embed_query_image(self, pictures: Sequence[Picture]) -> Mapping[Signal, Float32Array]:
        """See Space. CLIP's half alone: the companion's pictures are far from its words."""
        return self._per_signal(self.embed(Signal.IMAGE, pictures))

    def embed_query_sound(self, waveforms: Sequence[Waveform]) -> Mapping[Signal, Float32Array]:
        """As `embed_query_image`, for sounds; zeros without a companion."""
        if self._companion is None:
            return self._per_signal(np.zeros((len(waveforms), self._model.dimension), np.float32))
        return self._per_signal(self.embed(Signal.SOUND, waveforms))

    def release(self) -> None:
        """Release the towers and the companion's models."""
        self._towers.release()
        if self._companion:
            self._companion.release()

    @property
    def _beside(self) -> Space:
        assert self._companion, "only signals of `dimensions` are embedded"
        return self._companion

    def _per_signal(self, visual: Float32Array, words: Float32Array | None = None) -> Mapping[Signal, Float32Array]:
        if self._companion is None:
            return dict.fromkeys(self.dimensions, visual)
        if words is None:
            words = np.zeros((len(visual), self._companion.dimensions[Signal.TEXT]), np.float32)
        both = _join(visual, words)
        return {signal: both if signal.holds_words else visual for signal in self.dimensions}

    def _sounds(self, waveforms: Sequence[Waveform]) -> Float32Array:
        heard = self._beside.embed(Signal.SOUND, waveforms)
        mixtures = _mixture(heard @ self._beside.embed(Signal.TEXT, PHRASES).T)
        with self._towers.use() as towers:
            return unit_rows(mixtures @ towers.phrases(PHRASES))


def _join(visual: Float32Array, words: Float32Array) -> Float32Array:
    return unit_rows(np.hstack([visual * (1 - COMPANION_SHARE) ** 0.5, words * COMPANION_SHARE**0.5]))


def _mixture(cosines: Float32Array) -> Float32Array:
    """`(n, phrases)` cosines -> weights of the nearest phrases; rows sum to 1."""
    kept = np.partition(cosines, -PHRASES_MIXED, axis=1)[:, -PHRASES_MIXED, None]
    weights = np.where(cosines >= kept, np.exp((cosines - cosines.max(axis=1, keepdims=True)) / PHRASE_TEMPERATURE), 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
