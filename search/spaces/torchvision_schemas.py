"""Lets open_clip import torchvision where torch is a CPU build and torchvision a CUDA build.

Such a torchvision finds no compiled operators and fails at import with "operator torchvision::nms does
not exist". Declaring the two schemas it looks up is enough: open_clip never calls them. With a matching
pair the operators exist and nothing is done.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

import torch

_OPERATORS = ("nms", "qnms")
# A library is unregistered when it is collected, so it has to live as long as the process.
_declared: list[Any] = []


def declare_missing() -> None:
    """Declare the schemas unless torch has CUDA, in which case torchvision brings its own."""
    if _declared or torch.version.cuda or torch.version.hip or not _installed():
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in _OPERATORS:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)


def _installed() -> bool:
    try:
        version = importlib.metadata.version("torchvision")
    except importlib.metadata.PackageNotFoundError:
        return False
    # A CPU build says so and carries its own operators.
    return "+cpu" not in version
