"""The file of a multimodal adapter: one encoder's resampler and one language model's low-rank updates, in int8.

A further encoder's resampler, trained over those updates, lies in a file of its own that names them. Files are
found by their records, whatever they are called. Knows files and their record; knows no network.
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
from search.runtime.packed_weights import pack, unpack

WEIGHTS = Path(__file__).parent / "weights"
SHIPPED = WEIGHTS / "adapter-starter--embedded.safetensors"
SHIPPED_SOUNDS = WEIGHTS / "sounds-whisper--embedded.safetensors"
STARTER = "starter"  # the encoder of the adapter that ships
_FILES = "*.safetensors"
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
        return _digest(self.below(_UPDATES))

    @property
    def identity(self) -> str:
        """Changes whenever any of its own tensors does."""
        return _digest(self.tensors)

    def below(self, prefix: str) -> dict[str, np.ndarray]:
        """The tensors `(...)` whose names begin with `prefix`, without it."""
        return {name.removeprefix(prefix): held for name, held in self.tensors.items() if name.startswith(prefix)}

    def save(self, path: Path) -> None:
        """Write it with its record."""
        save_file(pack(self.tensors), path, metadata={_RECORD: msgspec.json.encode(self.record).decode()})

    @classmethod
    def load(cls, path: Path, base: Adapter | None = None) -> Adapter:
        """Read it; `base` holds the updates for one that has none. Raises LanguageModelError, naming the file."""
        with _open(path) as (file, record):
            held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if base is not None:
            _refuse_misfit(path, record, base)
        return cls(record, unpack(held), base, path)


def _digest(tensors: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + tensor.tobytes())
    return digest.hexdigest()[:12]


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
