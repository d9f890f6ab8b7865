"""Image encoders whose feature maps language models are adapted to.

Any encoder may be paired with any language model: the starter's image network, or the visual tower of an open_clip
model. Independent of the space that a library is searched with. Knows encoders; knows no language model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol, cast

import numpy as np
import torch
from safetensors.torch import load_file

from search.arrays import FloatArray
from search.multimodal.adapter import STARTER
from search.settings import Settings
from search.spaces.device import choose_device, choose_dtype
from search.spaces.efficientnet import load_efficientnet, normalise
from search.spaces.inputs import ImageInput, Picture, fit_picture
from search.spaces.specification import ClipSpecification
from search.spaces.starter import IMAGE_INPUT
from search.spaces.weights import EFFICIENTNET, IMAGE, shipped

_PLACES = ("hf-hub:", "local-dir:")  # names of models that bring their weights along
_NETWORK = "network."
_TOGETHER = 4  # pictures; larger batches fall out of a processor's cache


class MapEncoder(Protocol):
    """Pictures to feature maps. Thread-safe."""

    @property
    def identity(self) -> str:
        """Changes whenever the maps of a picture do."""

    @property
    def image_input(self) -> ImageInput:
        """How a picture should be prepared."""

    def maps(self, pictures: Sequence[Picture]) -> FloatArray:
        """`(len(pictures), places, channels) float16`, places row by row. Pictures of any size are fitted."""


class StarterMaps:
    """The starter's image network, as the search uses it."""

    def __init__(self, settings: Settings) -> None:
        device = choose_device(settings.device)
        self._dtype = choose_dtype(device)
        network = load_efficientnet(_network()).to(device=device, dtype=self._dtype)
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in the stub
        self._device = device

    @property
    def identity(self) -> str:
        """See `MapEncoder.identity`."""
        return starter_identity()

    @property
    def image_input(self) -> ImageInput:
        """See `MapEncoder.image_input`."""
        return IMAGE_INPUT

    @torch.inference_mode()
    def maps(self, pictures: Sequence[Picture]) -> FloatArray:
        """See `MapEncoder.maps`."""
        fitted = [fit_picture(picture, IMAGE_INPUT) for picture in pictures]
        parts = []
        for start in range(0, len(fitted), _TOGETHER):
            batch = torch.from_numpy(np.stack(fitted[start : start + _TOGETHER])).to(self._device)
            parts.append(self._network.places(normalise(batch, self._dtype)).half().cpu().numpy())
        return np.concatenate(parts) if parts else np.empty((0, 0, 0), np.float16)


class ClipMaps:
    """The visual tower of an open_clip model: its last layer's patches."""

    def __init__(self, specification: ClipSpecification, settings: Settings) -> None:
        # open_clip takes seconds to import, and the starter needs none of it.
        from search.spaces.clip import Towers, inspect_model

        known = specification if specification.weights_sha256 else inspect_model(specification, settings)
        self._known = known
        self._towers = Towers(known, settings)

    @property
    def identity(self) -> str:
        """See `MapEncoder.identity`."""
        return f"open_clip-{self._known.weights_sha256[:12]}"

    @property
    def image_input(self) -> ImageInput:
        """See `MapEncoder.image_input`."""
        return ImageInput(self._known.side, cast(Any, self._known.fit), cast(Any, self._known.resample))

    def maps(self, pictures: Sequence[Picture]) -> FloatArray:
        """See `MapEncoder.maps`."""
        return self._towers.patches([fit_picture(picture, self.image_input) for picture in pictures])


def open_map_encoder(name: str, settings: Settings) -> MapEncoder:
    """`starter`, or an open_clip model as `MODEL:PRETRAINED`, `hf-hub:ORG/NAME` or `local-dir:FOLDER`.

    Raises SpaceError.
    """
    if name == STARTER:
        return StarterMaps(settings)
    model, _, pretrained = (name, "", "") if name.startswith(_PLACES) else name.partition(":")
    return ClipMaps(ClipSpecification(model=model, pretrained=pretrained), settings)


@cache
def starter_identity() -> str:
    """The network's sums; a head that was trained anew on top leaves the maps as they are."""
    digest = hashlib.sha256(EFFICIENTNET.sha256.encode())
    for name, tensor in sorted(_network().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return f"{STARTER}-{digest.hexdigest()[:12]}"


def _network() -> dict[str, torch.Tensor]:
    held = load_file(shipped(IMAGE))
    return {name.removeprefix(_NETWORK): held[name].float() for name in held if name.startswith(_NETWORK)}
