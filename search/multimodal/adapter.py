"""The file of a multimodal adapter: one encoder's resampler and one language model's low-rank updates, in int8.

A further encoder's resampler, trained over those updates, lies in a file of its own that names them. A matrix is kept
in whole numbers with one scale a row or a column, whichever are fewer; small tensors in float16. Files are found by
their records, whatever they are called. Knows files and their record; knows no network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from search.errors import LanguageModelError

WEIGHTS = Path(__file__).parent / "weights"
SHIPPED = WEIGHTS / "adapter-starter--embedded.safetensors"
SHIPPED_SOUNDS = WEIGHTS / "sounds-whisper--embedded.safetensors"
STARTER = "starter"  # the encoder of the adapter that ships
_FILES = "*.safetensors"
_SCALE = ".scale"
_SMALL = 4096  # numbers below which int8 saves nothing that counts
_RECORD = "record"
_UPDATES = "layers."


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
    encoder_name: str = STARTER  # by which it is opened: the setting vision_encoder
    over: str = ""  # the updates that a file without its own was trained over: their `updates_identity`
    training: Mapping[str, str] = {}  # data sets with their terms, command, steps, results; for people


class Adapter(Struct, frozen=True):
    """Record and tensors, `float32` or `int32`, by name."""

    record: AdapterRecord
    tensors: Mapping[str, np.ndarray]
    base: Adapter | None = None  # whose updates it uses, if it has none of its own
    path: Path | None = None  # where it was read

    @property
    def updates_identity(self) -> str:
        """Changes whenever the low-rank updates do."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.below(_UPDATES).items()):
            digest.update(name.encode() + tensor.tobytes())
        return digest.hexdigest()[:12]

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
    def load(cls, path: Path, base: Adapter | None = None) -> Adapter:
        """Read it; `base` holds the updates for one that has none. Raises LanguageModelError, naming the file."""
        with _open(path) as (file, record):
            held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if base is not None:
            _refuse_misfit(path, record, base)
        return cls(record, {name: _unpacked(name, held) for name in held if not name.endswith(_SCALE)}, base, path)


def _refuse_misfit(path: Path, record: AdapterRecord, base: Adapter) -> None:
    fits = (base.record.model, base.record.layer, base.updates_identity)
    if (record.model, record.layer, record.over) != fits:
        raise LanguageModelError(
            f"{path}: was trained for the language model {record.model} from layer {record.layer} with the updates "
            f"{record.over or 'of its own'}, and these are {fits[0]}, layer {fits[1]}, updates {fits[2]}: "
            "train it over them with training/multimodal_sounds.py --start"
        )


def records(folder: Path) -> dict[Path, AdapterRecord]:
    """The records of all adapters in a folder. Raises LanguageModelError for a file that is none."""
    read: dict[Path, AdapterRecord] = {}
    for path in sorted(folder.glob(_FILES)):
        with _open(path) as (_, record):
            read[path] = record
    return read


def find_adapter(encoder: str, model: str, folders: Sequence[Path]) -> Path | None:
    """The file of a pair's adapter by the names of both, in the first folder that has one.

    Raises LanguageModelError for a broken file, and where two files of a folder fit.
    """

    def fits(record: AdapterRecord) -> bool:
        return not record.over and (record.encoder_name, record.model) == (encoder, model)

    return _find(fits, folders)


def find_sounds(base: Adapter, folders: Sequence[Path]) -> Adapter | None:
    """The resampler of sounds that was trained over the updates of `base`. Raises as `find_adapter`."""
    over = base.updates_identity
    path = _find(lambda record: record.over == over, folders)
    return Adapter.load(path, base) if path else None


def _find(fits: Callable[[AdapterRecord], bool], folders: Sequence[Path]) -> Path | None:
    for folder in folders:
        fitting = [path for path, record in records(folder).items() if fits(record)]
        if len(fitting) > 1:
            names = ", ".join(path.name for path in fitting)
            raise LanguageModelError(f"{folder}: {names} are for the same models: keep one of them there")
        if fitting:
            return fitting[0]
    return None


@contextmanager
def _open(path: Path) -> Iterator[tuple[Any, AdapterRecord]]:
    """The file and its record. Raises LanguageModelError, also for what its user finds broken."""
    try:
        with safe_open(path, framework="np") as file:
            yield file, msgspec.json.decode((file.metadata() or {})[_RECORD], type=AdapterRecord)
    except (OSError, SafetensorError, KeyError, msgspec.MsgspecError) as error:
        raise LanguageModelError(
            f"{path}: no multimodal adapter ({error}); make one with training/multimodal.py"
        ) from None


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
