"""The lower layers of a Llama-like decoder in torch: token ids to the states of the last of them.

transformers has the same network, and to import it takes four of the five seconds until a first question is answered.
Knows the layout that transformers keeps weights in; knows no words.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

import msgspec
import torch
from msgspec import Struct
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional

from search.multimodal.low_rank import with_update

_ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
_MAPS = (*_ATTENTION, "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


class Turning(Struct, frozen=True):
    """How positions turn queries and keys."""

    rope_theta: float
    rope_type: Literal["default"]


class Shape(Struct, frozen=True):
    """What config.json says of the network, by its names."""

    num_attention_heads: int
    num_key_value_heads: int
    rms_norm_eps: float
    rope_parameters: Turning


class Decoder:
    """Stateless after loading, so any number of threads may call it."""

    def __init__(self, shape: Shape, weights: Mapping[str, Tensor], layers: int) -> None:
        """`weights` by the names of transformers, each matrix `(out, in)`."""
        self._shape, self._layers = shape, layers
        self._held = dict(weights)

    @classmethod
    def load(
        cls, folder: Path, layers: int, updates: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype
    ) -> Self:
        """The first `layers` of the model in a folder.

        `updates`: `layers.INDEX.NAME.a` `(rank, in)` and `.b` `(out, rank)`, whose products are added to the weights.
        Raises OSError, SafetensorError, KeyError, RuntimeError and MsgspecError.
        """
        shape = msgspec.json.decode((folder / "config.json").read_bytes(), type=Shape)
        with safe_open(folder / "model.safetensors", framework="pt") as file:
            wanted = [name for name in file.keys() if _layer_of(name) < layers]  # noqa: SIM118 - not a mapping
            weights = {name.removeprefix("model."): file.get_tensor(name) for name in wanted}
        for name in [name.removesuffix(".a") for name in updates if name.endswith(".a")]:
            weights[f"{name}.weight"] = with_update(weights[f"{name}.weight"], updates, name)
        return cls(shape, {name: tensor.to(device, dtype) for name, tensor in weights.items()}, layers)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._held["norm.weight"].device

    def states(self, ids: Tensor) -> Tensor:
        """`(n, length) int64` -> `(n, length, width)` behind the last norm. Each position sees those before it."""
        states = functional.embedding(ids, self._held["embed_tokens.weight"])
        cosines, sines = self._angles(ids.shape[1], states.dtype)
        for index in range(self._layers):
            states = self._layer(f"layers.{index}", states, cosines, sines)
        return self._normed("norm", states)

    def _layer(self, name: str, states: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        query, key, value, out, gate, up, down = (self._held[f"{name}.{part}.weight"] for part in _MAPS)
        n, length, _ = states.shape
        normed = self._normed(f"{name}.input_layernorm", states)
        heads = (self._shape.num_attention_heads, self._shape.num_key_value_heads, self._shape.num_key_value_heads)
        asked, held, told = (
            functional.linear(normed, weight).view(n, length, count, -1).transpose(1, 2)
            for weight, count in zip((query, key, value), heads, strict=True)
        )
        asked, held = (part * cosines + _turned(part) * sines for part in (asked, held))
        seen = functional.scaled_dot_product_attention(asked, held, told, is_causal=True, enable_gqa=True)
        states = states + functional.linear(seen.transpose(1, 2).reshape(n, length, -1), out)
        normed = self._normed(f"{name}.post_attention_layernorm", states)
        wide = functional.silu(functional.linear(normed, gate)) * functional.linear(normed, up)
        return states + functional.linear(wide, down)

    def _normed(self, name: str, states: Tensor) -> Tensor:
        exact = states.float()
        scaled = exact * torch.rsqrt(exact.pow(2).mean(-1, keepdim=True) + self._shape.rms_norm_eps)
        return self._held[f"{name}.weight"] * scaled.to(states.dtype)

    def _angles(self, length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines `(length, width of a head)` by which positions turn (RoPE, arXiv 2104.09864)."""
        width = len(self._held["layers.0.self_attn.q_proj.weight"]) // self._shape.num_attention_heads
        places = torch.arange(0, width, 2, device=self.device).float() / width
        speeds = self._shape.rope_parameters.rope_theta**-places
        angles = torch.outer(torch.arange(length, device=self.device).float(), torch.cat([speeds, speeds]))
        return angles.cos().to(dtype), angles.sin().to(dtype)


def _layer_of(name: str) -> int:
    """`model.layers.7.mlp.up_proj.weight` is of layer 7; what belongs to none of layer 0."""
    parts = name.split(".")
    return int(parts[2]) if parts[1] == "layers" else 0


def _turned(part: Tensor) -> Tensor:
    first, second = part.chunk(2, dim=-1)
    return torch.cat([-second, first], dim=-1)
