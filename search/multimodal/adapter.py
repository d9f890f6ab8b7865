"""The file of a multimodal adapter: one encoder's resampler and one language model's low-rank updates, in int8.

A matrix is kept in whole numbers with one scale a row or a column, whichever are fewer; small tensors in float16.
Knows files and their record; knows no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from search.errors import LanguageModelError

WEIGHTS = Path(__file__).parent / "weights"
_SCALE = ".scale"
_SMALL = 4096  # numbers below which int8 saves nothing that counts
_RECORD = "record"


class AdapterRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an adapter was trained for and from, stored in its file."""

    encoder: str  # whose maps it takes: a name of the encoder with the sum of its weights
    model: str  # name of the language model
    layer: int  # soft tokens enter before this layer; those below stay as they are and see words alone
    rank: int  # of the low-rank updates
    tokens: int  # soft tokens of a map
    inner: int  # width inside the resampler
    heads: int
    caption: str = "The picture shows:"  # what a caption answers
    question: str = "Question: {} Short answer:"
    training: Mapping[str, str] = {}  # data sets with their terms, command, steps, results; for people


class Adapter(Struct, frozen=True):
    """Record and tensors, `float32` or `int32`, by name."""

    record: AdapterRecord
    tensors: Mapping[str, np.ndarray]

    def below(self, prefix: str) -> dict[str, np.ndarray]:
        """The tensors `(...)` whose names begin with `prefix`, without it."""
        return {name.removeprefix(prefix): held for name, held in self.tensors.items() if name.startswith(prefix)}

    def save(self, path: Path) -> None:
        """Write it with its record."""
        packed: dict[str, np.ndarray] = {}
        for name, tensor in self.tensors.items():
            packed |= _packed(name, tensor)
        save_file(packed, path, metadata={_RECORD: msgspec.json.encode(self.record).decode()})

    @classmethod
    def load(cls, path: Path) -> Adapter:
        """Read it. Raises LanguageModelError, naming the file."""
        try:
            with safe_open(path, framework="np") as file:
                metadata = file.metadata() or {}
                held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            record = msgspec.json.decode(metadata[_RECORD], type=AdapterRecord)
        except (OSError, SafetensorError, KeyError, msgspec.MsgspecError) as error:
            raise LanguageModelError(
                f"{path}: no multimodal adapter ({error}); make one with training/multimodal.py"
            ) from None
        return cls(record, {name: _unpacked(name, held) for name in held if not name.endswith(_SCALE)})


def adapter_path(encoder: str, model: str, folder: Path = WEIGHTS) -> Path:
    """Where the adapter of a pair lies inside its folder, if there is one."""
    plain = "".join(letter if letter.isalnum() else "-" for letter in f"{encoder}--{model}".lower())
    return folder / f"adapter-{plain}.safetensors"


def _packed(name: str, tensor: np.ndarray) -> dict[str, np.ndarray]:
    if np.issubdtype(tensor.dtype, np.integer):
        return {name: tensor.astype(np.int32)}
    if tensor.size < _SMALL or tensor.ndim < 2:
        return {name: np.ascontiguousarray(tensor, np.float16)}
    matrix = tensor.reshape(len(tensor), -1).astype(np.float32)
    axis = 1 if matrix.shape[0] <= matrix.shape[1] else 0
    # A scale is rounded before it is used, so that what is read back is what was measured.
    scale = (np.abs(matrix).max(axis=axis, keepdims=True) / 127).astype(np.float16).astype(np.float32)
    whole = np.rint(matrix / np.where(scale == 0, 1, scale)).clip(-127, 127).astype(np.int8)
    return {name: whole.reshape(tensor.shape), name + _SCALE: scale.astype(np.float16)}


def _unpacked(name: str, held: Mapping[str, np.ndarray]) -> np.ndarray:
    tensor = held[name]
    scale = held.get(name + _SCALE)
    if scale is None:
        return tensor if np.issubdtype(tensor.dtype, np.integer) else tensor.astype(np.float32)
    matrix = tensor.reshape(len(tensor), -1).astype(np.float32) * scale.astype(np.float32)
    return matrix.reshape(tensor.shape)
