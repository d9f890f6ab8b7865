"""The library in time: searchable assets newest first, how many there are of each month, what they can be filtered by.

An asset's time is when it was captured, or its file's own time where that is unknown, as for the filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, and_, case, func, literal, literal_column, or_, select, tuple_

from search.catalog.models import asset, place, segment
from search.catalog.records import AssetRecord, SegmentRecord
from search.catalog.sql.bulk import in_chunks
from search.catalog.sql.filters import LOCAL_TIME, TIME, asset_clause, segment_clause
from search.catalog.states import AssetStatus
from search.query.conditions import Condition
from search.signals import Sense

_CHUNK = 5000
_DAY_SECONDS = 86_400
MOST_VALUES = 200  # of one thing to filter by
PLACE_DEGREES = 0.5  # edge of the squares that places without a name are counted in: some 50 km


class Dated(Struct, frozen=True):
    """An asset and its time (UTC epoch seconds), by which assets are ordered."""

    asset: AssetRecord
    time: float


class MonthCount(Struct, frozen=True):
    """How many assets there are of a month, such as 2022-12."""

    month: str
    count: int


class ValueCount(Struct, frozen=True):
    """How many assets have this camera, language, or folder."""

    value: str
    count: int


class PlaceCount(Struct, frozen=True):
    """How many assets were captured in a city, or, where none is near, around here; degrees, of their middle."""

    latitude: float
    longitude: float
    count: int
    name: str | None  # Paris, France


class Facets(Struct, frozen=True, kw_only=True):
    """What the library can be filtered by, the most frequent first."""

    kinds: list[ValueCount]
    cameras: list[ValueCount]
    languages: list[ValueCount]
    folders: list[ValueCount]
    places: list[PlaceCount]


def newest_first(
    connection: Connection, condition: Condition | None, behind: tuple[float, int] | None, limit: int
) -> list[Dated]:
    """Searchable assets that pass, newest first, after the time and id of the last one seen (`behind`)."""
    statement = _passing(select(asset, TIME.label("at")), condition, connection.dialect.name)
    if behind is not None:
        later, asset_id = behind
        statement = statement.where(or_(literal(later) > TIME, and_(literal(later) == TIME, asset.c.id < asset_id)))
    statement = statement.order_by(TIME.desc(), asset.c.id.desc()).limit(limit)
    return [Dated(AssetRecord(*row[:-1]), float(row[-1])) for row in connection.execute(statement)]


def around(connection: Connection, shown: AssetRecord, count: int) -> tuple[list[Dated], list[Dated]]:
    """Up to `count` searchable assets before an asset in time, and as many after it, both in time's order."""
    at = float(connection.scalar(select(TIME).where(asset.c.id == shown.id)) or 0.0)
    position = (TIME, asset.c.id)
    own = tuple_(literal(at), literal(shown.id))
    every = _passing(select(asset, TIME.label("at")), None, connection.dialect.name)
    before = every.where(tuple_(*position) < own).order_by(TIME.desc(), asset.c.id.desc()).limit(count)
    after = every.where(tuple_(*position) > own).order_by(*position).limit(count)
    earlier = [Dated(AssetRecord(*row[:-1]), float(row[-1])) for row in connection.execute(before)]
    return earlier[::-1], [Dated(AssetRecord(*row[:-1]), float(row[-1])) for row in connection.execute(after)]


def first_segments(
    connection: Connection, asset_ids: Sequence[int], condition: Condition | None
) -> dict[int, SegmentRecord]:
    """By asset id the segment that shows it: what is seen before what is said, then the earliest that passes."""
    seen = case((segment.c.signal.in_(Sense.SEEN.signals), 0), else_=1)
    clause = segment_clause(condition, connection.dialect.name)
    shown: dict[int, SegmentRecord] = {}
    for chunk in in_chunks(list(asset_ids), _CHUNK):
        rank = func.row_number().over(partition_by=segment.c.asset_id, order_by=(seen, segment.c.id)).label("rank")
        ranked = select(segment.c.id, rank).join(asset).where(segment.c.asset_id.in_(chunk))
        if clause is not None:
            ranked = ranked.where(clause)
        firsts = ranked.subquery()
        wanted = select(*(segment.c[name] for name in SegmentRecord.__struct_fields__ if name != "asset"))
        wanted = wanted.where(segment.c.id.in_(select(firsts.c.id).where(firsts.c.rank == 1)))
        for row in connection.execute(wanted):
            shown[row.asset_id] = SegmentRecord(*row)
    return shown


def total(connection: Connection, condition: Condition | None) -> int:
    """How many searchable assets pass."""
    statement = _passing(select(func.count()), condition, connection.dialect.name)
    return int(connection.execute(statement).scalar_one())


def months(connection: Connection, condition: Condition | None) -> list[MonthCount]:
    """Every month that has searchable assets which pass, newest first."""
    month: ColumnElement[Any]
    if connection.dialect.name == "sqlite":
        month = func.strftime("%Y-%m", LOCAL_TIME, "unixepoch")
    else:
        month = func.to_char(func.timezone("UTC", func.to_timestamp(LOCAL_TIME)), "YYYY-MM")
    statement = _passing(select(month.label("month"), func.count()), condition, connection.dialect.name)
    rows = connection.execute(statement.group_by(month).order_by(month.desc()))
    return [MonthCount(name, count) for name, count in rows if name is not None]


def facets(connection: Connection) -> Facets:
    """What searchable assets can be filtered by."""
    return Facets(
        kinds=_counted(connection, asset.c.kind),
        cameras=_counted(connection, asset.c.camera),
        languages=_counted(connection, asset.c.language),
        folders=_counted(connection, _folder(connection.dialect.name)),
        places=_places(connection),
    )


def _folder(dialect: str) -> ColumnElement[Any]:
    if dialect == "sqlite":
        # What is left when all characters but slashes are trimmed from the right.
        return func.rtrim(func.rtrim(asset.c.path, func.replace(asset.c.path, "/", "")), "/")
    return func.regexp_replace(asset.c.path, "/[^/]*$", "")


def _counted(connection: Connection, value: ColumnElement[Any]) -> list[ValueCount]:
    number = func.count()
    statement = select(value.label("value"), number).where(asset.c.status == AssetStatus.INDEXED, value.is_not(None))
    statement = statement.group_by(literal_column("value")).order_by(number.desc(), literal_column("value"))
    return [ValueCount(name, count) for name, count in connection.execute(statement.limit(MOST_VALUES)) if name]


def _places(connection: Connection) -> list[PlaceCount]:
    number = func.count()
    found = select(func.avg(asset.c.latitude), func.avg(asset.c.longitude), number, place.c.area).where(
        asset.c.status == AssetStatus.INDEXED, asset.c.latitude.is_not(None), asset.c.longitude.is_not(None)
    )
    square = [
        case((place.c.area.is_(None), func.floor(angle / PLACE_DEGREES)))
        for angle in (asset.c.latitude, asset.c.longitude)
    ]
    found = found.outerjoin(place, place.c.name == asset.c.place).group_by(place.c.area, *square)
    rows = connection.execute(found.order_by(number.desc(), place.c.area).limit(MOST_VALUES))
    return [PlaceCount(round(north, 4), round(east, 4), count, area) for north, east, count, area in rows]


def _passing(statement: Any, condition: Condition | None, dialect: str) -> Any:
    statement = statement.where(asset.c.status == AssetStatus.INDEXED)
    clause = asset_clause(condition, dialect)
    return statement if clause is None else statement.where(clause)
