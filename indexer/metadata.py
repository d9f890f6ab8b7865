"""What an image file says about itself: date, place, camera, title, from EXIF and XMP.

Nothing here is needed to make a file searchable and everything here can be damaged or hostile, so
readers return None rather than raise, and every text is cleaned and cut.
"""

from __future__ import annotations

import contextlib
import html
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from PIL import Image
from PIL.ExifTags import IFD, Base

from search.catalog.records import AssetFacts

MAX_TEXT_CHARACTERS = 500
_MAX_XMP_BYTES = 1024**2
_EARLIEST, _LATEST = datetime(1826, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)  # 1826: the first photograph


def read_facts(image: Image.Image) -> AssetFacts:
    """Facts of an opened image, without its size."""
    exif: Mapping[int, Any] = {}
    details: Mapping[int, Any] = {}
    place: Mapping[int, Any] = {}
    xmp = ""
    # Pillow raises many things on damaged EXIF; half of it is better than none.
    with contextlib.suppress(Exception):
        exif = image.getexif()
        details = exif.get_ifd(IFD.Exif)
        place = exif.get_ifd(IFD.GPSInfo)
    with contextlib.suppress(Exception):
        xmp = _xmp_packet(image)
    latitude, longitude = _place(place)
    return AssetFacts(
        captured_at=_captured_at(exif, details, xmp),
        latitude=latitude,
        longitude=longitude,
        camera=_camera(exif),
        title=_title(exif, xmp),
    )


def clean_text(value: object) -> str | None:
    """A short line of valid Unicode without control characters, or None. PostgreSQL refuses NUL."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    value = value.encode("utf-8", "replace").decode("utf-8")
    line = " ".join("".join(c if c.isprintable() or c.isspace() else " " for c in value).split())
    return line[:MAX_TEXT_CHARACTERS] or None


def parse_date(value: object, offset: object = None) -> float | None:
    """EXIF, XMP and ISO dates -> UTC epoch seconds. A time without a zone is taken as UTC."""
    text = clean_text(value)
    match = text and re.match(
        r"(\d{4})[:-](\d\d)(?:[:-](\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d))?)?)?\S*?(Z|[+-]\d\d:?\d\d)?$", text
    )
    if not match:
        return None
    year, month, day, hour, minute, second = (int(group) if group else None for group in match.groups()[:6])
    with contextlib.suppress(ValueError, OverflowError):
        zone = _zone(match[7] or clean_text(offset))
        when = datetime(year or 0, month or 1, day or 1, hour or 0, minute or 0, second or 0, tzinfo=zone)
        if _EARLIEST <= when <= _LATEST:
            return when.timestamp()
    return None


def _zone(offset: str | None) -> timezone:
    match = re.fullmatch(r"([+-])(\d\d):?(\d\d)", offset or "")
    if not match:
        return UTC
    minutes = int(match[2]) * 60 + int(match[3])
    return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))


def _captured_at(exif: Mapping[int, Any], details: Mapping[int, Any], xmp: str) -> float | None:
    for date, offset in (
        (details.get(Base.DateTimeOriginal), details.get(Base.OffsetTimeOriginal)),
        (details.get(Base.DateTimeDigitized), details.get(Base.OffsetTimeDigitized)),
        (_xmp_value(xmp, "exif:DateTimeOriginal"), None),
        (_xmp_value(xmp, "photoshop:DateCreated"), None),
        (_xmp_value(xmp, "xmp:CreateDate"), None),
        (exif.get(Base.DateTime), details.get(Base.OffsetTime)),
    ):
        if (when := parse_date(date, offset)) is not None:
            return when
    return None


def _place(gps: Mapping[int, Any]) -> tuple[float | None, float | None]:
    latitude = _degrees(gps.get(2), gps.get(1), "S", 90)
    longitude = _degrees(gps.get(4), gps.get(3), "W", 180)
    if latitude is None or longitude is None or (latitude, longitude) == (0, 0):  # what cameras without a fix write
        return None, None
    return latitude, longitude


def _degrees(parts: Any, reference: Any, negative: str, limit: float) -> float | None:
    with contextlib.suppress(TypeError, ValueError, ZeroDivisionError, OverflowError):
        degrees, minutes, seconds = (float(part) for part in [*parts, 0, 0][:3])
        value = degrees + minutes / 60 + seconds / 3600
        value = -value if str(reference).strip("\0 ").upper() == negative else value
        if math.isfinite(value) and abs(value) <= limit:
            return round(value, 7)
    return None


def _camera(exif: Mapping[int, Any]) -> str | None:
    make, model = clean_text(exif.get(Base.Make)), clean_text(exif.get(Base.Model))
    if make and model:
        # "Canon Canon EOS 5D" helps nobody.
        return model if model.lower().startswith(make.split()[0].lower()) else f"{make} {model}"
    return model or make


def _title(exif: Mapping[int, Any], xmp: str) -> str | None:
    xp_title = exif.get(Base.XPTitle)
    if isinstance(xp_title, bytes | tuple):
        xp_title = bytes(xp_title).decode("utf-16-le", "replace")
    for value in (
        _xmp_value(xmp, "dc:title"),
        xp_title,
        exif.get(Base.ImageDescription),
        _xmp_value(xmp, "dc:description"),
    ):
        if title := clean_text(value):
            return title
    return None


def _xmp_packet(image: Image.Image) -> str:
    packet: Any = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    if isinstance(packet, Sequence) and not isinstance(packet, bytes | str):
        packet = packet[0] if packet else b""
    packet = packet[:_MAX_XMP_BYTES]
    return packet if isinstance(packet, str) else packet.decode("utf-8", "replace")


def _xmp_value(xmp: str, name: str) -> str | None:
    """A property's first value, by pattern: no XML parser, so no entity can expand."""
    if not xmp:
        return None
    name = re.escape(name)
    found = re.search(rf"""{name}\s*=\s*(?:"([^"]*)"|'([^']*)')""", xmp) or re.search(
        rf"<{name}(?:\s[^>]*)?>(?:\s*<rdf:(?:Alt|Seq|Bag)>\s*<rdf:li(?:\s[^>]*)?>)?([^<]*)<", xmp
    )
    return html.unescape(next((group for group in found.groups() if group), "")) if found else None
