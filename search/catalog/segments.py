"""Segments: the hot reads of a search, and every way in which segments go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, bindparam, delete, func, select, update

from search.catalog.bulk import fetch_ids, fetch_rows, in_chunks
from search.catalog.filters import Clause, mentions_signal, segment_clause
from search.catalog.models import asset, embedding, segment
from search.catalog.records import AssetRecord, SegmentRecord
from search.catalog.sequence import record_deletions, settle, when_numbered
from search.filters import Condition
from search.results import Signal

_CHUNK = 5000
_SEGMENT_COLUMNS = len(segment.columns)


def hydrate(connection: Connection, segment_ids: Iterable[int]) -> list[SegmentRecord]:
    """The segments with their assets, in the order asked for; those that are gone or hidden are left out."""
    wanted = [int(segment_id) for segment_id in segment_ids]
    found: dict[int, SegmentRecord] = {}
    for chunk in in_chunks(wanted, _CHUNK):
        for row in _hydrate_rows(connection, chunk):
            found[row[0]] = with_asset(row)
    return [found[segment_id] for segment_id in wanted if segment_id in found]


def _hydrate_rows(connection: Connection, ids: Sequence[int]) -> Sequence[Sequence[Any]]:
    if connection.dialect.name == "postgresql":
        return fetch_rows(connection, f"{_HYDRATE} segment.id = ANY(%s)", (ids,))
    # With a power of two of places, few different statements are prepared.
    padded = [*ids, *[ids[-1]] * ((1 << (len(ids) - 1).bit_length()) - len(ids))]
    return fetch_rows(connection, f"{_HYDRATE} segment.id IN ({', '.join('?' * len(padded))})", padded)


_HYDRATE = (
    "SELECT "
    + ", ".join(str(column) for column in (*segment.columns, *asset.columns))
    + " FROM segment JOIN asset ON asset.id = segment.asset_id WHERE asset.status <> 'missing' AND"
)


def get_segment(connection: Connection, segment_id: int) -> SegmentRecord | None:
    """One segment with its asset, also when that is missing."""
    statement = select(segment, asset).join(asset, asset.c.id == segment.c.asset_id)
    row = connection.execute(statement.where(segment.c.id == segment_id)).one_or_none()
    return with_asset(row) if row else None


def with_asset(row: Sequence[Any]) -> SegmentRecord:
    """A row of `select(segment, asset)` as the segment that knows its asset."""
    return SegmentRecord(*[*row[:_SEGMENT_COLUMNS], AssetRecord(*row[_SEGMENT_COLUMNS:])])


def segments_of(
    connection: Connection, asset_id: int, signal: Signal | None = None, cursor: int | None = None, limit: int = 1000
) -> list[SegmentRecord]:
    """An asset's segments by id, those behind `cursor` (the last id seen)."""
    statement = select(segment).where(segment.c.asset_id == asset_id, segment.c.id > (cursor or 0))
    if signal is not None:
        statement = statement.where(segment.c.signal == str(signal))
    rows = connection.execute(statement.order_by(segment.c.id).limit(limit))
    return [SegmentRecord(*row) for row in rows]


def filter_segments(connection: Connection, condition: Condition | None, signal: Signal | None = None) -> np.ndarray:
    """Ids of the searchable segments that pass, `(n,) int64`, in no order."""
    return fetch_ids(connection, _passing(connection, select(segment.c.id), condition, signal))


def count_segments(connection: Connection, condition: Condition | None = None, signal: Signal | None = None) -> int:
    """How many searchable segments pass."""
    return connection.scalar(_passing(connection, select(func.count()), condition, signal)) or 0


def newest_segment(connection: Connection) -> int:
    """The highest id given so far among the segments that are there; 0 where there are none."""
    return connection.scalar(select(func.max(segment.c.id))) or 0


def _passing(connection: Connection, statement: Select, condition: Condition | None, signal: Signal | None) -> Select:
    if signal is not None:
        statement = statement.where(segment.c.signal == str(signal))
    clauses: list[Clause] = [asset.c.status != "missing"]
    clause = segment_clause(condition, connection.dialect.name)
    if clause is not None:
        clauses.append(clause)
    if condition is None or mentions_signal(condition):
        joined = segment.join(asset, asset.c.id == segment.c.asset_id)
        return statement.select_from(joined).where(*clauses)
    # Assets first, then their segments by index: left to itself, SQLite walks through all segments.
    return statement.select_from(segment).where(segment.c.asset_id.in_(select(asset.c.id).where(*clauses)))


def segments_by_signal(connection: Connection) -> dict[str, int]:
    """How many searchable segments carry each signal."""
    # Two counts from indexes, all less the hidden, instead of a join of everything with its asset.
    every = select(segment.c.signal, func.count().label("number")).group_by(segment.c.signal)
    gone = select(asset.c.id).where(asset.c.status == "missing")
    hidden = {row.signal: row.number for row in connection.execute(every.where(segment.c.asset_id.in_(gone)))}
    rows = connection.execute(every.order_by(segment.c.signal))
    return {row.signal: row.number - hidden.get(row.signal, 0) for row in rows}


def lock_assets(connection: Connection, which: Clause) -> None:
    """Nobody else may change these assets until commit. By id, as everywhere: no two can wait for each other."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time
        connection.execute(select(asset.c.id).where(which).order_by(asset.c.id).with_for_update())


def remove_segments_of(connection: Connection, asset_ids: Sequence[int]) -> None:
    """Drop all segments of these assets, and tell followers."""
    settle(connection, only_if_showing=True)
    gone: list[int] = []
    for chunk in in_chunks(asset_ids, _CHUNK):
        statement = delete(segment).where(segment.c.asset_id.in_(chunk)).returning(segment.c.id)
        gone.extend(connection.scalars(statement))
    record_deletions(connection, gone)


def hide_segments_of(connection: Connection, asset_ids: Sequence[int]) -> None:
    """Take the vectors of missing assets out of every partition, but keep them for the files' return."""
    settle(connection, only_if_showing=True)
    hidden: list[int] = []
    for chunk in in_chunks(asset_ids, _CHUNK):
        hidden.extend(connection.scalars(select(segment.c.id).where(segment.c.asset_id.in_(chunk))))
        owned = select(segment.c.id).where(segment.c.asset_id.in_(chunk))
        connection.execute(update(embedding).where(embedding.c.segment_id.in_(owned)).values(sequence=0))
    record_deletions(connection, hidden)


def show_segments_of(connection: Connection, asset_ids: Sequence[int]) -> None:
    """Bring hidden vectors back: with new numbers, so that followers that dropped them add them again."""
    settle(connection, only_if_showing=True)
    keys: list[tuple[int, int]] = []
    for chunk in in_chunks(asset_ids, _CHUNK):
        statement = (
            select(embedding.c.space_id, embedding.c.segment_id)
            .join(segment, segment.c.id == embedding.c.segment_id)
            .where(segment.c.asset_id.in_(chunk), embedding.c.sequence == 0)
        )
        keys.extend((space_id, segment_id) for space_id, segment_id in connection.execute(statement))

    def write(numbers: range) -> None:
        rows = [
            {"in_space": space_id, "of_segment": segment_id, "number": number}
            for (space_id, segment_id), number in zip(keys, numbers, strict=True)
        ]
        connection.execute(_RENUMBER, rows)

    if keys:
        when_numbered(connection, len(keys), write, shows=True)


_RENUMBER = (
    update(embedding)
    .where(embedding.c.space_id == bindparam("in_space"), embedding.c.segment_id == bindparam("of_segment"))
    .values(sequence=bindparam("number"))
)
