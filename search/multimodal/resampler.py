"""The resampler: a feature map of any size becomes a few soft tokens (Perceiver, arXiv 2103.03206; 2204.14198).

Each token looks at the map through learned windows and at what stands there. Knows shapes and weights; knows
neither the network that made the map nor the model that reads the tokens. Trained by training/multimodal.py.
"""

from __future__ import annotations

import math

import torch
from msgspec import Struct
from torch import Tensor, nn
from torch.nn import functional

_DROPOUT = 0.1  # in training only
_SHARPNESS = 4.0  # of what a token looks for beside where it looks


class ResamplerShape(Struct, frozen=True, kw_only=True):
    """What decides the shapes of the weights."""

    places: int  # of a map
    channels: int  # of a place
    tokens: int  # soft tokens out
    width: int  # of a soft token: the language model's
    inner: int = 512
    heads: int = 8


class Resampler(nn.Module):
    """`(n, places, channels)` -> `(n, tokens, width)`, as states of the language model's layer that takes them."""

    mean: Tensor
    spread: Tensor

    def __init__(self, shape: ResamplerShape) -> None:
        super().__init__()
        inner = shape.inner
        self._heads = shape.heads
        # Channels differ by orders of magnitude: each is measured in its own deviations over the training maps.
        self.register_buffer("mean", torch.zeros(shape.channels))
        self.register_buffer("spread", torch.ones(shape.channels))
        self.enter = nn.Linear(shape.channels, inner)
        self.enter_norm = nn.LayerNorm(inner)
        self.key = nn.Linear(inner, inner, bias=False)
        self.value = nn.Linear(inner, inner)
        self.query = nn.Parameter(torch.randn(shape.tokens, inner) * 0.02)
        self.window = nn.Parameter(torch.zeros(shape.tokens, shape.heads, shape.places))
        self.name = nn.Parameter(torch.zeros(shape.tokens, inner))
        self.mix_norm = nn.LayerNorm(inner)
        self.up = nn.Linear(inner, 2 * inner)
        self.down = nn.Linear(2 * inner, shape.width)
        self.leave = nn.LayerNorm(shape.width)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, maps: Tensor) -> Tensor:
        """`(n, places, channels) float32` -> `(n, tokens, width) float32`."""
        measured = self.dropout((maps - self.mean) / self.spread)
        held = self.enter_norm(functional.gelu(self.enter(measured)))
        keys, values = (part.unflatten(2, (self._heads, -1)) for part in (self.key(held), self.value(held)))
        query = self.query.unflatten(1, (self._heads, -1))
        likeness = torch.einsum("thd,nphd->nthp", query, keys) * (_SHARPNESS / math.sqrt(query.shape[-1]))
        shares = (likeness + self.window).softmax(dim=-1)
        seen = torch.einsum("nthp,nphd->nthd", shares, values).flatten(2) + self.name
        soft: Tensor = self.leave(self.down(self.dropout(functional.gelu(self.up(self.mix_norm(seen))))))
        return soft


def windows(side: int, grid: int) -> Tensor:
    """Logarithms of Gaussian windows on a square map, where tokens look first: `(grid * grid, side * side)`."""
    places, centres = ((torch.arange(count) + 0.5) / count for count in (side, grid))
    away = -((places[None] - centres[:, None]) ** 2) * 2 * grid**2
    return (away[:, None, :, None] + away[None, :, None, :]).reshape(grid * grid, side * side)
