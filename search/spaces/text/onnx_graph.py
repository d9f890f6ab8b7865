"""Small ONNX models, written without the `onnx` package: nodes and weights to bytes that onnxruntime opens.

Knows the few protocol buffer fields of `onnx.proto` that a text encoder needs; knows nothing of what its nodes
compute.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np

_IR_VERSION = 8
_OPERATORS = 17  # version of ONNX's own operators: the first with LayerNormalization
_CONTRIB = "com.microsoft"  # onnxruntime's operators, always version 1
_TENSOR_TYPES = {np.dtype(np.float32): 1, np.dtype(np.uint8): 2}
_FLOAT, _INT, _INTS = 1, 2, 7  # types of attributes

Attribute = int | float | tuple[int, ...]
Dimensions = Sequence[str | int]  # a name stands for any size


class Graph:
    """A graph under construction. Tensors are known by their names."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._weights: dict[str, bytes] = {}

    def weight(self, name: str, values: np.ndarray) -> str:
        """Add a constant `(...)`, float32 or uint8; returns its name. Raises ValueError when the name is taken."""
        if name in self._weights:
            raise ValueError(f"the graph already has a weight {name!r}")
        sizes = b"".join(_number(1, size) for size in values.shape)
        kind = _number(2, _TENSOR_TYPES[values.dtype])
        self._weights[name] = sizes + kind + _text(8, name) + _message(9, np.ascontiguousarray(values).tobytes())
        return name

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Attribute) -> str:
        """One of ONNX's operators; gives the name of its output. An empty input is one that is left out."""
        return self._add(operator, "", inputs, output, attributes)

    def contrib(self, operator: str, inputs: Sequence[str], output: str, **attributes: Attribute) -> str:
        """One of onnxruntime's own operators, otherwise as `node`."""
        return self._add(operator, _CONTRIB, inputs, output, attributes)

    def model(self, inputs: Mapping[str, Dimensions], outputs: Mapping[str, Dimensions]) -> bytes:
        """The serialised model; all inputs and outputs are float32."""
        graph = [*(_message(1, node) for node in self._nodes), _text(2, "encoder")]
        graph += [_message(5, weight) for weight in self._weights.values()]
        graph += [_message(11, _value(name, sizes)) for name, sizes in inputs.items()]
        graph += [_message(12, _value(name, sizes)) for name, sizes in outputs.items()]
        versions = [_text(1, domain) + _number(2, version) for domain, version in (("", _OPERATORS), (_CONTRIB, 1))]
        parts = [_number(1, _IR_VERSION), _message(7, b"".join(graph)), *(_message(8, message) for message in versions)]
        return b"".join(parts)

    def _add(
        self, operator: str, domain: str, inputs: Sequence[str], output: str, attributes: Mapping[str, Attribute]
    ) -> str:
        parts = [_text(1, name) for name in inputs]
        parts += [_text(2, output), _text(4, operator), _text(7, domain)]
        parts += [_message(5, _attribute(name, value)) for name, value in attributes.items()]
        self._nodes.append(b"".join(parts))
        return output


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, float):
        return _text(1, name) + _tag(2, 5) + struct.pack("<f", value) + _number(20, _FLOAT)
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, _INT)
    return _text(1, name) + b"".join(_number(8, part) for part in value) + _number(20, _INTS)


def _value(name: str, sizes: Dimensions) -> bytes:
    shape = b"".join(_message(1, _text(2, size) if isinstance(size, str) else _number(1, size)) for size in sizes)
    tensor = _number(1, _TENSOR_TYPES[np.dtype(np.float32)]) + _message(2, shape)
    return _text(1, name) + _message(2, _message(1, tensor))


# The wire format: a tag (field number and kind), then a varint, or a length and that many bytes.


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are written as their two's complement
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tag(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _number(field: int, value: int) -> bytes:
    return _tag(field, 0) + _varint(value)


def _message(field: int, value: bytes) -> bytes:
    return _tag(field, 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode())
