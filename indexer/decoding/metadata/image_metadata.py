"""What an image file says about itself: date, place, camera, title, caption and keywords, from EXIF, IPTC and XMP.

Pillow reads EXIF and IPTC, defusedxml XMP (the bindings of exiv2 are under the GPL, which Medley can't ship).
Nothing here is needed to make a file searchable and everything here can be damaged or hostile, so readers return
None rather than raise.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from PIL import Image, ImageFile, IptcImagePlugin
from PIL.ExifTags import IFD, Base

from indexer.decoding.metadata.capture_time import read_date
from indexer.decoding.metadata.witness import (
    MAX_CAPTION_CHARACTERS,
    Witness,
    believed,
    clean_text,
    keywords_of,
    place_of,
    somebodys_words,
)
from indexer.decoding.metadata.xmp import Properties, read_xmp

_UTF8_MARK = b"\x1b%G"  # IPTC's record 1:90
_XMP_TAG = 700  # of TIFF
# In comments: versions and sums ("cmp3.10.3.2Lq3 0x756ffbf7", "Lavc60.31.102"), addresses, and names of encoders.
_BY_PROGRAMS = re.compile(
    r"\d\.\d|0x[0-9a-f]|https?:|\w\.(?:com|net|org)\b|\(r\)|jpe?g|gimp|photoshop|applemark|handmade software|"
    r"(?:optimi[sz]ed|compressed|resized|converted|edited|encoded|saved|generated) (?:by|with|using)",
    re.IGNORECASE,
)
# The user comment's first eight bytes name its encoding.
_COMMENT_ENCODINGS = {
    b"ASCII\0\0\0": "utf-8",
    b"UNICODE\0": "utf-16",
    b"JIS\0\0\0\0\0": "shift_jis",
    b"\0" * 8: "utf-8",
}


def read_metadata(image: Image.Image) -> Witness:
    """What an opened image says."""
    exif: Mapping[int, Any] = {}
    details: Mapping[int, Any] = {}
    gps: Mapping[int, Any] = {}
    iptc: Mapping[tuple[int, int], Any] = {}
    # Pillow raises many things on damaged EXIF; half of it is better than none.
    with contextlib.suppress(Exception):
        exif = image.getexif()
        details = exif.get_ifd(IFD.Exif)
        gps = exif.get_ifd(IFD.GPSInfo)
    with contextlib.suppress(Exception):
        iptc = IptcImagePlugin.getiptcinfo(cast(ImageFile.ImageFile, image)) or {}
    xmp = xmp_witness(read_xmp(_xmp_packet(image)))
    return believed((_exif(exif, details, gps), _iptc(iptc), xmp, _texts(image)))


def _texts(image: Image.Image) -> Witness:
    """PNG's texts by their registered keywords, and the comments of JPEG and GIF."""
    told = {key.lower(): value for key, value in image.info.items() if isinstance(key, str)}
    if image.format != "PNG":
        comment = told.get("comment")
        text = _decoded(comment, is_utf8=False) if isinstance(comment, bytes) else comment
        caption = somebodys_words(text, MAX_CAPTION_CHARACTERS)
        return Witness(caption=None if caption and _BY_PROGRAMS.search(caption) else caption)
    captions = (somebodys_words(told.get(key), MAX_CAPTION_CHARACTERS) for key in ("description", "comment"))
    when = told.get("creation time")
    return Witness(
        taken=read_date(when) if isinstance(when, str) else None,
        title=somebodys_words(told.get("title")),
        caption=next(filter(None, captions), None),
    )


def _exif(exif: Mapping[int, Any], details: Mapping[int, Any], gps: Mapping[int, Any]) -> Witness:
    dates = (
        (details.get(Base.DateTimeOriginal), details.get(Base.OffsetTimeOriginal)),
        (details.get(Base.DateTimeDigitized), details.get(Base.OffsetTimeDigitized)),
        (exif.get(Base.DateTime), details.get(Base.OffsetTime)),
    )
    described = somebodys_words(_unicode(exif.get(Base.ImageDescription)), MAX_CAPTION_CHARACTERS)
    makers = (clean_text(_unicode(exif.get(tag))) for tag in (Base.Make, Base.Model))
    if described and described.lower() in [maker.lower() for maker in makers if maker]:
        described = None
    return Witness(
        taken=next((when for date, offset in dates if (when := read_date(_unicode(date), _unicode(offset)))), None),
        place=place_of(_degrees(gps.get(2), gps.get(1), "S"), _degrees(gps.get(4), gps.get(3), "W")),
        camera=camera_of(_unicode(exif.get(Base.Make)), _unicode(exif.get(Base.Model))),
        title=somebodys_words(_windows_text(exif.get(Base.XPTitle))),
        caption=described
        or somebodys_words(_windows_text(exif.get(Base.XPComment)), MAX_CAPTION_CHARACTERS)
        or somebodys_words(_comment(details.get(Base.UserComment)), MAX_CAPTION_CHARACTERS),
        keywords=keywords_of((_windows_text(exif.get(Base.XPKeywords)) or "").split(";")),
    )


