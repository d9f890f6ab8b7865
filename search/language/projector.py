"""The projector: an item's embedding becomes a few soft tokens in a language model's input space.

Two layers, in NumPy: a ranking of 50 items takes a few milliseconds, so torch isn't needed here.
Knows shapes and weights; knows neither the space that made the embedding nor the model that reads
the tokens, except by fingerprint and name. Trained by training/projector.py.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Self

import numpy as np
from msgspec import Struct
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from search.errors import LanguageModelError
from search.runtime.packed_weights import pack, unpack
from search.spaces.space import Fingerprint

WEIGHTS = Path(__file__).parent / "weights"
_log = logging.getLogger(__name__)
_TENSORS = ("widen.weight", "widen.bias", "usual", "narrow", "typical")


class ProjectorRecord(Struct, frozen=True, kw_only=True):
    """What a projector was trained for, stored in its weight file."""

    space: str
    model: str
    soft_tokens: int  # per item
    fingerprint: str = ""  # of the space, or of its pictures; empty: any space of that name
    training: str = ""  # data, steps and result, for a person
    words: tuple[str, ...] = ()  # what each hidden unit stands for, for a person


class Projector:
    """Embedding `(d,)` -> `(soft_tokens, width) float32`. Stateless, so threads may share it.

    The hidden units are words; the few that are most active each give one soft token, a row of the
    second layer. So a soft token lies where the language model keeps its words, and a frozen model
    understands it at once; a dense second layer needed a hundred times the training to say anything.
    """

    def __init__(self, record: ProjectorRecord, tensors: dict[str, np.ndarray]) -> None:
        """`widen.weight (words, d)`, `widen.bias`, `usual (words,)`, `narrow (words, width)`, `typical (r, d)`.

        `typical`: unit rows, items such as a library may hold; there may be none. Raises
        LanguageModelError where shapes don't fit each other.
        """
        self.record = record
        self._tensors = {name: np.asarray(tensors[name], np.float32) for name in _TENSORS}
        self._widen, self._shift, self._usual, self._narrow, typical = self._tensors.values()
        if len({len(self._widen), len(self._shift), len(self._usual), len(self._narrow)}) != 1:
            raise LanguageModelError(f"projector {record.space}/{record.model}: its layers do not fit together")
        self.typical = self.project(typical)  # (r, soft_tokens, width)

    @property
    def dimension(self) -> int:
        """Length of the embeddings that it takes."""
        return int(self._widen.shape[1])

    @property
    def width(self) -> int:
        """Length of one soft token: the width of the language model."""
        return int(self._narrow.shape[1])

    def project(self, vectors: np.ndarray) -> np.ndarray:
        """`(n, d)` unit rows -> `(n, soft_tokens, width) float32`."""
        return np.asarray(self._narrow[self._most_active(vectors)])

    def words(self, vectors: np.ndarray) -> list[tuple[str, ...]]:
        """`(n, d)` unit rows -> the words of each row's soft tokens, as far as the record names them."""
        known = self.record.words
        return [tuple(known[unit] for unit in row if unit < len(known)) for row in self._most_active(vectors)]

    def _most_active(self, vectors: np.ndarray) -> np.ndarray:
        """`(n, soft_tokens) int`, the most active hidden unit first."""
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise LanguageModelError(
                f"the projector for space {self.record.space!r} takes vectors of {self.dimension}, not {vectors.shape}"
            )
        # Unit rows have entries of about 1/sqrt(d): scaled to about 1, as in training.
        scaled = vectors.astype(np.float32) * np.float32(np.sqrt(self.dimension))
        active = scaled @ self._widen.T + self._shift - self._usual
        chosen = np.argpartition(-active, self.record.soft_tokens - 1, axis=1)[:, : self.record.soft_tokens]
        order = np.argsort(-np.take_along_axis(active, chosen, 1), axis=1)
        return np.take_along_axis(chosen, order, 1)

    def tensors(self) -> dict[str, np.ndarray]:
        """The weights by name."""
        return dict(self._tensors)

    def save(self, path: Path) -> None:
        """Write the weights in int8 with the record as metadata."""
        metadata = {
            "space": self.record.space,
            "model": self.record.model,
            "soft_tokens": str(self.record.soft_tokens),
            "fingerprint": self.record.fingerprint,
            "training": self.record.training,
            "words": " ".join(self.record.words),
        }
        save_file(pack(self.tensors()), path, metadata=metadata)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read weights and record. Raises LanguageModelError, naming the file."""
        try:
            with safe_open(path, framework="np") as file:
                metadata = file.metadata() or {}
                tensors = unpack({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 (no mapping)
            record = ProjectorRecord(
                space=metadata["space"],
                model=metadata["model"],
                soft_tokens=int(metadata["soft_tokens"]),
                fingerprint=metadata.get("fingerprint", ""),
                training=metadata.get("training", ""),
                words=tuple(metadata.get("words", "").split()),
            )
            return cls(record, tensors)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise LanguageModelError(f"{path}: no projector ({error}); make one with training/projector.py") from None


def find_projector(space: Fingerprint, model: str, folder: Path = WEIGHTS) -> Projector | None:
    """The projector for this pair; None if none was trained, or only for another way to see pictures."""
    path = folder / file_name(space.space, model)
    if not path.is_file():
        return None
    projector = Projector.load(path)
    if projector.record.fingerprint not in ("", space.digest, space.pictures):
        _log.info("%s was trained for another %s space: pictures are not described", path.name, space.space)
        return None
    return projector


def file_name(space: str, model: str) -> str:
    """The file name of a pair's projector in its folder."""
    plain = "".join(letter if letter.isalnum() else "-" for letter in f"{space}--{model}".lower())
    return f"projector-{plain}.safetensors"
