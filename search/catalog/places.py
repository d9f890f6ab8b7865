"""Where segments stand: the leanest read there is, because every search makes it for every candidate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from search.catalog.bulk import fetch_rows, in_chunks

_CHUNK = 5000
_PLACES = (
    "SELECT segment.id, segment.asset_id, segment.start_seconds, segment.end_seconds, segment.text "
    "FROM segment JOIN asset ON asset.id = segment.asset_id WHERE asset.status <> 'missing' AND segment.id"
)

Place = tuple[int, int, float | None, float | None, str | None]  # id, asset id, start and end in seconds, words


def places(connection: Connection, segment_ids: Sequence[int]) -> dict[int, Place]:
    """By segment id; those that are gone or hidden are left out."""
    found: dict[int, Place] = {}
    for ids in in_chunks(segment_ids, _CHUNK):
        found |= {row[0]: tuple(row) for row in _rows(connection, ids)}
    return found


def _rows(connection: Connection, ids: Sequence[int]) -> Sequence[Sequence[Any]]:
    if connection.dialect.name == "postgresql":
        return fetch_rows(connection, f"{_PLACES} = ANY(%s)", (list(ids),))
    # With a power of two of places, few different statements are prepared.
    padded = [*ids, *[ids[-1]] * ((1 << (len(ids) - 1).bit_length()) - len(ids))]
    return fetch_rows(connection, f"{_PLACES} IN ({', '.join('?' * len(padded))})", padded)
