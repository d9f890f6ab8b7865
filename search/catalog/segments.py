"""Segments: the hot reads of a search, and everything that removes or hides segments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, Select, bindparam, delete, func, literal, or_, select, tuple_, update

from search.catalog.models import asset, embedding, segment
from search.catalog.records import AssetRecord, SegmentRecord
from search.catalog.sequence import record_deletions, settle, when_numbered
from search.catalog.sql.bulk import among, fetch_ids, fetch_rows, in_chunks
from search.catalog.sql.filters import Clause, mentions_signal, segment_clause
from search.catalog.states import AssetStatus
from search.query.conditions import Condition
from search.signals import Signal

_CHUNK = 5000
_SEGMENT_COLUMNS = len(segment.columns)


def hydrate(connection: Connection, segment_ids: Iterable[int]) -> list[SegmentRecord]:
    """The segments with their assets, in the order asked for; removed and hidden ones are left out."""
    wanted = [int(segment_id) for segment_id in segment_ids]
    records: dict[int, SegmentRecord] = {}
    for chunk in in_chunks(wanted, _CHUNK):
        for row in _hydrate_rows(connection, chunk):
            records[row[0]] = with_asset(row)
    return [records[segment_id] for segment_id in wanted if segment_id in records]


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
    """One segment with its asset, even if that is missing; None without such a segment."""
    statement = select(segment, asset).join(asset, asset.c.id == segment.c.asset_id)
    row = connection.execute(statement.where(segment.c.id == segment_id)).one_or_none()
    return with_asset(row) if row else None


def with_asset(row: Sequence[Any]) -> SegmentRecord:
    """A row of `select(segment, asset)` as the segment that knows its asset."""
    return SegmentRecord(*[*row[:_SEGMENT_COLUMNS], AssetRecord(*row[_SEGMENT_COLUMNS:])])


def segments_of(
    connection: Connection, asset_id: int, signal: Signal | None = None, cursor: int | None = None, limit: int = 1000
) -> list[SegmentRecord]:
    """An asset's segments by id, those after `cursor` (the last id seen)."""
    statement = select(segment).where(segment.c.asset_id == asset_id, segment.c.id > (cursor or 0))
    if signal is not None:
        statement = statement.where(segment.c.signal == str(signal))
    rows = connection.execute(statement.order_by(segment.c.id).limit(limit))
    return [SegmentRecord(*row) for row in rows]


def around(
    connection: Connection, moment: SegmentRecord, count: int
) -> tuple[list[SegmentRecord], list[SegmentRecord]]:
    """Up to `count` segments of the same asset before a moment, and as many after it.

    Both in the order of time, or of a document that of pages and lines. Of a moment without a place, none.
    """
    ours = select(segment).where(segment.c.asset_id == moment.asset_id)
    if moment.start_seconds is not None:
        position: list[ColumnElement[Any]] = [segment.c.start_seconds, segment.c.id]
        own = tuple_(literal(moment.start_seconds), literal(moment.id))
        ours = ours.where(segment.c.start_seconds.is_not(None))
    elif moment.page is not None or moment.line is not None:
        position = [func.coalesce(segment.c.page, 0), func.coalesce(segment.c.line, 0), segment.c.id]
        own = tuple_(literal(moment.page or 0), literal(moment.line or 0), literal(moment.id))
        ours = ours.where(or_(segment.c.page.is_not(None), segment.c.line.is_not(None)))
    else:
        return [], []
    before = ours.where(tuple_(*position) < own).order_by(*(column.desc() for column in position)).limit(count)
    after = ours.where(tuple_(*position) > own).order_by(*position).limit(count)
    earlier = [SegmentRecord(*row) for row in connection.execute(before)]
    return earlier[::-1], [SegmentRecord(*row) for row in connection.execute(after)]


