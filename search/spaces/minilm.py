"""all-MiniLM-L6-v2 in NumPy: sentences to 384-d unit rows.

NumPy and not torch, because importing torch takes longer than everything else in a cold search
together. Knows the checkpoint's layout; knows nothing of spaces, centring or prompts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
from safetensors.numpy import load_file
from threadpoolctl import ThreadpoolController
from tokenizers import Tokenizer

from search.spaces.space import unit_rows
from search.spaces.weights import MINILM, MINILM_TOKENIZER

DIMENSION = 384
MAX_TOKENS = 256  # what the model was trained with; longer texts are cut
_LAYERS = 6
_HEADS = 12
_NORM_EPSILON = 1e-12
_BATCH_TOKENS = 1024  # bounds memory: the widest activation is 1536 floats a token


class MiniLM:
    """The sentence encoder. Stateless after loading, so any number of threads may call it."""

    def __init__(self, weights: dict[str, np.ndarray], tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._words = weights["embeddings.word_embeddings.weight"]
        # Every text is one sentence of type 0, so the type's vector can join the positions.
        positions = weights["embeddings.position_embeddings.weight"]
        self._positions = positions + weights["embeddings.token_type_embeddings.weight"][0]
        self._norm = _Norm(weights, "embeddings.LayerNorm")
        self._layers = [_Layer(weights, f"encoder.layer.{i}") for i in range(_LAYERS)]

    @classmethod
    def load(cls) -> Self:
        """Read the checked weights from the installed package. Raises SpaceError."""
        _one_thread_for_numpy()
        tokenizer = Tokenizer.from_file(str(MINILM_TOKENIZER.find()))
        tokenizer.enable_truncation(MAX_TOKENS)
        tokenizer.no_padding()
        return cls(load_file(MINILM.find()), tokenizer)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """`(len(texts), 384) float32`, unit rows."""
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        out = np.empty((len(tokens), DIMENSION), np.float32)
        # Texts of one length make one batch: no padding, so no masks, and no vector depends on its neighbours.
        by_length: dict[int, list[int]] = {}
        for row, ids in enumerate(tokens):
            by_length.setdefault(len(ids), []).append(row)
        for length, rows in by_length.items():
            step = max(1, _BATCH_TOKENS // length)
            for start in range(0, len(rows), step):
                batch = rows[start : start + step]
                out[batch] = self._forward(np.array([tokens[row] for row in batch]))
        return unit_rows(out)

    def _forward(self, ids: np.ndarray) -> np.ndarray:
        """`(n, length) int` -> the mean of the last hidden states, `(n, 384)`."""
        n, length = ids.shape
        embedded = self._words[ids] + self._positions[:length]
        hidden = self._norm(embedded.reshape(n * length, DIMENSION).T)
        for layer in self._layers:
            hidden = layer(hidden, n)
        return hidden.reshape(DIMENSION, n, length).mean(axis=2).T


# Hidden states are (features, tokens) below, so that the weights stand on the left of every product:
# for the ten tokens of a query BLAS is then 1.7 times as fast as the other way round.


class _Layer:
    """One post-norm transformer layer."""

    def __init__(self, weights: dict[str, np.ndarray], name: str) -> None:
        parts = [_Linear(weights, f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
        self._qkv_weight = np.concatenate([part.weight for part in parts])
        self._qkv_bias = np.concatenate([part.bias for part in parts])
        self._attended = _Linear(weights, f"{name}.attention.output.dense")
        self._attention_norm = _Norm(weights, f"{name}.attention.output.LayerNorm")
        self._widen = _Linear(weights, f"{name}.intermediate.dense")
        self._narrow = _Linear(weights, f"{name}.output.dense")
        self._norm = _Norm(weights, f"{name}.output.LayerNorm")

    def __call__(self, hidden: np.ndarray, n: int) -> np.ndarray:
        hidden = self._attention_norm(hidden + self._attended(self._attend(hidden, n)))
        return self._norm(hidden + self._narrow(_gelu(self._widen(hidden))))

    def _attend(self, hidden: np.ndarray, n: int) -> np.ndarray:
        width, tokens = hidden.shape
        qkv = self._qkv_weight @ hidden + self._qkv_bias
        query, key, value = qkv.reshape(3, _HEADS, width // _HEADS, n, tokens // n).transpose(0, 3, 1, 2, 4)
        weights = _softmax(query.swapaxes(-1, -2) @ key / np.float32(math.sqrt(width // _HEADS)))
        mixed = value @ weights.swapaxes(-1, -2)  # (n, heads, features of a head, length)
        return mixed.transpose(1, 2, 0, 3).reshape(width, tokens)


class _Linear:
    def __init__(self, weights: dict[str, np.ndarray], name: str) -> None:
        self.weight = weights[f"{name}.weight"]
        self.bias = weights[f"{name}.bias"][:, None]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        out = self.weight @ x
        out += self.bias
        return out


class _Norm:
    def __init__(self, weights: dict[str, np.ndarray], name: str) -> None:
        self._scale, self._shift = weights[f"{name}.weight"][:, None], weights[f"{name}.bias"][:, None]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        x = x - x.mean(axis=0)
        x /= np.sqrt(np.square(x).mean(axis=0) + np.float32(_NORM_EPSILON))
        x *= self._scale
        x += self._shift
        return x


def _one_thread_for_numpy() -> None:
    """Let NumPy multiply on the calling thread, in the whole process.

    The matrices of a query are too small to share: where anything else runs, two threads of OpenBLAS spin for
    each other, seven times as long as one needs alone.
    """
    ThreadpoolController().select(prefix="libscipy_openblas").limit(limits=1)


def _softmax(x: np.ndarray) -> np.ndarray:
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    x /= x.sum(axis=-1, keepdims=True)
    return x


def _gelu(x: np.ndarray) -> np.ndarray:
    """The exact form, x * Phi(x), with erf by Abramowitz & Stegun 7.1.26 (error below 2e-7)."""
    z = np.abs(x) * np.float32(math.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = t * np.float32(1.061405429) - np.float32(1.453152027)
    for coefficient in (1.421413741, -0.284496736, 0.254829592):
        series *= t
        series += np.float32(coefficient)
    series *= t
    tail = series * np.exp(-z * z) * np.float32(0.5)  # half of 1 - erf(z)
    return x * np.where(x < 0, tail, 1 - tail)
