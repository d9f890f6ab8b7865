"""The sentence encoder in torch, with low-rank adapters (LoRA, arXiv 2106.09685): what the reader is trained as.

The same network as search/spaces/text/minilm.py and with the same names of weights. Knows tokens; knows no questions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 384
HEADS = 12
LAYERS = 6
FIRST_ADAPTED = 2  # the layers below read words, not questions; without their gradients a step takes two thirds
_EPSILON = 1e-12
# The products of a layer that get adapters, by the checkpoint's names.
ADAPTED = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)


class Frozen(nn.Module):
    """A linear map that stays as it is."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        """`weight` `(out, in)`, `bias` `(out,)`."""
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, x: Tensor) -> Tensor:
        """`(..., in)` -> `(..., out)`."""
        return functional.linear(x, self.weight, self.bias)


class Adapted(nn.Module):
    """A frozen linear map and the product of two thin trained ones beside it."""

    def __init__(self, weight: Tensor, bias: Tensor, rank: int) -> None:
        """`weight` `(out, in)`, `bias` `(out,)`."""
        super().__init__()
        self.weight, self.bias = weight, bias
        # Drawn on the CPU, so that a seed means the same numbers on any device.
        down = torch.randn(rank, weight.shape[1]) / math.sqrt(weight.shape[1])
        self.down = nn.Parameter(down.to(weight.device))
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank, device=weight.device))

    def forward(self, x: Tensor) -> Tensor:
        """`(..., in)` -> `(..., out)`."""
        # Not merged: the gradient of a merged map would cost as much as training all of it.
        return functional.linear(x, self.weight, self.bias) + functional.linear(
            functional.linear(x, self.down), self.up
        )


class Layer(nn.Module):
    """One post-norm transformer layer."""

    def __init__(self, weights: Mapping[str, Tensor], name: str, rank: int) -> None:
        """`weights` of BERT, each matrix `(out, in)`, by their published names. `rank` 0: nothing is trained."""
        super().__init__()
        given = [(weights[f"{name}.{part}.weight"], weights[f"{name}.{part}.bias"]) for part in ADAPTED]
        self.maps = nn.ModuleList(Adapted(*parameters, rank) if rank else Frozen(*parameters) for parameters in given)
        self.norms = [
            (weights[f"{name}.{part}.LayerNorm.weight"], weights[f"{name}.{part}.LayerNorm.bias"])
            for part in ("attention.output", "output")
        ]

    @property
    def adapted(self) -> list[Adapted]:
        """What is trained, in the order of ADAPTED."""
        return [part for part in self.maps if isinstance(part, Adapted)]

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """`(n, length, width)` states and what is added to scores of attention -> the next states."""
        query, key, value, mixed, widen, narrow = self.maps
        n, length, _ = hidden.shape
        asked, held, told = (part(hidden).view(n, length, HEADS, -1).transpose(1, 2) for part in (query, key, value))
        attended = functional.scaled_dot_product_attention(asked, held, told, attn_mask=mask)
        hidden = _norm(hidden + mixed(attended.transpose(1, 2).reshape(n, length, WIDTH)), self.norms[0])
        return _norm(hidden + narrow(functional.gelu(widen(hidden))), self.norms[1])


class ReaderNetwork(nn.Module):
    """Token ids -> a score for each statement, and one for "nowhere"."""

    def __init__(self, weights: Mapping[str, Tensor], rank: int) -> None:
        """`weights` of BERT, each matrix `(out, in)`, by their published names."""
        super().__init__()
        self._words = weights["embeddings.word_embeddings.weight"]
        self._positions = weights["embeddings.position_embeddings.weight"]
        self.types = weights["embeddings.token_type_embeddings.weight"]
        self._first = (weights["embeddings.LayerNorm.weight"], weights["embeddings.LayerNorm.bias"])
        self.layers = nn.ModuleList(
            Layer(weights, f"encoder.layer.{i}", rank if i >= FIRST_ADAPTED else 0) for i in range(LAYERS)
        )
        self.statement = nn.Parameter((torch.randn(WIDTH) * 0.02).to(self.device))
        self.nowhere = nn.Parameter((torch.randn(WIDTH) * 0.02).to(self.device))

    @property
    def device(self) -> torch.device:
        """Where the weights were given, and where inputs belong."""
        return self._words.device

    @property
    def encoder(self) -> list[Layer]:
        """From the lowest."""
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def forward(self, ids: Tensor, kinds: Tensor, mask: Tensor, owners: Tensor, many: int) -> Tensor:
        """Scores `(n, 1 + many)`, the first for "nowhere".

        `ids`, `kinds` (0 the question, 1 statements), `mask` (1 where there is a token) and `owners` (index of the
        token's statement, -1 for none): `(n, length)`.
        """
        hidden = self._words[ids] + self._positions[: ids.shape[1]] + self.types[kinds]
        hidden = _norm(hidden, self._first)
        bias = torch.zeros(mask.shape, device=mask.device).masked_fill(mask == 0, -1e9)[:, None, None, :]
        for layer in self.layers:
            hidden = layer(hidden, bias)
        belongs = functional.one_hot(owners + 1, many + 1)[:, :, 1:].float()
        told = (hidden @ self.statement)[:, None, :] @ belongs
        counts = belongs.sum(1)
        means = told[:, 0] / counts.clamp(min=1)
        means = means.masked_fill(counts == 0, -1e9)
        return torch.cat([(hidden[:, 0] @ self.nowhere)[:, None], means], 1)


def _norm(x: Tensor, norm: tuple[Tensor, Tensor]) -> Tensor:
    return functional.layer_norm(x, (WIDTH,), norm[0], norm[1], _EPSILON)
