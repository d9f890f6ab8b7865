"""all-MiniLM-L6-v2: English sentences to 384-d unit rows.

Without torch, because importing it takes longer than everything else in a cold search together. Knows the
checkpoint's layout; knows nothing of spaces, centring or prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from safetensors.numpy import load_file
from threadpoolctl import ThreadpoolController
from tokenizers import Tokenizer

from search.arrays import Float32Array
from search.spaces.text.bert import Bert, Layer, Matrix, Norm, batches, in_eight_bits, unit_layers
from search.spaces.weights import MINILM, MINILM_TOKENIZER

DIMENSION = 384
MAX_TOKENS = 256  # what the model was trained with; longer texts are cut
# Whose hidden states are told, the last first; 0 is the words before any layer has mixed them.
LAYERS = (6, 5, 0)
_HEADS = 12
_UNKNOWN = "[UNK]"


class MiniLM:
    """The sentence encoder. Stateless after loading, so any number of threads may call it."""

    def __init__(self, weights: dict[str, Float32Array], tokenizer: Tokenizer) -> None:
        """`weights` of BERT, each matrix `(out, in)`, by their published names."""
        self._tokenizer = tokenizer
        self._words = weights["embeddings.word_embeddings.weight"]
        # Every text is one sentence of type 0, so the type's vector can join the positions.
        positions = weights["embeddings.position_embeddings.weight"]
        self._positions = positions + weights["embeddings.token_type_embeddings.weight"][0]
        layers = [_layer(weights, f"encoder.layer.{number}.") for number in range(LAYERS[0])]
        self._encoder = Bert(_norm(weights, "embeddings.LayerNorm"), layers, _HEADS, LAYERS[1:])

    @classmethod
    def load(cls) -> Self:
        """Read the checked weights from the installed package. Raises SpaceError."""
        _one_thread_for_numpy()
        tokenizer = Tokenizer.from_file(str(MINILM_TOKENIZER.find()))
        tokenizer.enable_truncation(MAX_TOKENS)
        tokenizer.no_padding()
        return cls(load_file(MINILM.find()), tokenizer)

    def encode(self, texts: Sequence[str]) -> Float32Array:
        """`(len(texts), 384) float32`, unit rows."""
        return self.layers(texts)[:, 0]

    def layers(self, texts: Sequence[str]) -> Float32Array:
        """`(len(texts), len(LAYERS), 384) float32`, unit rows; the last layer's, which `encode` gives, come first."""
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        out = np.empty((len(tokens), len(LAYERS), DIMENSION), np.float32)
        for batch in batches(tokens):
            ids = np.array([tokens[row] for row in batch])
            out[batch] = self._encoder(self._words[ids] + self._positions[: ids.shape[1]])
        return unit_layers(out)

    def cuts(self, text: str) -> bool:
        """Whether only the beginning of a text is read."""
        return bool(self._tokenizer.encode(text).overflowing)

    def reading(self, texts: Sequence[str]) -> Float32Array:
        """`(len(texts), 2) float32`: how many pieces a word falls into on average, and the share of unknown pieces.

        English words are one piece or two, those of other languages are cut into many.
        """
        rows = []
        for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False):
            words = {word for word in encoding.word_ids if word is not None}
            pieces = max(1, len(encoding.ids))
            rows.append((pieces / max(1, len(words)), encoding.tokens.count(_UNKNOWN) / pieces))
        return np.array(rows, np.float32).reshape(len(texts), 2)


def _layer(weights: dict[str, Float32Array], name: str) -> Layer:
    def matrix(part: str) -> Matrix:
        return in_eight_bits(weights[f"{name}{part}.weight"], weights[f"{name}{part}.bias"])

    return Layer(
        query=matrix("attention.self.query"),
        key=matrix("attention.self.key"),
        value=matrix("attention.self.value"),
        attended=matrix("attention.output.dense"),
        attention_norm=_norm(weights, f"{name}attention.output.LayerNorm"),
        widen=matrix("intermediate.dense"),
        narrow=matrix("output.dense"),
        norm=_norm(weights, f"{name}output.LayerNorm"),
    )


def _norm(weights: dict[str, Float32Array], name: str) -> Norm:
    return Norm(weights[f"{name}.weight"], weights[f"{name}.bias"])


def _one_thread_for_numpy() -> None:
    """Let NumPy multiply on the calling thread, in the whole process.

    The matrices of a query are too small to share: where anything else runs, two threads of OpenBLAS spin for
    each other, seven times as long as one needs alone.
    """
    ThreadpoolController().select(prefix="libscipy_openblas").limit(limits=1)
