"""The starter's image encoder: pictures to vectors in the sentence space.

Puts the network and the head together on a device. Knows weight files; knows nothing of queries.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from search.spaces.device import choose_device, choose_dtype
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
        self._device = device
        self._lanes = _lanes(threads or torch.get_num_threads()) if device.type == "cpu" else None
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
        return self._head(pooled, logits, grid_of(features), self._classes).cpu().numpy()


def _lanes(count: int) -> ThreadPoolExecutor:
    """Threads that compute with one core each.

    A network this small gains little from several cores for one batch, and threads that wait for each
    other by spinning lose most of it as soon as decoders want the same cores: measured on two busy cores,
    33 pictures a second in two lanes, 12 with two threads a batch.
    """
    wanted = torch.get_num_threads()
    made = threading.Barrier(count)

    def begin() -> None:
        torch.set_num_threads(1)
        made.wait()

    lanes = ThreadPoolExecutor(count, "medley-pictures", begin)
    for started in [lanes.submit(int) for _ in range(count)]:
        started.result()
    torch.set_num_threads(wanted)  # for threads that begin later: the call above is theirs too
    return lanes


def _below(prefix: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
