"""One filter of the query language (`duration>60`, `kind:image`) -> one condition.

Knows the keys and what their values mean; the grammar around them is in search/query/grammar.py.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from typing import TypeVar

from search.errors import QueryError
from search.query import values as values
from search.query.conditions import (
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
    Operator,
    PathMatches,
    PlaceIs,
    SignalIs,
    SourceIs,
    all_of,
    any_of,
)
from search.results import Kind
from search.signals import Signal

_NUMBERS: dict[str, Callable[[str, int], float]] = {
    Field.DURATION: values.seconds,
    Field.SIZE: values.size_bytes,
    Field.WIDTH: values.pixels,
    Field.HEIGHT: values.pixels,
    Field.PAGES: values.number,
}
_Choice = TypeVar("_Choice", bound=StrEnum)
_ALIKE = 0.75


def filter_condition(key: str, operator: str, value: str, position: int) -> Condition:
    """The condition of `key operator value`, where `value` is at `position` of the query.

    `key` is one of KEYS; `operator` is `:` or a comparison. Raises QueryError.
    """
    if not value.strip():
        raise QueryError(f"{key}{operator} needs a value after it", position)
    if key in _NUMBERS:
        return _number(Field(key), operator, value, position)
    if operator not in (":", "="):
        raise QueryError(f"{key} can't be compared with {operator}; write {key}:{value}", position - len(operator))
    if key == "path":
        return PathMatches(value, exact=operator == "=")
    return _LEAVES[key](value, position)


def suggestion(key: str) -> str | None:
    """The filter that a misspelt key most likely means."""
    near = _keys_near(min(len(key), _LONGEST))
    close = difflib.get_close_matches(key.lower(), near, n=1, cutoff=_ALIKE) if near else []
    return close[0] if close else None


@cache
def _keys_near(length: int) -> tuple[str, ...]:
    """Those that a word of that many letters could be like at all: comparing is the slow part of parsing."""
    return tuple(known for known in KEYS if 2 * min(len(known), length) >= _ALIKE * (len(known) + length))


def _number(field: Field, operator: str, value: str, position: int) -> Condition:
    read = _NUMBERS[field]
    if ".." in value:
        low, high = value.split("..", 1)
        if operator not in (":", "="):
            raise QueryError(f"a range such as {value} goes with {field}:", position)
        bounds = (
            Compare(field, Operator.AT_LEAST, read(low, position)) if low else None,
            Compare(field, Operator.AT_MOST, read(high, position + len(low) + 2)) if high else None,
        )
        condition = all_of(*bounds)
        if condition is None:
            raise QueryError("a range needs at least one end", position)
        return condition
    return Compare(field, Operator("=" if operator == ":" else operator), read(value, position))


def _choice(kind: type[_Choice], wrap: Callable[[_Choice], Condition]) -> Callable[[str, int], Condition]:
    def read(value: str, position: int) -> Condition:
        chosen: list[Condition] = []
        for piece in re.finditer(r"[^,]*", value):
            if piece[0]:
                chosen.append(wrap(_member(kind, piece[0], position + piece.start())))
        condition = any_of(*chosen)
        if condition is None:
            raise QueryError(f"choose from {', '.join(kind)}", position)
        return condition

    return read


def _member(kind: type[_Choice], text: str, position: int) -> _Choice:
    try:
        return kind(text.strip().lower())
    except ValueError:
        raise QueryError(
            f"{text!r} is not a {kind.__name__.lower()}; choose from {', '.join(kind)}", position
        ) from None


def _box(value: str, position: int) -> Condition:
    pieces = values.numbers(value, position, ("south", "west", "north", "east"))
    south, west, north, east = (
        values.degrees(text, at, limit) for (text, at), limit in zip(pieces, (90, 180, 90, 180), strict=True)
    )
    if south > north:
        raise QueryError(f"the box's south {south:g} lies north of its north {north:g}", position)
    return InBox(south, west, north, east)


def _near(value: str, position: int) -> Condition:
    latitude, longitude, radius = values.numbers(value, position, ("latitude", "longitude", "radius"))
    return InRadius(
        values.degrees(*latitude, 90.0), values.degrees(*longitude, 180.0), values.meters(radius[0].strip(), radius[1])
    )


def _date(value: str, position: int) -> Condition:
    condition = all_of(captured_from(value, position), captured_before(value, position))
    assert condition is not None
    return condition


def captured_from(value: str, position: int) -> CapturedFrom:
    """From the start of a day, month or year on. Raises QueryError."""
    return CapturedFrom(values.period(value, position)[0], values.has_zone(value))


def captured_before(value: str, position: int) -> CapturedBefore:
    """Up to its end. Raises QueryError."""
    return CapturedBefore(values.period(value, position)[1], values.has_zone(value))


_LEAVES: dict[str, Callable[[str, int], Condition]] = {
    "kind": _choice(Kind, KindIs),
    "signal": _choice(Signal, SignalIs),
    "after": captured_from,
    "before": captured_before,
    "date": _date,
    "source": lambda value, _: SourceIs(value),
    "camera": lambda value, _: CameraContains(value),
    "place": lambda value, _: PlaceIs(value),
    "language": lambda value, _: LanguageIs(value.lower()),
    "box": _box,
    "near": _near,
}
KEYS = ("path", *_LEAVES, *(str(field) for field in Field))
_LONGEST = 2 * max(map(len, KEYS))  # no word of more letters is like any of them
