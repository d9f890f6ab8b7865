"""Conditions on assets and segments, as a tree of frozen values.

The query language and the typed `Filters` both become this tree; the catalogue turns it into SQL.
This module knows neither the language nor SQL; it says what each condition means:

- A condition about something unknown (the camera of a recording, the place of a drawing) does not
  hold, and so its negation does. SQL must not let NULL leak: `NOT camera:canon` keeps photos
  without a camera.
- A condition on an asset holds for all its segments; `SignalIs` is the only one on segments.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from search.results import Kind
from search.signals import Signal


class Field(StrEnum):
    """Numbers of an asset that a query can compare."""

    DURATION = "duration"  # seconds
    SIZE = "size"  # bytes
    WIDTH = "width"  # pixels
    HEIGHT = "height"  # pixels
    PAGES = "pages"  # of a document


class Operator(StrEnum):
    """How to compare the number with the value."""

    LESS = "<"
    AT_MOST = "<="
    EQUAL = "="
    AT_LEAST = ">="
    MORE = ">"


class And(Struct, frozen=True, tag=True):
    """All hold; at least one inside."""

    conditions: tuple[Condition, ...]


class Or(Struct, frozen=True, tag=True):
    """One holds; at least one inside."""

    conditions: tuple[Condition, ...]


class Not(Struct, frozen=True, tag=True):
    """The condition does not hold (or is about something unknown)."""

    condition: Condition


class KindIs(Struct, frozen=True, tag=True):
    """The asset is of this kind."""

    kind: Kind


class SignalIs(Struct, frozen=True, tag=True):
    """The segment carries this signal."""

    signal: Signal


class Compare(Struct, frozen=True, tag=True):
    """A number of the asset, in the field's unit, compared with a finite value."""

    field: Field
    operator: Operator
    value: float


class CapturedFrom(Struct, frozen=True, tag=True):
    """Captured at or after; the file's own time where no capture time is known.

    Epoch seconds, and the clock is the photographer's: 22:30 on its last evening belongs to the year, wherever it
    was. Of an instant (`2024-07-14T09:30Z`) it is UTC.
    """

    epoch_seconds: float
    is_instant: bool = False


class CapturedBefore(Struct, frozen=True, tag=True):
    """Captured before this time, exclusive: `before:2024-12-31` becomes 2025-01-01T00:00. Clocks as CapturedFrom."""

    epoch_seconds: float
    is_instant: bool = False


class PathMatches(Struct, frozen=True, tag=True):
    """A glob: `*` any characters (also `/`), `?` one; nothing else is special. Case counts only where `exact`.

    It must match the whole path, or the whole rest of it behind some `/`: `*.jpg`, `2024/*`,
    `holiday/dsc_001.jpg` and `dsc_001.jpg` all find `/media/2024/holiday/dsc_001.jpg`.
    """

    glob: str
    exact: bool = False


class SourceIs(Struct, frozen=True, tag=True):
    """The asset belongs to the source with this id, or this root; case does not count."""

    source: str


class AssetIn(Struct, frozen=True, tag=True):
    """The asset is one of these. Not in the query language: new files are compared with saved searches by it."""

    ids: tuple[int, ...]


class CameraContains(Struct, frozen=True, tag=True):
    """The camera's name contains these characters; case does not count."""

    text: str


class PlaceIs(Struct, frozen=True, tag=True):
    """The place nearest to its coordinates has these names; case does not count.

    Each part between commas must be a name, in any language, of the quarter, the city, its region or its country.
    """

    names: str


class LanguageIs(Struct, frozen=True, tag=True):
    """The language most spoken: `en` also covers `en-GB`; case does not count."""

    language: str


class InBox(Struct, frozen=True, tag=True):
    """Captured within these degrees, edges included. `west > east` crosses the date line."""

    south: float
    west: float
    north: float
    east: float


class InRadius(Struct, frozen=True, tag=True):
    """Captured within this great-circle distance, on a sphere of EARTH_RADIUS_METERS."""

    latitude: float
    longitude: float
    radius_meters: float


class Says(Struct, frozen=True, tag=True):
    """One of the asset's segments contains these words in a row, spoken or seen.

    Case, accents and English endings don't count. A phrase without a letter or digit is said by nothing.
    """

    phrase: str


EARTH_RADIUS_METERS = 6_371_008.8

Condition = (
    And
    | Or
    | Not
    | KindIs
    | SignalIs
    | Compare
    | CapturedFrom
    | CapturedBefore
    | PathMatches
    | SourceIs
    | AssetIn
    | CameraContains
    | PlaceIs
    | LanguageIs
    | InBox
    | InRadius
    | Says
)


def all_of(*conditions: Condition | None) -> Condition | None:
    """Those given, all required; None means no condition at all."""
    return _joined(And, conditions)


def any_of(*conditions: Condition | None) -> Condition | None:
    """Those given, as alternatives; None where none is given."""
    return _joined(Or, conditions)


def _joined(kind: type[And] | type[Or], conditions: tuple[Condition | None, ...]) -> Condition | None:
    flat: list[Condition] = []
    for condition in conditions:
        if isinstance(condition, kind):
            flat.extend(condition.conditions)
        elif condition is not None:
            flat.append(condition)
    flat = list(dict.fromkeys(flat))  # saying the same a thousand times is no larger condition
    if len(flat) <= 1:
        return flat[0] if flat else None
    return kind(tuple(flat))
