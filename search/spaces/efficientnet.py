"""EfficientNet-Lite2 (arXiv 1905.11946, the Lite variant): pictures to features and ImageNet logits.

The batch norms are folded into the convolutions when the weights are read: at inference they are the
same linear map, and half of the memory traffic goes. Knows the checkpoint; knows no space.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from search.errors import SpaceError
from search.spaces.weights import EFFICIENTNET

SIDE = 260  # pixels
FEATURES = 1280
CLASSES = 1000
_BATCH_NORM_EPSILON = 1e-3
_STEM = 32  # channels
_EARLY, _MIDDLE = 7, 11  # blocks behind which features of colour and texture are taken for `places`


class _Stage(NamedTuple):
    blocks: int
    kernel: int
    stride: int  # of the first block
    expand: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(3, 3, 2, 6, 24),
    _Stage(3, 5, 2, 6, 48),
    _Stage(4, 3, 2, 6, 88),
    _Stage(4, 5, 1, 6, 120),
    _Stage(5, 5, 2, 6, 208),
    _Stage(1, 3, 1, 6, 352),
)


class EfficientNet(nn.Module):
    """`forward` gives the last feature map `(n, 1280, 9, 9)`; `classify` turns its mean into logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(3, _STEM, kernel=3, stride=2)
        blocks: list[nn.Module] = []
        before = _STEM
        for stage in _STAGES:
            for i in range(stage.blocks):
                blocks.append(_Block(before, stage, stage.stride if i == 0 else 1))
                before = stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.head = _Convolution(before, FEATURES)
        self.classify = nn.Linear(FEATURES, CLASSES)

    def forward(self, pictures: Tensor) -> Tensor:
        """`(n, 3, 260, 260)` as `normalise` makes it -> `(n, 1280, 9, 9)`."""
        features: Tensor = self.head(self.blocks(self.stem(pictures)))
        return features

    def places(self, pictures: Tensor) -> Tensor:
        """As `forward`, with features of earlier blocks, which tell colours apart -> `(n, 81, 1416) float32`."""
        early: Tensor = self.blocks[:_EARLY](self.stem(pictures))
        middle: Tensor = self.blocks[_EARLY:_MIDDLE](early)
        last: Tensor = self.head(self.blocks[_MIDDLE:](middle)).float()
        coarse = [functional.adaptive_avg_pool2d(features.float(), last.shape[2]) for features in (middle, early)]
        return torch.cat([last, *coarse], dim=1).flatten(2).transpose(1, 2)


def normalise(pictures: Tensor, dtype: torch.dtype) -> Tensor:
    """`(n, h, w, 3) uint8` -> `(n, 3, h, w)` of `dtype`, channels last in memory, as the network was trained."""
    return ((pictures.permute(0, 3, 1, 2).to(torch.float32) - 127) / 128).to(dtype)


def load_efficientnet(tuned: Mapping[str, Tensor] | None = None) -> EfficientNet:
    """The published float32 weights, ready for inference; `tuned` ones `(...)` replace them. Raises SpaceError."""
    state: dict[str, Tensor] = torch.load(EFFICIENTNET.find(), map_location="cpu", weights_only=True)
    network = EfficientNet()
    _fold(network.stem, state, "_conv_stem", "_bn0")
    for i, block in enumerate(network.blocks):
        assert isinstance(block, _Block)
        if block.expand is not None:
            _fold(block.expand, state, f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0")
        _fold(block.depthwise, state, f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1")
        _fold(block.project, state, f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2")
    _fold(network.head, state, "_conv_head", "_bn1")
    network.classify.load_state_dict({"weight": state["_fc.weight"], "bias": state["_fc.bias"]})
    if tuned and network.load_state_dict(dict(tuned), strict=False).unexpected_keys:
        raise SpaceError("the tuned weights do not fit the image network: reinstall medley")
    return network.eval().requires_grad_(False)


class _Convolution(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME, which puts the odd pixel at the end."""

    def __init__(self, before: int, after: int, kernel: int = 1, stride: int = 1, groups: int = 1, act: bool = True):
        super().__init__(before, after, kernel, stride, groups=groups)
        self._act = act

    def forward(self, x: Tensor) -> Tensor:
        (top, bottom), (left, right) = self.pad(x.shape[2]), self.pad(x.shape[3])
        if top == bottom and left == right:
            x = functional.conv2d(x, self.weight, self.bias, self.stride, (top, left), 1, self.groups)
        else:
            x = functional.pad(x, (left, right, top, bottom))
            x = functional.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)
        return functional.relu6(x, inplace=not self.training) if self._act else x

    def pad(self, size: int) -> tuple[int, int]:
        """Pixels to add before and after a side of `size` pixels."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        return total // 2, total - total // 2


class _Block(nn.Module):
    """An inverted bottleneck: widen, filter each channel, narrow."""

    def __init__(self, before: int, stage: _Stage, stride: int) -> None:
        super().__init__()
        wide = before * stage.expand
        self.expand = _Convolution(before, wide) if stage.expand > 1 else None
        self.depthwise = _Convolution(wide, wide, stage.kernel, stride, groups=wide)
        self.project = _Convolution(wide, stage.channels, act=False)
        self.residual = stride == 1 and before == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.expand(x) if self.expand is not None else x
        out = self.project(self.depthwise(out))
        return out + x if self.residual else out


def _fold(convolution: _Convolution, state: dict[str, Tensor], weight: str, norm: str) -> None:
    scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + _BATCH_NORM_EPSILON)
    convolution.load_state_dict(
        {
            "weight": state[f"{weight}.weight"] * scale[:, None, None, None],
            "bias": state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale,
        }
    )
