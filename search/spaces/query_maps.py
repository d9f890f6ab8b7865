"""What a space learnt about its users' words: a small map on the query side, while stored vectors stay as they are.

A query's vector moves towards what those who asked like queries took for right:

    q' = unit(q + strength * (similarities(q) @ directions))

The map is kernel ridge regression with a linear kernel, so the identity wherever nothing was learnt; of judged
queries it holds as many directions as there are. Segments' vectors, and so partitions and fingerprint, are untouched:
forgetting the map takes everything back at once. Knows arrays and the protocol of spaces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from msgspec import Struct

from search.arrays import Float32Array
from search.errors import SpaceError
from search.signals import Sense, Signal
from search.spaces.space import Space, SpaceAround, unit_rows


class QueryMap(Struct, frozen=True):
    """A map of queries for the signals of one sense."""

    anchors: Float32Array  # (n, d): judged queries
    directions: Float32Array  # (n, d)
    mean: Float32Array  # (d,): of the anchors, which the kernel is centred at

    def __call__(self, queries: Float32Array) -> Float32Array:
        """`(m, d)` unit rows -> the same, moved. Rows of zeros stay."""
        kernel = (queries - self.mean) @ (self.anchors - self.mean).T
        moved = unit_rows(queries + kernel @ self.directions)
        return np.asarray(np.where(queries.any(axis=1, keepdims=True), moved, 0), np.float32)


class Tuning(Struct, frozen=True, kw_only=True):
    """All that a space has learnt."""

    maps: dict[Sense, QueryMap] = {}
    reranker: str = ""  # whose second look won on held-out judgements; empty: none


class TunedSpace(SpaceAround):
    """A space whose queries in words go through maps. Everything else is the space's own."""

    def __init__(self, space: Space, maps: Mapping[Sense, QueryMap]) -> None:
        """Raises SpaceError where a map does not fit the space."""
        for sense, query_map in maps.items():
            sizes = {space.dimensions[signal] for signal in sense.signals if signal in space.dimensions}
            if sizes - {query_map.mean.shape[0]}:
                raise SpaceError("what was learnt from judgements does not fit this space: medley spaces untune")
        super().__init__(space)
        self._maps = maps

    def embed_query_text(self, texts: Sequence[str]) -> Mapping[Signal, Float32Array]:
        """As the space does, moved by the maps of what each signal tells of."""
        vectors = self.inner.embed_query_text(texts)
        return {
            signal: self._maps[signal.sense](rows) if signal.sense in self._maps else rows
            for signal, rows in vectors.items()
        }


class _StoredMap(Struct, frozen=True):
    """float16, little-endian: a map is an estimate from few examples, and three digits are more than it knows."""

    rows: int
    anchors: bytes
    directions: bytes
    mean: bytes


class _Stored(Struct, frozen=True):
    maps: dict[str, _StoredMap]
    reranker: str


def encode(tuning: Tuning) -> bytes:
    """As MessagePack, for the catalogue."""
    maps = {
        sense.value: _StoredMap(
            len(query_map.anchors),
            *(part.astype("<f2").tobytes() for part in (query_map.anchors, query_map.directions, query_map.mean)),
        )
        for sense, query_map in tuning.maps.items()
    }
    return msgspec.msgpack.encode(_Stored(maps, tuning.reranker))


def decode(stored: bytes) -> Tuning:
    """What `encode` wrote. Raises SpaceError."""
    try:
        record = msgspec.msgpack.decode(stored, type=_Stored)
        maps = {Sense(sense): _map(query_map) for sense, query_map in record.maps.items()}
    except (msgspec.MsgspecError, ValueError) as error:
        raise SpaceError(f"what was learnt from judgements can't be read ({error}): medley spaces untune") from None
    return Tuning(maps=maps, reranker=record.reranker)


def _map(stored: _StoredMap) -> QueryMap:
    anchors, directions, mean = (
        np.frombuffer(part, "<f2").astype(np.float32) for part in (stored.anchors, stored.directions, stored.mean)
    )
    return QueryMap(anchors.reshape(stored.rows, -1), directions.reshape(stored.rows, -1), mean)
