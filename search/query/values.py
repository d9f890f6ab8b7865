"""The values of filters, as people write them: dates, lengths of time, sizes, places.

Every function takes the text of a value and its position in the query, and raises QueryError
pointing there. Knows nothing of the grammar around it.
"""

from __future__ import annotations

import math
import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta

from search.errors import QueryError

_DATE = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d{1,2})(?:-(?P<day>\d{1,2})"
    r"(?:[T_](?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.\d+)?)?"
    r"(?P<zone>Z|[+-]\d{2}:?\d{2})?)?)?)?",
    re.ASCII,
)
_NUMBER = r"\d+(?:\.\d+)?|\.\d+"
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d+)?)", re.ASCII)
_TIMES = re.compile(rf"(?:({_NUMBER})h)?(?:({_NUMBER})m(?:in)?)?(?:({_NUMBER})s?)?", re.ASCII)
_SIZE = re.compile(rf"({_NUMBER})\s*([a-zA-Z]*)", re.ASCII)
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"k": 10**3, "m": 10**6, "g": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_METERS = {"m": 1.0, "km": 1000.0, "mi": 1609.344, "": 1000.0}


def has_zone(text: str) -> bool:
    """Does the date say of which clock it is? `2024-07-14T09:30Z` does."""
    match = _DATE.fullmatch(text)
    return match is not None and match["zone"] is not None


def period(text: str, position: int) -> tuple[float, float]:
    """A date or time -> the epoch seconds of its start and of its end (exclusive); in UTC unless it names a zone.

    `2024` is a year, `2024-07` a month, `2024-07-14` a day, `2024-07-14T09:30` a minute.
    Raises QueryError.
    """
    match = _DATE.fullmatch(text)
    if match is None:
        raise QueryError(f"{text!r} is not a date; write 2024, 2024-07, 2024-07-14 or 2024-07-14T09:30", position)
    parts = {name: int(match[name] or 0) for name in ("year", "month", "day", "hour", "minute", "second")}
    try:
        start = datetime(
            parts["year"],
            parts["month"] if match["month"] else 1,
            parts["day"] if match["day"] else 1,
            parts["hour"],
            parts["minute"],
            parts["second"],
            tzinfo=UTC,
        )
        start -= _offset(match["zone"])
        return start.timestamp(), (start + _length(match, start)).timestamp()
    except (ValueError, OverflowError):
        raise QueryError(f"{text!r}: there is no such date", position) from None


def _offset(zone: str | None) -> timedelta:
    if zone is None or zone == "Z":
        return timedelta()
    sign = -1 if zone[0] == "-" else 1
    digits = zone[1:].replace(":", "")
    return sign * timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))


def _length(match: re.Match[str], start: datetime) -> timedelta:
    if not match["month"]:
        return datetime(start.year + 1, 1, 1, tzinfo=UTC) - start
    if not match["day"]:
        return timedelta(days=monthrange(start.year, start.month)[1])
    if not match["hour"]:
        return timedelta(days=1)
    return timedelta(seconds=1) if match["second"] else timedelta(minutes=1)


def seconds(text: str, position: int) -> float:
    """`90`, `90s`, `1m30s`, `1.5h`, `1:30` or `1:02:03` -> seconds. Raises QueryError."""
    clock = _CLOCK.fullmatch(text)
    if clock:
        hours, minutes, rest = (float(part or 0) for part in clock.groups())
        return _finite(hours * 3600 + minutes * 60 + rest, text, position)
    times = _TIMES.fullmatch(text)
    if times is None or not any(times.groups()):
        raise QueryError(f"{text!r} is not a length of time; write 90, 1m30s, 1.5h or 1:30", position)
    hours, minutes, rest = (float(part or 0) for part in times.groups())
    return _finite(hours * 3600 + minutes * 60 + rest, text, position)


def size_bytes(text: str, position: int) -> float:
    """`5000`, `5MB` (10^6), `5MiB` (2^20) -> bytes. Raises QueryError."""
    match = _SIZE.fullmatch(text)
    if match is None or match[2].lower() not in _UNITS:
        raise QueryError(f"{text!r} is not a size; write bytes, or kB, MB, GB, KiB, MiB, GiB", position)
    return _finite(float(match[1]) * _UNITS[match[2].lower()], text, position)


def pixels(text: str, position: int) -> float:
    """`1920` or `1920px` -> pixels. Raises QueryError."""
    try:
        return _finite(float(number(text.removesuffix("px"), position)), text, position)
    except QueryError:
        raise QueryError(f"{text!r} is not a number of pixels", position) from None


def number(text: str, position: int) -> float:
    """A plain decimal number, with or without sign. Raises QueryError."""
    if not re.fullmatch(rf"[+-]?(?:{_NUMBER})", text, re.ASCII):
        raise QueryError(f"{text!r} is not a number", position)
    return _finite(float(text), text, position)


def meters(text: str, position: int) -> float:
    """`500m`, `5km`, `3mi`; without a unit kilometres. Raises QueryError."""
    match = re.fullmatch(rf"({_NUMBER})\s*([a-z]*)", text.lower(), re.ASCII)
    if match is None or match[2] not in _METERS or float(match[1]) <= 0:
        raise QueryError(f"{text!r} is not a distance; write 500m, 5km or 3mi", position)
    return _finite(float(match[1]) * _METERS[match[2]], text, position)


def numbers(text: str, position: int, names: tuple[str, ...]) -> list[tuple[str, int]]:
    """Comma-separated pieces with the position of each; exactly as many as there are names. Raises QueryError."""
    pieces = text.split(",")
    if len(pieces) != len(names):
        raise QueryError(f"{text!r} needs {len(names)} values: {','.join(names)}", position)
    places = [position + sum(len(piece) + 1 for piece in pieces[:index]) for index in range(len(pieces))]
    return list(zip(pieces, places, strict=True))


def degrees(text: str, position: int, limit: float) -> float:
    """An angle within +-limit. Raises QueryError."""
    value = number(text.strip(), position)
    if abs(value) > limit:
        raise QueryError(f"{text!r} must lie between {-limit:g} and {limit:g} degrees", position)
    return value


def _finite(value: float, text: str, position: int) -> float:
    if not math.isfinite(value):
        raise QueryError(f"{text!r} is too large", position)
    return value
