"""The embedded whisper, which is in CTranslate2's form, as a state dict of openai-whisper.

Knows both layouts and nothing else. Nothing in the file is executed: it is numbers with names.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from search.errors import SpaceError

Tensors = dict[str, np.ndarray]

_DTYPES = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}  # by CTranslate2's number of the type
_LAYER = re.compile(r"^(encoder|decoder)/layer_(\d+)/(.+)$")
# Parts of a layer that only change their names.
_RENAMED = {
    "self_attention/layer_norm": "attn_ln",
    "self_attention/linear_1": "attn.out",
    "attention/layer_norm": "cross_attn_ln",
    "attention/linear_0": "cross_attn.query",
    "attention/linear_2": "cross_attn.out",
    "ffn/linear_0": "mlp.0",
    "ffn/linear_1": "mlp.2",
    "ffn/layer_norm": "mlp_ln",
}
# CTranslate2 joins matrices that are applied to the same input; keys have no bias in whisper.
_JOINED = {
    "self_attention/linear_0": ("attn.query", "attn.key", "attn.value"),
    "attention/linear_1": ("cross_attn.key", "cross_attn.value"),
}
_TOP = {
    "encoder/conv1": "encoder.conv1",
    "encoder/conv2": "encoder.conv2",
    "encoder/layer_norm": "encoder.ln_post",
    "decoder/layer_norm": "decoder.ln",
}
_SINGLE = {
    "encoder/position_encodings/encodings": "encoder.positional_embedding",
    "decoder/position_encodings/encodings": "decoder.positional_embedding",
    "decoder/embeddings/weight": "decoder.token_embedding.weight",
}
_KINDS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}


def read_ctranslate2(path: Path) -> Tensors:
    """All tensors of a `model.bin`. Raises SpaceError."""
    try:
        with path.open("rb") as file:
            return _Reader(file).tensors()
    except (OSError, struct.error, ValueError, KeyError) as error:
        raise SpaceError(f"{path}: not a CTranslate2 model that can be converted: {error}") from None


class _Reader:
    """Walks through a `model.bin`: little-endian numbers, strings with their length, raw arrays."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def tensors(self) -> Tensors:
        _version, _name, _revision = self._number("I"), self._text(), self._number("I")
        return dict(self._tensor() for _ in range(self._number("I")))

    def _tensor(self) -> tuple[str, np.ndarray]:
        name = self._text()
        shape = [self._number("I") for _ in range(self._number("B"))]
        dtype = np.dtype(_DTYPES[self._number("B")])
        data = self._file.read(self._number("I"))
        return name, np.frombuffer(data, dtype).reshape(shape)

    def _number(self, code: str) -> int:
        return int(struct.unpack("<" + code, self._file.read(struct.calcsize("<" + code)))[0])

    def _text(self) -> str:
        return self._file.read(self._number("H")).rstrip(b"\0").decode()


def to_openai(tensors: Tensors) -> Tensors:
    """Names and shapes of openai-whisper's `state_dict`, float32."""
    state: Tensors = {}
    for name, value in tensors.items():
        if value.dtype.kind != "f":
            continue  # settings of CTranslate2
        for new_name, part in _converted(name, value):
            state[new_name] = np.ascontiguousarray(part, np.float32)
    return state


def _converted(name: str, value: np.ndarray) -> list[tuple[str, np.ndarray]]:
    if name in _SINGLE:
        return [(_SINGLE[name], value)]
    part, _, kind = name.rpartition("/")
    if kind not in _KINDS:
        return []
    if part in _TOP:
        return [(f"{_TOP[part]}.{_KINDS[kind]}", value)]
    if not (match := _LAYER.match(part)):
        return []
    side, number, inner = match.groups()
    prefix = f"{side}.blocks.{number}."
    if inner in _RENAMED:
        return [(f"{prefix}{_RENAMED[inner]}.{_KINDS[kind]}", value)]
    names = _JOINED.get(inner, ())
    pieces = zip(names, np.split(value, len(names)), strict=True) if names else ()
    return [
        (f"{prefix}{new}.{_KINDS[kind]}", piece)
        for new, piece in pieces
        if not (kind == "bias" and new.endswith("key"))
    ]
