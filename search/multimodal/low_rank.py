"""Low-rank updates of linear layers (LoRA, arXiv 2106.09685): trained beside frozen weights, or merged into them.

Knows layers of transformers by the names of their parts; knows no data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional


class LowRankLinear(nn.Module):
    """A frozen linear layer and the update of rank `r` that is trained beside it; begins as the layer itself."""

    def __init__(self, frozen: nn.Linear, rank: int) -> None:
        super().__init__()
        self.frozen = frozen.requires_grad_(False)
        where = frozen.weight.device
        # Drawn on the CPU, so that a seed means the same numbers on any device.
        self.a = nn.Parameter((torch.randn(rank, frozen.in_features) / math.sqrt(frozen.in_features)).to(where))
        self.b = nn.Parameter(torch.zeros(frozen.out_features, rank, device=where))

    def forward(self, x: Tensor) -> Tensor:
        """As the layer."""
        plain: Tensor = self.frozen(x)
        return plain + functional.linear(functional.linear(x, self.a.to(x.dtype)), self.b.to(x.dtype))


def linear_parts(layer: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """The linear layers inside a decoder layer, by their dotted names."""
    for name, part in layer.named_modules():
        if isinstance(part, nn.Linear):
            yield name, part


def attach(layer: nn.Module, rank: int) -> dict[str, LowRankLinear]:
    """Put an update beside every linear layer of a decoder layer; returns them by name."""
    attached = {}
    for name, part in list(linear_parts(layer)):
        path, _, last = name.rpartition(".")
        attached[name] = LowRankLinear(part, rank)
        setattr(layer.get_submodule(path), last, attached[name])
    return attached


def with_update(weight: Tensor, updates: Mapping[str, Tensor], name: str) -> Tensor:
    """`weight` `(out, in)` plus `NAME.b` `(out, rank)` @ `NAME.a` `(rank, in)`, in float32.

    Raises KeyError where one is missing.
    """
    update = updates[f"{name}.b"].float() @ updates[f"{name}.a"].float()
    return weight.float() + update.to(weight.device)


@torch.no_grad()
def merge(layer: nn.Module, updates: Mapping[str, Tensor]) -> None:
    """Add the updates, `(rank, in)` and `(out, rank)`, to the weights of a decoder layer; see `with_update`."""
    for name, part in linear_parts(layer):
        part.weight.copy_(with_update(part.weight, updates, name))
