"""Spaces made of an open_clip model, with the starter as companion for what CLIP can't do.

Pictures go through the image tower and words through the text tower. CLIP's text tower is weak at
comparing text with text, so a speech or text segment's vector is two halves side by side: CLIP's and the
companion's. A query in words brings both halves; a picture brings only the first. CLIP hears nothing:
a sound enters as the mixture of phrases that the companion finds near it (ConSE, arXiv 1312.5650).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np

from search.errors import SpaceError
from search.lazy import Lazy
from search.results import Signal
from search.settings import Settings
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

    def __init__(self, model: ClipSpecification, settings: Settings, companion: Space) -> None:
        self._model = model
        self._companion = companion
        self._towers = Lazy(lambda: Towers(model, settings))

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Identity of the space; the weights' sum was noted at creation and is checked at loading."""
        model = self._model
        return Fingerprint(
            space="open_clip",
            models=(("clip", model.weights_sha256), ("companion", self._companion.fingerprint.digest)),
            preprocessing=f"{model.fit} {model.side} {model.resample} mean {model.mean} std {model.std}; "
            f"companion's share {COMPANION_SHARE}; sounds: {PHRASES_MIXED} of {len(PHRASES)} phrases",
            # Vectors of both kinds of hardware agree (cosine >= 0.999), so they may share one space.
            dtype="float32, or bfloat16 where the device has it",
            dimensions=tuple(sorted((signal.value, size) for signal, size in self.dimensions.items())),
        )

    @cached_property
    def dimensions(self) -> Mapping[Signal, int]:
        """CLIP's dimension for what is seen and heard; both halves for words."""
        visual = self._model.dimension
        both = visual + self._companion.dimensions[Signal.TEXT]
        sizes = {Signal.IMAGE: visual, Signal.FRAME: visual, Signal.SPEECH: both, Signal.TEXT: both}
        return sizes | ({Signal.SOUND: visual} if Signal.SOUND in self._companion.dimensions else {})

    @property
    def image_input(self) -> ImageInput:
        """As the model's own preprocessing."""
        return ImageInput(self._model.side, cast(Any, self._model.fit), cast(Any, self._model.resample))

    def embed(self, signal: Signal, items: Sequence[Any]) -> np.ndarray:
        """Vectors of segments, `(len(items), d) float32`, unit rows. Raises SpaceError."""
        if not items:
            return np.empty((0, self.dimensions[signal]), np.float32)
        match signal:
            case Signal.IMAGE | Signal.FRAME:
                with self._towers.use() as towers:
                    return towers.pictures([fit_picture(item, self.image_input) for item in items])
            case Signal.SOUND:
                return self._sounds(items)
            case _:
                with self._towers.use() as towers:
                    return _join(towers.passages(items), self._companion.embed(signal, items))

    def embed_query_text(self, texts: Sequence[str]) -> Mapping[Signal, np.ndarray]:
        """Both halves for words, CLIP's for the rest."""
        with self._towers.use() as towers:
            visual = towers.texts(texts)
        return self._per_signal(visual, self._companion.embed_query_text(texts)[Signal.TEXT])

    def embed_query_image(self, pictures: Sequence[Picture]) -> Mapping[Signal, np.ndarray]:
        """CLIP's half alone: the companion's pictures live in another corner than its words."""
        return self._per_signal(self.embed(Signal.IMAGE, pictures))

    def embed_query_sound(self, waveforms: Sequence[Waveform]) -> Mapping[Signal, np.ndarray]:
        """As `embed_query_image`, for sounds."""
        return self._per_signal(self.embed(Signal.SOUND, waveforms))

    def release(self) -> None:
        """Let go of the towers and of the companion's models."""
        self._towers.release()
        self._companion.release()

    def _per_signal(self, visual: np.ndarray, words: np.ndarray | None = None) -> Mapping[Signal, np.ndarray]:
        if words is None:
            words = np.zeros((len(visual), self._companion.dimensions[Signal.TEXT]), np.float32)
        both = _join(visual, words)
        return {signal: both if signal in (Signal.SPEECH, Signal.TEXT) else visual for signal in self.dimensions}

    def _sounds(self, waveforms: Sequence[Waveform]) -> np.ndarray:
        if Signal.SOUND not in self.dimensions:
            raise SpaceError(f"the space of {self._model.model} can't embed sounds: its companion can't either")
        heard = self._companion.embed(Signal.SOUND, waveforms)
        mixtures = _mixture(heard @ self._companion.embed(Signal.TEXT, PHRASES).T)
        with self._towers.use() as towers:
            return unit_rows(mixtures @ towers.phrases(PHRASES))


def _join(visual: np.ndarray, words: np.ndarray) -> np.ndarray:
    return unit_rows(np.hstack([visual * (1 - COMPANION_SHARE) ** 0.5, words * COMPANION_SHARE**0.5]))


def _mixture(cosines: np.ndarray) -> np.ndarray:
    """`(n, phrases)` cosines -> weights of the nearest phrases; rows sum to 1."""
    kept = np.partition(cosines, -PHRASES_MIXED, axis=1)[:, -PHRASES_MIXED, None]
    weights = np.where(cosines >= kept, np.exp((cosines - cosines.max(axis=1, keepdims=True)) / PHRASE_TEMPERATURE), 0)
    return weights / weights.sum(axis=1, keepdims=True)
