"""The later blocks of the image network in a form that trains fast on a CPU, and back again.

Pointwise convolutions become matrix products over rows of channels (five times as fast in bfloat16),
depthwise filters stay frozen, so that their gradient is one more convolution.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from search.spaces.efficientnet import load_efficientnet
from search.spaces.image_head import grid_of
from training.photos import TUNED_FROM


class Tail(nn.Module):
    """`(n, h, w, 88)` feature maps -> pooled features, logits and grid, as `ImageHead` takes them."""

    def __init__(self) -> None:
        super().__init__()
        network = load_efficientnet()
        blocks: list[Any] = [*network.blocks.children()][TUNED_FROM:]
        self.expand = nn.ModuleList(_pointwise(block.expand) for block in blocks)
        self.project = nn.ModuleList(_pointwise(block.project) for block in blocks)
        self.head = _pointwise(network.head)
        self.classify = network.classify.requires_grad_(False)
        self._residual = [block.residual for block in blocks]
        self._depthwise = [block.depthwise for block in blocks]
        self._filters = [
            (block.depthwise.weight.bfloat16().contiguous(memory_format=torch.channels_last), block.depthwise.bias)
            for block in blocks
        ]

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pooled features `(n, 1280)`, logits `(n, 1000)` and the grid of features, for `ImageHead`."""
        x = maps
        for i, (weight, bias) in enumerate(self._filters):
            wide = functional.relu6(_linear(x, self.expand[i]))
            wide = _Depthwise.apply(wide, weight.to(x.device), bias.to(x))  # type: ignore[no-untyped-call]  # torch leaves it untyped
            out = _linear(functional.relu6(_thin(wide, self._depthwise[i])), self.project[i])
            x = out + x if self._residual[i] else out
        features = functional.relu6(_linear(x, self.head)).permute(0, 3, 1, 2)
        pooled = features.float().mean((2, 3))
        return pooled, self.classify(pooled), grid_of(features).float()

    def tuned(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """What is learned: of the first stage, on which all that follows rests, and of the rest."""
        early = [convolution.stride[0] for convolution in self._depthwise].index(2)
        first = [*self.expand[:early].parameters(), *self.project[:early].parameters()]
        known = {id(p) for p in first}
        return first, [p for p in self.parameters() if p.requires_grad and id(p) not in known]

    def network_state(self) -> dict[str, Tensor]:
        """The tuned weights under the names that `EfficientNet` gives them."""
        state: dict[str, Tensor] = {}
        named = [(f"blocks.{TUNED_FROM + i}.expand", layer) for i, layer in enumerate(self.expand)]
        named += [(f"blocks.{TUNED_FROM + i}.project", layer) for i, layer in enumerate(self.project)]
        for name, layer in [*named, ("head", self.head)]:
            assert isinstance(layer, nn.Linear)
            state[f"{name}.weight"] = layer.weight.detach()[:, :, None, None]
            state[f"{name}.bias"] = layer.bias.detach()
        return state


class _Depthwise(torch.autograd.Function):
    """A frozen depthwise filter; its gradient is the convolution with the filter turned around."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.weight = weight
        return _filter(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _filter(gradients[0], ctx.weight.flip(2, 3), None), None, None


def _filter(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    channels, padding = weight.shape[0], weight.shape[-1] // 2
    y = functional.conv2d(x.permute(0, 3, 1, 2), weight, bias, padding=padding, groups=channels)
    return y.permute(0, 2, 3, 1)


def _thin(x: Tensor, convolution: Any) -> Tensor:
    """Of what its filter gives with stride 1, the places that the network's own convolution has."""
    stride = convolution.stride[0]
    if stride == 1:
        return x
    before, _ = convolution.pad(x.shape[1])
    first = convolution.kernel_size[0] // 2 - before
    return x[:, first::stride, first::stride]


def _pointwise(convolution: nn.Conv2d) -> nn.Linear:
    layer = nn.Linear(convolution.in_channels, convolution.out_channels)
    assert convolution.bias is not None
    layer.load_state_dict({"weight": convolution.weight[:, :, 0, 0], "bias": convolution.bias})
    return layer


def _linear(x: Tensor, layer: nn.Module) -> Tensor:
    assert isinstance(layer, nn.Linear)
    return functional.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype))
