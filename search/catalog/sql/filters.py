"""Conditions as SQL over the tables `asset` and `segment`, with one meaning on both databases.

Knows the tree of `search.query.conditions` and the columns; knows no query language. A condition about something
unknown (NULL) does not hold, so its negation does: NOT is pushed down to the leaves, and a negated leaf
first turns "unknown" into "no".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Float, and_, cast, exists, false, func, not_, or_, select

from search.catalog.models import asset, segment, source
from search.catalog.sql.cleaning import clean_text
from search.catalog.sql.full_text_index import assets_saying
from search.catalog.sql.globs import folded, folded_column, matches_glob
from search.catalog.sql.places import captured_in
from search.query.conditions import (
    EARTH_RADIUS_METERS,
    And,
    AssetIn,
    CameraContains,
    CapturedBefore,
    CapturedFrom,
    Compare,
    Condition,
    Field,
    InBox,
    InRadius,
    KindIs,
    LanguageIs,
    Not,
    Operator,
    Or,
    PathMatches,
    PlaceIs,
    Says,
    SignalIs,
    SourceIs,
)

Clause = ColumnElement[bool]


def segment_clause(condition: Condition | None, dialect: str) -> Clause | None:
    """The clause for segments (joined with their assets) that pass; None where everything passes."""
    return None if condition is None else _Compiler(dialect).clause(condition, negated=False)


def asset_clause(condition: Condition | None, dialect: str) -> Clause | None:
    """The same where assets alone are listed: one passes when one of its segments does."""
    clause = segment_clause(condition, dialect)
    if condition is None or clause is None or not mentions_signal(condition):
        return clause
    return exists(select(segment.c.id).where(segment.c.asset_id == asset.c.id, clause)).correlate(asset)


def mentions_signal(condition: Condition) -> bool:
    """Whether a condition depends on a segment's signal, rather than on its asset alone."""
    if isinstance(condition, And | Or):
        return any(mentions_signal(inner) for inner in condition.conditions)
    if isinstance(condition, Not):
        return mentions_signal(condition.condition)
    return isinstance(condition, SignalIs)


class _Compiler:
    def __init__(self, dialect: str) -> None:
        self._dialect = dialect
        self._sqlite = dialect == "sqlite"

    def clause(self, condition: Condition, negated: bool) -> Clause:
        if isinstance(condition, Not):
            return self.clause(condition.condition, not negated)
        if isinstance(condition, And | Or):
            # De Morgan: a negated AND is the OR of the negated.
            join = and_ if isinstance(condition, And) != negated else or_
            return join(*(self.clause(inner, negated) for inner in condition.conditions)).self_group()
        leaf = self._leaf(condition)
        return not_(func.coalesce(leaf, false(), type_=Boolean)) if negated else leaf

    def _leaf(self, condition: Any) -> Clause:
        if isinstance(condition, PathMatches):
            return matches_glob(asset.c.path, clean_text(condition.glob), self._dialect, exact=condition.exact)
        if isinstance(condition, CameraContains):
            position = func.instr if self._sqlite else func.strpos
            return position(folded_column(asset.c.camera, self._dialect), folded(clean_text(condition.text))) > 0
        if isinstance(condition, PlaceIs):
            return captured_in(condition.names, self._dialect)
        if isinstance(condition, SourceIs):
            return self._of_source(condition)
        if isinstance(condition, LanguageIs):
            language, wanted = self._folded(asset.c.language, condition.language)
            return or_(language == wanted, func.substr(language, 1, len(condition.language) + 1) == wanted + "-")
        if isinstance(condition, InRadius):
            return self._in_radius(condition)
        if isinstance(condition, Says):
            saying = assets_saying(condition.phrase, self._dialect)
            return false() if saying is None else asset.c.id.in_(saying)
        return _LEAVES[type(condition)](condition)

    def _folded(self, column: ColumnElement[Any], value: str) -> tuple[Any, str]:
        """Both sides in lower case, for ASCII letters only: SQLite's lower() knows no others."""
        folded = func.lower(column) if self._sqlite else func.lower(column.collate("C"))
        return folded, "".join(c.lower() if c.isascii() else c for c in clean_text(value))

    def _of_source(self, condition: SourceIs) -> Clause:
        name = clean_text(condition.source)
        root = name.rstrip("/") or name
        wanted = folded_column(source.c.root, self._dialect) == folded(root)
        if name.isascii() and name.isdigit() and len(name) < 19:
            wanted = or_(wanted, source.c.id == int(name))
        return asset.c.source_id.in_(select(source.c.id).where(wanted))

    def _in_radius(self, condition: InRadius) -> Clause:
        center = (condition.latitude, condition.longitude)
        if self._sqlite:
            return func.medley_distance(asset.c.latitude, asset.c.longitude, *center) <= condition.radius_meters
        a, b = func.radians(asset.c.latitude), func.radians(center[0])
        half_longitude = func.radians(center[1] - asset.c.longitude) / 2
        sines = func.power(func.sin((b - a) / 2), 2), func.power(func.sin(half_longitude), 2)
        haversine = sines[0] + func.cos(a) * func.cos(b) * sines[1]
        distance = 2 * EARTH_RADIUS_METERS * func.asin(func.sqrt(func.least(1.0, haversine)))
        return distance <= condition.radius_meters


# The file's own time where the media do not say when they were captured.
TIME = func.coalesce(asset.c.captured_at, cast(asset.c.modified_ns, Float) / 1e9)
# By the photographer's clock, as it would stand on the photo.
LOCAL_TIME = TIME + func.coalesce(asset.c.captured_offset, 0)

_NUMBERS: dict[Field, ColumnElement[Any]] = {
    Field.DURATION: asset.c.duration_seconds,
    Field.SIZE: asset.c.size_bytes,
    Field.WIDTH: asset.c.width,
    Field.HEIGHT: asset.c.height,
    Field.PAGES: asset.c.pages,
}
_COMPARE: dict[Operator, Callable[[Any, float], Clause]] = {
    Operator.LESS: lambda column, value: column < value,
    Operator.AT_MOST: lambda column, value: column <= value,
    Operator.EQUAL: lambda column, value: column == value,
    Operator.AT_LEAST: lambda column, value: column >= value,
    Operator.MORE: lambda column, value: column > value,
}


def _clock(condition: CapturedFrom | CapturedBefore) -> ColumnElement[Any]:
    return TIME if condition.is_instant else LOCAL_TIME


def _compare(condition: Compare) -> Clause:
    # As floats on both sides: an integer column compared with 1.5 must not round it.
    column = _NUMBERS[condition.field]
    return _COMPARE[condition.operator](cast(column, Float), condition.value)


def _in_box(condition: InBox) -> Clause:
    longitude = asset.c.longitude
    if condition.west <= condition.east:
        between: Clause = longitude.between(condition.west, condition.east)
    else:
        between = or_(longitude >= condition.west, longitude <= condition.east)
    return and_(asset.c.latitude.between(condition.south, condition.north), between)


_LEAVES: dict[type, Callable[[Any], Clause]] = {
    AssetIn: lambda condition: asset.c.id.in_(condition.ids),
    KindIs: lambda condition: asset.c.kind == str(condition.kind),
    SignalIs: lambda condition: segment.c.signal == str(condition.signal),
    CapturedFrom: lambda condition: condition.epoch_seconds <= _clock(condition),
    CapturedBefore: lambda condition: condition.epoch_seconds > _clock(condition),
    Compare: _compare,
    InBox: _in_box,
}
