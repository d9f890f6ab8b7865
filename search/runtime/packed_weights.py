"""Matrices in int8 with one scale a row or a column, whichever are fewer; small tensors in float16.

Knows tensors by name; knows no network and no record.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_SCALE = ".scale"
_SMALL = 4096  # numbers below which int8 saves nothing that counts


def pack(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`(...)` as they are stored: int8 with a `NAME.scale` in float16, float16, or int32 for whole numbers.

    Raises ValueError for numbers that a scale in float16 can't reach.
    """
    return {stored: held for name, tensor in tensors.items() for stored, held in _packed(name, tensor).items()}


def unpack(stored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What was packed, `(...)` of `float32` or `int32`."""
    return {name: _unpacked(name, stored) for name in stored if not name.endswith(_SCALE)}


def _packed(name: str, tensor: np.ndarray) -> dict[str, np.ndarray]:
    if np.issubdtype(tensor.dtype, np.integer):
        return {name: tensor.astype(np.int32)}
    if tensor.size < _SMALL or tensor.ndim < 2:
        return {name: np.ascontiguousarray(tensor, np.float16)}
    matrix = tensor.reshape(len(tensor), -1).astype(np.float32)
    axis = 1 if matrix.shape[0] <= matrix.shape[1] else 0
    # A scale is rounded before it is used, so that what is read back is what was measured.
    with np.errstate(over="ignore"):
        scale = (np.abs(matrix).max(axis=axis, keepdims=True) / 127).astype(np.float16).astype(np.float32)
    if not np.isfinite(scale).all():
        raise ValueError(f"{name} holds numbers too large for a scale in float16")
    whole = np.rint(matrix / np.where(scale == 0, 1, scale)).clip(-127, 127).astype(np.int8)
    return {name: whole.reshape(tensor.shape), name + _SCALE: scale.astype(np.float16)}


def _unpacked(name: str, held: Mapping[str, np.ndarray]) -> np.ndarray:
    tensor = held[name]
    scale = held.get(name + _SCALE)
    if scale is None:
        return tensor if np.issubdtype(tensor.dtype, np.integer) else tensor.astype(np.float32)
    matrix = tensor.reshape(len(tensor), -1).astype(np.float32) * scale.astype(np.float32)
    return matrix.reshape(tensor.shape)
