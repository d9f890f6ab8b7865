"""The starter's image encoder: pictures to vectors in the sentence space.

Puts the network and the head together on a device. Knows weight files; knows nothing of queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Self

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from search.spaces.device import Lanes, choose_device, choose_dtype
from search.spaces.efficientnet import EfficientNet, load_efficientnet, normalise
from search.spaces.image_head import ImageHead, conse, grid_of
from search.spaces.inputs import Picture
from search.spaces.weights import IMAGE, PRIOR, shipped

_BATCH = {"cpu": 4, "cuda": 64}  # pictures; larger batches fall out of a processor's cache


class ImageEncoder:
    """Pictures of the network's size to 384-d unit rows. Any number of threads may call it."""

    def __init__(
        self, network: EfficientNet, head: ImageHead | None, classes: Tensor, device: torch.device, threads: int
    ) -> None:
        """`classes`: the vectors of the network's classes, `(1000, 384) float32`; `threads` 0: one per core."""
        self._device = device
        self._lanes = Lanes(threads, "medley-pictures") if device.type == "cpu" else None
        self._dtype = choose_dtype(device)
        network = network.to(device=device, dtype=self._dtype)
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in the stub
        self._network.classify.float()  # a thousand close numbers: not the place to save bits
        self._head = head.to(device) if head is not None else None
        self._classes = classes.to(device)

    @classmethod
    def load(cls, device: str, threads: int = 0, trained: bool = True) -> Self:
        """Read the checked weights; without training, ConSE alone is left. `threads` 0: one per core.

        Raises SpaceError.
        """
        chosen = choose_device(device)
        classes = load_file(shipped(PRIOR))["classes"].float()
        if not trained:
            return cls(load_efficientnet(), None, classes, chosen, threads)
        weights = {name: tensor.float() for name, tensor in load_file(shipped(IMAGE)).items()}
        head = ImageHead()
        head.load_state_dict(_below("head.", weights))
        return cls(load_efficientnet(_below("network.", weights)), head.eval(), classes, chosen, threads)

    def encode(self, pictures: Sequence[Picture]) -> np.ndarray:
        """`(n, 384) float32`, unit rows; every picture is `(260, 260, 3) uint8`."""
        size = _BATCH[self._device.type]
        parts = [pictures[start : start + size] for start in range(0, len(pictures), size)]
        apply: Callable[..., Iterable[np.ndarray]] = self._lanes.map if self._lanes else map
        return np.concatenate(list(apply(self._project, parts)))

    @torch.inference_mode()
    def _project(self, pictures: Sequence[Picture]) -> np.ndarray:
        batch = torch.from_numpy(np.stack(pictures)).to(self._device)
        features = self._network(normalise(batch, self._dtype)).float()
        pooled = features.mean((2, 3))
        logits = self._network.classify(pooled)
        if self._head is None:
            return conse(logits, self._classes).cpu().numpy()
        projected: Tensor = self._head(pooled, logits, grid_of(features), self._classes)
        return projected.cpu().numpy()


def _below(prefix: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
