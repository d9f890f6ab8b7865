"""The assets and times of segments, read as cheaply as possible: every search does so for every candidate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, func, select

from search.catalog.models import segment
from search.catalog.sql.bulk import fetch_rows, in_chunks
from search.results import Box

_CHUNK = 5000
_POSITIONS = (
    "SELECT segment.id, segment.asset_id, segment.start_seconds, segment.end_seconds, segment.text, "
    "segment.page, segment.line "
    "FROM segment JOIN asset ON asset.id = segment.asset_id WHERE asset.status <> 'missing' AND segment.id"
)

# id, asset id, start and end in seconds, words, page, first line
SegmentPosition = tuple[int, int, float | None, float | None, str | None, int | None, int | None]


def segment_positions(connection: Connection, segment_ids: Sequence[int]) -> dict[int, SegmentPosition]:
    """Positions by segment id; removed and hidden segments are left out."""
    positions: dict[int, SegmentPosition] = {}
    for ids in in_chunks(segment_ids, _CHUNK):
        positions |= {row[0]: tuple(row) for row in _rows(connection, ids)}
    return positions


def segment_counts(connection: Connection, asset_ids: Sequence[int]) -> dict[tuple[int, str], int]:
    """How many segments of each signal these assets have, by asset id and signal."""
    counts: dict[tuple[int, str], int] = {}
    for ids in in_chunks(asset_ids, _CHUNK):
        counted = select(segment.c.asset_id, segment.c.signal, func.count()).where(segment.c.asset_id.in_(ids))
        for asset_id, signal, count in connection.execute(counted.group_by(segment.c.asset_id, segment.c.signal)):
            counts[asset_id, signal] = count
    return counts


def recognition_confidences(connection: Connection, segment_ids: Sequence[int]) -> dict[int, float]:
    """How sure speech recognition was of each passage, on average over its words; not of words that were written."""
    confidences: dict[int, float] = {}
    for ids in in_chunks(segment_ids, _CHUNK):
        kept = select(segment.c.id, segment.c.details).where(segment.c.id.in_(ids), segment.c.details.is_not(None))
        for segment_id, details in connection.execute(kept):
            heard = msgspec.json.decode(bytes(details), type=_Heard)
            if heard.confidence is not None:
                confidences[segment_id] = heard.confidence
    return confidences


def line_boxes(connection: Connection, segment_ids: Sequence[int]) -> dict[int, list[Box]]:
    """By segment, the box of each line of its words in the picture; segments without such lines are left out."""
    boxes: dict[int, list[Box]] = {}
    for ids in in_chunks(segment_ids, _CHUNK):
        kept = select(segment.c.id, segment.c.details).where(segment.c.id.in_(ids), segment.c.details.is_not(None))
        for segment_id, details in connection.execute(kept):
            if lines := msgspec.json.decode(bytes(details), type=_Written).lines:
                boxes[segment_id] = [line.box for line in lines]
    return boxes


class _Line(Struct):
    box: Box


class _Written(Struct):
    """What is read of the details of text seen."""

    lines: list[_Line] = []


class _Heard(Struct):
    """What is read of a passage's details."""

    confidence: float | None = None


def _rows(connection: Connection, ids: Sequence[int]) -> Sequence[Sequence[Any]]:
    if connection.dialect.name == "postgresql":
        return fetch_rows(connection, f"{_POSITIONS} = ANY(%s)", (list(ids),))
    # With a power of two of places, few different statements are prepared.
    padded = [*ids, *[ids[-1]] * ((1 << (len(ids) - 1).bit_length()) - len(ids))]
    return fetch_rows(connection, f"{_POSITIONS} IN ({', '.join('?' * len(padded))})", padded)
