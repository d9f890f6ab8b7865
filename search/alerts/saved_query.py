"""A saved search: its query as it is kept and as it is searched, its vectors as bytes, and how far it reaches.

Knows the query language; knows no catalogue and no space.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Self

import msgspec
import numpy as np
from msgspec import Struct

from search.errors import CatalogError
from search.query.parse import parse_query
from search.results import Filters, Query
from search.signals import Signal

_STORED = np.dtype("<f4")
_BY_NAME = {str(signal): signal for signal in Signal}


class SavedQuery(Struct, frozen=True, kw_only=True):
    """What is looked for, as it was typed: words that name a time mean it from the day on which they are read."""

    text: str = ""
    filters: Filters = Filters()

    def encode(self) -> str:
        """As JSON, for the catalogue."""
        return msgspec.json.encode(self).decode()

    def query(self, max_characters: int, max_parts: int) -> Query:
        """As searches take it. Raises QueryError."""
        return parse_query(
            self.text,
            filters=self.filters,
            max_characters=max_characters,
            max_parts=max_parts,
            today=datetime.now(UTC).date(),
        )


class Reach(Struct, frozen=True, kw_only=True):
    """Whether files like the best one that the library holds would raise an event."""

    needed: float  # relevance from which new files do
    best: float | None  # relevance of the best file of now; None: nothing is found
    falls_short: bool  # even the best file of now would raise none

    @classmethod
    def of(cls, needed: float, best: float | None) -> Self:
        """What is needed, against what there is."""
        return cls(needed=needed, best=best, falls_short=best is not None and best < needed)


def decode(text: str) -> SavedQuery:
    """From the catalogue's JSON. Raises CatalogError."""
    try:
        return msgspec.json.decode(text, type=SavedQuery)
    except msgspec.MsgspecError as error:
        raise CatalogError(f"a saved search's query can't be read: {error}") from None


def pack(vectors: Mapping[Signal, np.ndarray]) -> bytes:
    """`(d,) float32` by signal, as bytes."""
    return msgspec.msgpack.encode({str(signal): vector.astype(_STORED).tobytes() for signal, vector in vectors.items()})


def unpack(data: bytes) -> dict[Signal, np.ndarray]:
    """What `pack` wrote, `(d,) float32` for each signal; unknown signals are left out."""
    packed = msgspec.msgpack.decode(data, type=dict[str, bytes])
    return {
        _BY_NAME[name]: np.frombuffer(held, _STORED).astype(np.float32)
        for name, held in packed.items()
        if name in _BY_NAME
    }