def words_between(
    connection: Connection,
    asset_id: int,
    signals: Sequence[Signal],
    stretch: tuple[float, float | None],
    last: tuple[float, int] | None,
    limit: int = 500,
) -> list[SegmentRecord]:
    """An asset's segments with words that touch a stretch (seconds), in order of time, those after `last` (time, id).

    Segments without a time count as 0.
    """
    start, end = stretch
    begins = func.coalesce(segment.c.start_seconds, 0.0)
    statement = select(segment).where(
        segment.c.asset_id == asset_id,
        segment.c.signal.in_([str(signal) for signal in signals]),
        segment.c.text.is_not(None),
        func.coalesce(segment.c.end_seconds, begins) >= start,
    )
    if end is not None:
        statement = statement.where(begins <= end)
    if last is not None:
        statement = statement.where(tuple_(begins, segment.c.id) > tuple_(literal(last[0]), literal(last[1])))
    rows = connection.execute(statement.order_by(begins, segment.c.id).limit(limit))
    return [SegmentRecord(*row) for row in rows]


def segments_of_assets(connection: Connection, asset_ids: Sequence[int]) -> list[SegmentRecord]:
    """All segments of these assets with the asset, by id; those of missing assets are left out."""
    records: list[SegmentRecord] = []
    for chunk in in_chunks(list(asset_ids), _CHUNK):
        statement = select(segment, asset).join(asset, asset.c.id == segment.c.asset_id)
        statement = statement.where(segment.c.asset_id.in_(chunk), asset.c.status != AssetStatus.MISSING)
        records += [with_asset(row) for row in connection.execute(statement.order_by(segment.c.id))]
    return records


def asset_ids_of(connection: Connection, segment_ids: Sequence[int]) -> list[int]:
    """The assets that these segments belong to, by id."""
    asset_ids: set[int] = set()
    for chunk in in_chunks(list(segment_ids), _CHUNK):
        asset_ids.update(connection.scalars(select(segment.c.asset_id).where(segment.c.id.in_(chunk)).distinct()))
    return sorted(asset_ids)


def filter_segments(connection: Connection, condition: Condition | None, signal: Signal | None = None) -> np.ndarray:
    """Ids of the searchable segments that pass, `(n,) int64`, in no order."""
    return fetch_ids(connection, _passing(connection, select(segment.c.id), condition, signal))


def count_segments(connection: Connection, condition: Condition | None = None, signal: Signal | None = None) -> int:
    """How many searchable segments pass."""
    return connection.scalar(_passing(connection, select(func.count()), condition, signal)) or 0


def newest_texts(connection: Connection, limit: int) -> list[str]:
    """What is spoken and seen in the newest segments that hold words."""
    statement = select(segment.c.text).where(segment.c.text.is_not(None)).order_by(segment.c.id.desc()).limit(limit)
    return [text for text in connection.scalars(statement) if text]


def newest_segment(connection: Connection) -> int:
    """The highest id of all segments; 0 where there are none."""
    return connection.scalar(select(func.max(segment.c.id))) or 0


def _passing(
    connection: Connection, statement: Select[int], condition: Condition | None, signal: Signal | None
) -> Select[int]:
    if signal is not None:
        statement = statement.where(segment.c.signal == str(signal))
    clauses: list[Clause] = [asset.c.status != AssetStatus.MISSING]
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
    gone = select(asset.c.id).where(asset.c.status == AssetStatus.MISSING)
    hidden = {row.signal: row.number for row in connection.execute(every.where(segment.c.asset_id.in_(gone)))}
    rows = connection.execute(every.order_by(segment.c.signal))
    return {row.signal: row.number - hidden.get(row.signal, 0) for row in rows}


def lock_assets(connection: Connection, which: Clause) -> None:
    """Lock these assets until commit. In the order of ids, as everywhere, so that no deadlock is possible."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time
        connection.execute(select(asset.c.id).where(which).order_by(asset.c.id).with_for_update())


def remove_segments_of(connection: Connection, asset_ids: Sequence[int]) -> None:
    """Drop all segments of these assets, and tell followers."""
    settle(connection, only_if_showing=True)
    gone: list[int] = []
    for chunk in in_chunks(asset_ids, _CHUNK):
        statement = delete(segment).where(among(connection, segment.c.asset_id, chunk)).returning(segment.c.id)
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
    """Bring hidden vectors back, with new numbers, so that followers that dropped them add them again."""
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
