"""When a picture or recording was made: the many ways in which dates are written, in tags and in file names.

Pure. An offset is kept where one is written, because people look for the day that their clock showed.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

_EARLIEST, _LATEST = datetime(1826, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)  # 1826: the first photograph
_ZONE = r"(?P<zone>Z|UTC|GMT|[+-]\d\d?:?\d\d)?"
_TIME = r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d))?(?:[.,]\d+)?\s*(?P<half>[AaPp]\.?[Mm]\.?)?\s*" + _ZONE
_WEEKDAY = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? +)?"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SIGNS = str.maketrans({"年": "-", "月": "-", "日": " "})
_SHAPES = tuple(
    re.compile(shape, re.IGNORECASE)
    for shape in (
        # 2024:12:31 22:30:00, 2024-12-31T22:30:00-08:00, 2024/12/31, 2024.12.31; 2024-12 and 2024
        rf"(?P<year>\d{{4}})(?:[:/.-](?P<month>\d\d?)(?:[:/.-](?P<day>\d\d?)(?:[T ,]+{_TIME})?)?)?",
        rf"(?P<year>\d{{4}})(?P<month>\d\d)(?P<day>\d\d)"
        rf"(?:[T ]?(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)?\s*{_ZONE})?",
        # 31.12.2024 and 12/31/2024: dots are written day first, slashes with AM or PM month first
        rf"(?P<day>\d\d?)\.(?P<month>\d\d?)\.(?P<year>\d{{4}})(?:[T ,]+{_TIME})?",
        rf"(?P<first>\d\d?)[/-](?P<other>\d\d?)[/-](?P<year>\d{{4}})(?:[T ,]+{_TIME})?",
        # Jul 4, 2024 3:30 PM; Tue Jul  4 15:30:00 2024; Tue, 04 Jul 2024 15:30:00 +0200
        rf"{_WEEKDAY}(?P<name>[A-Za-z]{{3,9}})\.? +(?P<day>\d\d?)(?:st|nd|rd|th)?,? +(?P<year>\d{{4}})"
        rf"(?:[ ,]+{_TIME})?",
        rf"{_WEEKDAY}(?P<name>[A-Za-z]{{3,9}}) +(?P<day>\d\d?) +{_TIME} *(?P<year>\d{{4}})",
        rf"{_WEEKDAY}(?P<day>\d\d?)\.? +(?P<name>[A-Za-z]{{3,9}})\.?,? +(?P<year>\d{{4}})(?:[ ,]+{_TIME})?",
    )
)
# IMG_20190704_153000, PXL_20240102_030405678, VID-20190704-WA0001, Screenshot_2024-01-02-03-04-05, 2019-07-04 15.30.00,
# Screenshot 2024-01-02 at 3.04.05 PM, Bildschirmfoto 2024-01-02 um 15.04.05
_IN_NAME = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d\d)(?P<mark>[-_. ]?)(?P<month>0[1-9]|1[0-2])(?P=mark)(?P<day>0[1-9]|[12]\d|3[01])"
    r"(?:(?:[-_T ]| [^\W\d_]{1,4}\.? |(?=\d{6}))(?P<hour>[01]\d|2[0-3]|\d(?=[.:]))[-_.:h]?(?P<minute>[0-5]\d)[-_.:m]?"
    r"(?P<second>[0-5]\d)(?:\d{3})?(?:\s?(?P<half>[AaPp]\.?[Mm])\b)?)?"
    r"(?!\d)"
)
# Milliseconds since 1970, from 2008 to 2033: what Facebook, WeChat and old phones call their pictures.
_EPOCH_IN_NAME = re.compile(
    r"(?:FB_IMG_|mmexport|wx_camera_|IMG_|VID_|image_|video_)?(?P<milliseconds>1[2-9]\d{11})"
    r"(?:[-_ ]?\(?\d\d?\)?)?\.[^.]+",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Moment:
    """An instant, and how far the photographer's clock was ahead of UTC (seconds; None: not written)."""

    epoch_seconds: float
    offset_seconds: int | None = None


def read_date(text: str | None, offset: str | None = None) -> Moment | None:
    """EXIF, IPTC, XMP and ISO dates, and those with slashes or AM and PM. One without a zone is taken as UTC."""
    written = (text or "").translate(_SIGNS).strip().rstrip("\0 ")
    for shape in _SHAPES:
        if match := shape.fullmatch(written):
            return _moment(match.groupdict(), offset)
    return None


def date_in_name(name: str) -> Moment | None:
    """The date, and the time if there is one, that cameras, phones and messengers write into a file's name."""
    if match := _EPOCH_IN_NAME.fullmatch(name):
        return Moment(int(match["milliseconds"]) / 1000)
    match = _IN_NAME.search(name)
    return _moment(match.groupdict(), None) if match else None


def _moment(parts: dict[str, str | None], offset: str | None) -> Moment | None:
    zone = _zone(parts.get("zone") or (offset or "").strip("\0 "))
    minute, second = (int(parts.get(name) or 0) for name in ("minute", "second"))
    with suppress(ValueError, OverflowError):
        year, month, day = _calendar(parts)
        hour = _hour(parts)
        if hour == 24:  # the end of the day that is written
            hour, minute, second = 23, 59, 59
        when = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=zone or UTC)
        if _EARLIEST <= when <= _LATEST:
            ahead = when.utcoffset() or timedelta()
            return Moment(when.timestamp(), None if zone is None else int(ahead.total_seconds()))
    return None


def _calendar(parts: dict[str, str | None]) -> tuple[int, int, int]:
    if parts.get("first"):  # 12/31/2024 or 31/12/2024: only one of two numbers above twelve can be the day
        first, other = int(parts["first"] or 0), int(parts["other"] or 0)
        month, day = (other, first) if first > 12 else (first, other)
    elif name := parts.get("name"):
        month, day = _MONTHS.index(name[:3].lower()) + 1, int(parts["day"] or 0)
    else:
        month, day = int(parts["month"] or 1), int(parts["day"] or 1)
    return int(parts["year"] or 0), month, day


def _hour(parts: dict[str, str | None]) -> int:
    hour, half = int(parts.get("hour") or 0), (parts.get("half") or "").lower()
    return hour if not half else hour % 12 + 12 * half.startswith("p")


def _zone(text: str) -> timezone | None:
    if text in ("Z", "UTC", "GMT"):
        return UTC
    match = re.fullmatch(r"([+-])(\d\d?):?(\d\d)", text)
    if not match:
        return None
    ahead = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-ahead if match[1] == "-" else ahead) if ahead < timedelta(hours=24) else None
