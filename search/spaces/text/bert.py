"""BERT's encoder on onnxruntime, its matrices in four or eight bits: embedded tokens to sentence vectors.

A query has some ten tokens, so its time is the time to read the weights: in eight bits a quarter of float32's, and
the products themselves run on integers. Activations are rounded to eight bits in blocks, too. Knows the layout of a
layer; knows nothing of tokens, of checkpoints or of what a vector is for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnxruntime
from msgspec import Struct

from search.arrays import Float32Array, UInt8Array
from search.spaces.space import unit_rows
from search.spaces.text.onnx_graph import Graph

_INTEGER_PRODUCTS = 4  # MatMulNBits' accuracy_level: activations in eight bits
_EPSILON = 1e-12
_BATCH_TOKENS = 1024  # bounds memory: the widest activation is 1,536 floats a token


class Matrix(Struct, frozen=True):
    """A linear layer in `bits` bits: a weight is (level - middle) * scale, the middle being 8 or 128."""

    levels: UInt8Array  # (out, blocks, bytes) uint8; of four bits, the first of a pair lies in the low half
    scales: Float32Array  # (out, blocks) float32
    bias: Float32Array  # (out,) float32
    bits: int
    block: int  # weights that share a scale


class Norm(Struct, frozen=True):
    """A layer normalisation."""

    scale: Float32Array  # (width,) float32
    shift: Float32Array


class Layer(Struct, frozen=True, kw_only=True):
    """One post-norm transformer layer."""

    query: Matrix
    key: Matrix
    value: Matrix
    attended: Matrix
    attention_norm: Norm
    widen: Matrix
    narrow: Matrix
    norm: Norm


class Bert:
    """Stateless after loading; any number of threads may call it. Every call uses its own thread alone."""

    def __init__(self, norm: Norm, layers: Sequence[Layer], heads: int, also: Sequence[int] = ()) -> None:
        options = onnxruntime.SessionOptions()
        # Threads that wait for each other spin, which on a busy machine costs many times what they save.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_mem_pattern = False  # lengths differ from call to call
        model = _model(norm, layers, heads, also)
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def __call__(self, embedded: Float32Array) -> Float32Array:
        """`(n, length, width) float32`, not yet normalised -> means of hidden states, `(n, layers, width)`.

        Those of the last layer come first, then those of the layers in `also`.
        """
        return np.stack(self._session.run(None, {"embedded": embedded}), axis=1)


def in_eight_bits(weight: Float32Array, bias: Float32Array, block: int = 16) -> Matrix:
    """Round `(out, in) float32` to 255 levels in each block of a row; vectors keep a cosine of 0.9997."""
    blocks = weight.reshape(len(weight), -1, block)
    scales = np.abs(blocks).max(axis=2) / 127
    scales[scales == 0] = 1
    levels = (np.rint(blocks / scales[..., None]) + 128).astype(np.uint8)
    return Matrix(levels=levels, scales=scales.astype(np.float32), bias=bias, bits=8, block=block)


def unit_layers(states: Float32Array) -> Float32Array:
    """`(n, layers, width)` -> the same, every layer's row a unit row."""
    return unit_rows(states.reshape(-1, states.shape[-1])).reshape(states.shape)


def batches(tokens: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Rows of texts of one length, some of them together.

    So there is no padding and there are no masks, and no vector depends on its neighbours.
    """
    by_length: dict[int, list[int]] = {}
    for row, ids in enumerate(tokens):
        by_length.setdefault(len(ids), []).append(row)
    for length, rows in by_length.items():
        step = max(1, _BATCH_TOKENS // length)
        for start in range(0, len(rows), step):
            yield rows[start : start + step]


def _model(norm: Norm, layers: Sequence[Layer], heads: int, also: Sequence[int]) -> bytes:
    graph = Graph()
    width = len(norm.scale)
    scale, shift = graph.weight("scale", norm.scale), graph.weight("shift", norm.shift)
    hidden = graph.node("LayerNormalization", ["embedded", scale, shift], "normed", axis=-1, epsilon=_EPSILON)
    after = [hidden]
    for number, layer in enumerate(layers):
        after.append(_layer(graph, f"{number}.", layer, after[-1], heads))
    means = {f"mean{number}": after[number] for number in (len(layers), *also)}
    for name, hidden in means.items():
        graph.node("ReduceMean", [hidden], name, axes=(1,), keepdims=0)
    return graph.model({"embedded": ("n", "length", width)}, dict.fromkeys(means, ("n", width)))


def _layer(graph: Graph, name: str, layer: Layer, hidden: str, heads: int) -> str:
    parts = [_product(graph, name + part, getattr(layer, part), hidden) for part in ("query", "key", "value")]
    mixed = graph.contrib("MultiHeadAttention", parts, name + "mixed", num_heads=heads)
    attended = _product(graph, name + "attended", layer.attended, mixed)
    hidden = _joined(graph, name + "attention_norm", layer.attention_norm, attended, hidden)
    wide = graph.contrib("Gelu", [_product(graph, name + "widen", layer.widen, hidden)], name + "wide")
    return _joined(graph, name + "norm", layer.norm, _product(graph, name + "narrow", layer.narrow, wide), hidden)


def _product(graph: Graph, name: str, matrix: Matrix, x: str) -> str:
    out, blocks, _ = matrix.levels.shape
    weights = [
        graph.weight(name + ".levels", matrix.levels),
        graph.weight(name + ".scales", matrix.scales.reshape(-1)),
        "",  # the middle of the levels is the usual one
        "",
        graph.weight(name + ".bias", matrix.bias),
    ]
    return graph.contrib(
        "MatMulNBits",
        [x, *weights],
        name + ".out",
        K=blocks * matrix.block,
        N=out,
        bits=matrix.bits,
        block_size=matrix.block,
        accuracy_level=_INTEGER_PRODUCTS,
    )


def _joined(graph: Graph, name: str, norm: Norm, x: str, skipped: str) -> str:
    weights = [graph.weight(name + ".scale", norm.scale), graph.weight(name + ".shift", norm.shift)]
    return graph.contrib("SkipLayerNormalization", [x, skipped, *weights], name + ".out", epsilon=_EPSILON)
