"""A space whose encoders run elsewhere: on the machines with GPUs, while others decode.

Only what files need: pictures, sounds and words of segments go there, vectors come back. Queries are not for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from indexer.ingest.embedder import Spaces
from search.signals import Signal
from search.spaces.inputs import ImageInput
from search.spaces.space import SegmentSpace

#: space id, signal, items -> `(n, d) float32`
Embed = Callable[[int, str, list[Any]], np.ndarray]


class Profile(Struct, frozen=True, kw_only=True):
    """What decoding machines must know of a space."""

    space_id: int
    dimensions: dict[str, int]
    image_input: ImageInput


def profiles_of(spaces: Spaces) -> list[Profile]:
    """Of spaces that are open here."""
    return [
        Profile(
            space_id=space_id,
            dimensions={str(signal): size for signal, size in space.dimensions.items()},
            image_input=space.image_input,
        )
        for space_id, space in spaces.items()
    ]


def embed_here(spaces: Spaces, space_id: int, signal: str, items: list[Any]) -> np.ndarray:
    """As `SegmentSpace.embed`, on an encoding machine. Raises SpaceError, and what an encoder raises."""
    # Copied, because what comes over the network can't be written to, and torch warns about such arrays.
    own = [item.copy() if isinstance(item, np.ndarray) else item for item in items]
    return spaces[space_id].embed(Signal(signal), own)


class RemoteSpace:
    """A space by its profile. Thread-safe if `embed` is."""

    def __init__(self, profile: Profile, embed: Embed) -> None:
        self._profile = profile
        self._embed = embed

    @property
    def dimensions(self) -> Mapping[Signal, int]:
        """The signals that it embeds."""
        return {Signal(signal): size for signal, size in self._profile.dimensions.items()}

    @property
    def image_input(self) -> ImageInput:
        """How decoders prepare pictures."""
        return self._profile.image_input

    def embed(self, signal: Signal, items: Sequence[Any]) -> np.ndarray:
        """See SegmentSpace. The vectors are made elsewhere."""
        return self._embed(self._profile.space_id, str(signal), list(items))


def remote_spaces(profiles: Sequence[Profile], embed: Embed) -> dict[int, SegmentSpace]:
    """A space for each profile, by id."""
    return {profile.space_id: RemoteSpace(profile, embed) for profile in profiles}