def _iptc(iptc: Mapping[tuple[int, int], Any]) -> Witness:
    is_utf8 = iptc.get((1, 90)) == _UTF8_MARK

    def texts(number: int) -> list[str]:
        values = iptc.get((2, number), [])
        return [_decoded(value, is_utf8) for value in (values if isinstance(values, list) else [values])]

    day, time = (texts(55) or [""])[0], (texts(60) or [""])[0]
    return Witness(
        taken=read_date(f"{day}T{time}") or read_date(day),
        title=next(filter(None, map(somebodys_words, (*texts(5), *texts(105)))), None),
        caption=next(filter(None, (somebodys_words(text, MAX_CAPTION_CHARACTERS) for text in texts(120))), None),
        keywords=keywords_of(texts(25)),
    )


def xmp_witness(xmp: Properties) -> Witness:
    """What an XMP packet says, inside a file or beside it."""

    def first(*names: str) -> str | None:
        return next((xmp[name][0] for name in names if xmp.get(name)), None)

    dates = ("exif:DateTimeOriginal", "photoshop:DateCreated", "xmp:CreateDate")
    return Witness(
        taken=next((when for name in dates if (when := read_date(first(name)))), None),
        place=place_of(_xmp_degrees(first("exif:GPSLatitude")), _xmp_degrees(first("exif:GPSLongitude"))),
        camera=camera_of(first("tiff:Make"), first("tiff:Model")),
        title=somebodys_words(first("dc:title", "photoshop:Headline")),
        caption=somebodys_words(first("dc:description"), MAX_CAPTION_CHARACTERS),
        keywords=keywords_of(xmp.get("dc:subject", ())),
    )


def camera_of(make: str | None, model: str | None) -> str | None:
    """Maker and model; "Canon Canon EOS 5D" helps nobody."""
    make, model = clean_text(make), clean_text(model)
    if make and model:
        return model if model.lower().startswith(make.split()[0].lower()) else f"{make} {model}"
    return model or make


def _unicode(value: object) -> str | None:
    """Pillow reads EXIF's text as Latin-1; most programs write UTF-8, whatever the standard says."""
    if isinstance(value, bytes):
        return _decoded(value, is_utf8=False)
    if not isinstance(value, str):
        return None
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _decoded(value: object, is_utf8: bool) -> str:
    if not isinstance(value, bytes):
        return ""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("utf-8" if is_utf8 else "cp1252", "replace")


def _windows_text(value: object) -> str | None:
    return bytes(value).decode("utf-16-le", "replace").rstrip("\0") if isinstance(value, bytes | tuple) else None


def _comment(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes):
        return None
    encoding, text = _COMMENT_ENCODINGS.get(value[:8]), value[8:]
    if encoding == "utf-16":  # in the byte order of the EXIF block, or not: the one with more zeros on one side
        encoding = "utf-16-be" if text[::2].count(0) > text[1::2].count(0) else "utf-16-le"
    with contextlib.suppress(UnicodeDecodeError):
        return text.decode(encoding).strip("\0 ") if encoding else None
    return None


def _degrees(parts: Any, reference: Any, negative: str) -> float | None:
    with contextlib.suppress(TypeError, ValueError, ZeroDivisionError, OverflowError):
        degrees, minutes, seconds = (float(part) for part in [*parts, 0, 0][:3])
        value = degrees + minutes / 60 + seconds / 3600
        if math.isfinite(value):
            return -value if str(reference).strip("\0 ").upper() == negative else value
    return None


def _xmp_degrees(text: str | None) -> float | None:
    """`48,51.5N`, `48,51,30N`, or a plain number."""
    match = re.fullmatch(
        r"\s*([+-]?\d+(?:\.\d+)?)(?:,(\d+(?:\.\d+)?))?(?:,(\d+(?:\.\d+)?))?\s*([NSEWnsew]?)\s*", text or ""
    )
    if not match:
        return None
    value = float(match[1]) + float(match[2] or 0) / 60 + float(match[3] or 0) / 3600
    return -value if match[4].upper() in ("S", "W") else value


def _xmp_packet(image: Image.Image) -> bytes | str:
    packet: Any = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    if not packet and image.format == "TIFF":
        with contextlib.suppress(Exception):
            packet = image.getexif().get(_XMP_TAG) or b""
    if isinstance(packet, Sequence) and not isinstance(packet, bytes | str):
        packet = packet[0] if packet else b""
    return packet if isinstance(packet, bytes | str) else b""
