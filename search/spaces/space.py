"""What an embedding space is: encoders per signal, queries per signal, one fingerprint.

Nothing outside `search/spaces/` knows which models stand behind these methods. Every vector is a
float32 unit row; what the space does to get there (centring, prompts, projection, hubness
correction) is its own affair. A row of zeros says that the encoders know nothing of the item, such as a text of
signs that none of them has seen: it is like nothing, and a query of it is not searched by vectors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np

from search.errors import SpaceError
from search.signals import Signal
from search.spaces.inputs import ImageInput, Picture, Waveform

# Characters of a text that no encoder cuts: the shortest reads 75 tokens, and few signs become several.
SURELY_READ = 64
_OF_PICTURES = frozenset(["image", "prior", "image head"])  # roles of models


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides what a vector of the space means."""

    space: str  # name of the implementation, e.g. "starter", "open_clip"
    models: tuple[tuple[str, str], ...]  # (role, sha256 of the weights)
    preprocessing: str  # a description that changes whenever the preprocessing changes
    dtype: str  # of the computation
    dimensions: tuple[tuple[str, int], ...]  # (signal, dimension)

    @property
    def digest(self) -> str:
        """sha256 in hex over the canonical JSON; what the catalogue stores and compares."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()

    @property
    def pictures(self) -> str:
        """As `digest`, of what makes vectors of pictures alone: versions of a space may share it.

        Where models and preprocessing do not say which of them are for pictures, all are.
        """
        steps = self.preprocessing.split("; ")
        alone = msgspec.structs.replace(
            self,
            models=tuple(model for model in self.models if model[0] in _OF_PICTURES) or self.models,
            preprocessing="; ".join([step for step in steps if step.startswith("image: ")] or steps),
            dimensions=tuple(entry for entry in self.dimensions if entry[0] == Signal.IMAGE),
        )
        return alone.digest


class SegmentSpace(Protocol):
    """What of a space files need, wherever its encoders run. Methods are thread-safe."""

    @property
    def dimensions(self) -> Mapping[Signal, int]:
        """The signals that the space can embed, with the length of their vectors."""

    @property
    def image_input(self) -> ImageInput:
        """How decoders should prepare pictures for `embed`, so that little travels between processes."""

    def embed(self, signal: Signal, items: Sequence[Any]) -> np.ndarray:
        """Vectors of segments: `(len(items), d) float32`, unit rows or zeros.

        Items are `Picture` for image and frame, `Waveform` for sound, `str` for speech and text.
        """


class Space(SegmentSpace, Protocol):
    """One embedding space. Methods are thread-safe; they may be called from several threads."""

    @property
    def fingerprint(self) -> Fingerprint:
        """Identity of the space; computing it may hash weight files but loads no model."""

    def cuts(self, signal: Signal, texts: Sequence[str]) -> list[bool]:
        """For each text, whether `embed` (of words) or `embed_query_text` reads only its beginning for this signal."""

    def embed_query_text(self, texts: Sequence[str]) -> Mapping[Signal, np.ndarray]:
        """Per signal, `(len(texts), d) float32` unit rows (or zeros) to compare with that signal's segments."""

    def embed_query_image(self, pictures: Sequence[Picture]) -> Mapping[Signal, np.ndarray]:
        """As `embed_query_text`, for example pictures."""

    def embed_query_sound(self, waveforms: Sequence[Waveform]) -> Mapping[Signal, np.ndarray]:
        """As `embed_query_text`, for example sounds."""

    def release(self) -> None:
        """Release loaded models; they load again when needed."""


class SpaceAround:
    """A space that hands everything on to the one `inner`; what differs is said by those that inherit from it."""

    def __init__(self, inner: Space) -> None:
        self.inner = inner

    @property
    def fingerprint(self) -> Fingerprint:
        """See Space."""
        return self.inner.fingerprint

    @property
    def dimensions(self) -> Mapping[Signal, int]:
        """See SegmentSpace."""
        return self.inner.dimensions

    @property
    def image_input(self) -> ImageInput:
        """See SegmentSpace."""
        return self.inner.image_input

    def embed(self, signal: Signal, items: Sequence[Any]) -> np.ndarray:
        """See SegmentSpace."""
        return self.inner.embed(signal, items)

    def cuts(self, signal: Signal, texts: Sequence[str]) -> list[bool]:
        """See Space."""
        return self.inner.cuts(signal, texts)

    def embed_query_text(self, texts: Sequence[str]) -> Mapping[Signal, np.ndarray]:
        """See Space."""
        return self.inner.embed_query_text(texts)

    def embed_query_image(self, pictures: Sequence[Picture]) -> Mapping[Signal, np.ndarray]:
        """See Space."""
        return self.inner.embed_query_image(pictures)

    def embed_query_sound(self, waveforms: Sequence[Waveform]) -> Mapping[Signal, np.ndarray]:
        """See Space."""
        return self.inner.embed_query_sound(waveforms)

    def release(self) -> None:
        """See Space."""
        self.inner.release()


def dimensions_of(space: Space) -> dict[Signal, int]:
    """By signal, the length of its vectors in a space: of those, too, that another signal's encoder serves."""
    known = space.dimensions
    return {signal: known[signal.encoder] for signal in Signal if signal.encoder in known}


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """`(n, d)` of any float dtype -> C-contiguous float32 unit rows; zero rows stay zero. Raises SpaceError."""
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.ndim != 2:
        raise SpaceError(f"vectors must be a matrix, not of shape {vectors.shape}")
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms == 0, 1, norms)
