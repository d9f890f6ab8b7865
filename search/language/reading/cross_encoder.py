"""A BERT in NumPy that gives the last state of every token: what the reader reads with.

NumPy and not torch, because importing torch takes longer than an answer. Post-norm layers with the checkpoint's own
names of weights (arXiv 1810.04805). Knows layers; knows no tokenizer, no question and no file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from search.arrays import Float32Array, Int64Array

_HEADS = 12
_EPSILON = 1e-12

# Hidden states are (features, tokens) below, so that the weights stand on the left of every product: for few tokens
# BLAS is then nearly twice as fast as the other way round.


class CrossEncoder:
    """Stateless after loading, so any number of threads may call it."""

    def __init__(self, weights: Mapping[str, Float32Array], layers: int) -> None:
        """`weights` of BERT, each matrix `(out, in)`, by their published names."""
        self._words = weights["embeddings.word_embeddings.weight"]
        self._positions = weights["embeddings.position_embeddings.weight"]
        self._kinds = weights["embeddings.token_type_embeddings.weight"]
        self._norm = _norm(weights, "embeddings.LayerNorm")
        self._layers = [_Layer(weights, f"encoder.layer.{number}") for number in range(layers)]

    def states(self, ids: Int64Array, kinds: Int64Array) -> Float32Array:
        """`(width, length) float32`. `ids` and `kinds` (0 or 1, of the part that a token belongs to): `(length,)`."""
        embedded = self._words[ids] + self._positions[: len(ids)] + self._kinds[kinds]
        hidden = self._norm(np.ascontiguousarray(embedded.T))
        for layer in self._layers:
            hidden = layer(hidden)
        return hidden


class _Layer:
    def __init__(self, weights: Mapping[str, Float32Array], name: str) -> None:
        parts = [_linear(weights, f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
        self._qkv = _Linear(
            np.concatenate([part.weight for part in parts]), np.concatenate([part.bias for part in parts])
        )
        self._attended = _linear(weights, f"{name}.attention.output.dense")
        self._attention_norm = _norm(weights, f"{name}.attention.output.LayerNorm")
        self._widen = _linear(weights, f"{name}.intermediate.dense")
        self._narrow = _linear(weights, f"{name}.output.dense")
        self._norm = _norm(weights, f"{name}.output.LayerNorm")

    def __call__(self, hidden: Float32Array) -> Float32Array:
        hidden = self._attention_norm(hidden + self._attended(self._attend(hidden)))
        return self._norm(hidden + self._narrow(_gelu(self._widen(hidden))))

    def _attend(self, hidden: Float32Array) -> Float32Array:
        width, length = hidden.shape
        query, key, value = self._qkv(hidden).reshape(3, _HEADS, width // _HEADS, length)
        scores = query.swapaxes(-1, -2) @ key / np.float32(math.sqrt(width // _HEADS))
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        mixed: Float32Array = value @ shares.swapaxes(-1, -2)
        return mixed.reshape(width, length)


class _Linear(NamedTuple):
    weight: Float32Array  # (out, in)
    bias: Float32Array  # (out, 1)

    def __call__(self, x: Float32Array) -> Float32Array:
        out: Float32Array = self.weight @ x
        out += self.bias
        return out


class _Norm(NamedTuple):
    scale: Float32Array  # (width, 1)
    shift: Float32Array

    def __call__(self, x: Float32Array) -> Float32Array:
        x = x - x.mean(axis=0)
        x /= np.sqrt(np.square(x).mean(axis=0) + np.float32(_EPSILON))
        x *= self.scale
        x += self.shift
        return x


def _linear(weights: Mapping[str, Float32Array], name: str) -> _Linear:
    return _Linear(weights[f"{name}.weight"], weights[f"{name}.bias"][:, None])


def _norm(weights: Mapping[str, Float32Array], name: str) -> _Norm:
    return _Norm(weights[f"{name}.weight"][:, None], weights[f"{name}.bias"][:, None])


def _gelu(x: Float32Array) -> Float32Array:
    """The exact form, x * Phi(x), with erf by Abramowitz & Stegun 7.1.26 (error below 2e-7)."""
    z = np.abs(x) * np.float32(math.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = t * np.float32(1.061405429) - np.float32(1.453152027)
    for coefficient in (1.421413741, -0.284496736, 0.254829592):
        series *= t
        series += np.float32(coefficient)
    series *= t
    tail = series * np.exp(-z * z) * np.float32(0.5)  # half of 1 - erf(z)
    result: Float32Array = x * np.where(x < 0, tail, 1 - tail)
    return result
