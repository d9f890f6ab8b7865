"""A space of parts: what is seen, said and heard each has an encoder of its own.

Vectors of one signal and the queries that they are compared with come from the same part, always; vectors of
different parts never meet. Knows parts only as spaces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from search.arrays import Float32Array
from search.errors import SpaceError
from search.signals import Sense, Signal
from search.spaces.inputs import ImageInput, Picture, Waveform
from search.spaces.space import Fingerprint, Space

NAME = "composed"


class ComposedSpace:
    """Implements `search.spaces.space.Space`; several senses may share one part."""

    def __init__(self, parts: Mapping[Sense, Space]) -> None:
        self._parts = parts

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Identity of the space: that of each sense's part."""
        return Fingerprint(
            space=NAME,
            models=tuple((sense.value, self._parts[sense].fingerprint.digest) for sense in Sense),
            preprocessing="as each part says",
            dtype="as each part says",
            dimensions=tuple(sorted((signal.value, size) for signal, size in self.dimensions.items())),
        )

    @cached_property
    def dimensions(self) -> Mapping[Signal, int]:
        """Of every signal that its sense's part can embed."""
        return {
            signal: sizes[signal] for signal in Signal if (signal in (sizes := self._parts[signal.sense].dimensions))
        }

    @property
    def image_input(self) -> ImageInput:
        """As the part that sees."""
        return self._parts[Sense.SEEN].image_input

    def embed(self, signal: Signal, items: Sequence[Any]) -> Float32Array:
        """See SegmentSpace. By the signal's part. Raises SpaceError."""
        if signal not in self.dimensions:
            raise SpaceError(f"no part of this space embeds {signal}")
        return self._parts[signal.sense].embed(signal, items)

    def cuts(self, signal: Signal, texts: Sequence[str]) -> list[bool]:
        """As the signal's part says."""
        return self._parts[signal.sense].cuts(signal, texts)

    def embed_query_text(self, texts: Sequence[str]) -> Mapping[Signal, Float32Array]:
        """See Space. Each signal's vectors come from its own part."""
        return self._from_each(lambda part: part.embed_query_text(texts))

    def embed_query_image(self, pictures: Sequence[Picture]) -> Mapping[Signal, Float32Array]:
        """See Space. Each signal's vectors come from its own part; none from parts that don't see."""
        return self._from_each(lambda part: part.embed_query_image(pictures))

    def embed_query_sound(self, waveforms: Sequence[Waveform]) -> Mapping[Signal, Float32Array]:
        """See Space. Each signal's vectors come from its own part; none from parts that don't hear."""
        return self._from_each(lambda part: part.embed_query_sound(waveforms))

    def release(self) -> None:
        """Release every part's models."""
        for part in self._distinct():
            part.release()

    def _distinct(self) -> list[Space]:
        return list({id(part): part for part in self._parts.values()}.values())

    def _from_each(self, encode: Callable[[Space], Mapping[Signal, Float32Array]]) -> Mapping[Signal, Float32Array]:
        """A part that several senses share encodes once."""
        encoded = {id(part): encode(part) for part in self._distinct()}
        return {signal: encoded[id(self._parts[signal.sense])][signal] for signal in self.dimensions}
