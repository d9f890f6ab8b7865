"""Files over HTTP: ranges, validators and caching.

Knows files and headers; knows no catalogue.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from anyio import to_thread
from litestar import Response
from litestar.response import Stream

from api.http.problems import HttpError
from indexer.decoding.probe import (
    AUDIO_SUFFIXES,
    IMAGE_SUFFIXES,
    RAW_SUFFIXES,
    SIDE_CAR_SUFFIXES,
    TEXT_SUFFIXES,
    VIDEO_SUFFIXES,
)
from indexer.sources.contents import Contents

FOR_EVER = "private, max-age=31536000, immutable"
ASK_AGAIN = "private, no-cache"
# What a browser may do with an untrusted file: render the media, and nothing else.
_SANDBOX = "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'"
# Browsers show no PDF in a sandbox. Their viewers keep what is in it from the page, and from each other.
_PDF_POLICY = "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_KINDS = ((IMAGE_SUFFIXES | RAW_SUFFIXES, "image"), (AUDIO_SUFFIXES, "audio"), (VIDEO_SUFFIXES, "video"))
# Written down here, because each platform's own table knows others. What is not named follows from the suffix.
_TYPES = {
    ".3g2": "video/3gpp2",
    ".3gp": "video/3gpp",
    ".aif": "audio/aiff",
    ".aifc": "audio/aiff",
    ".asf": "video/x-ms-asf",
    ".au": "audio/basic",
    ".avi": "video/x-msvideo",
    ".awb": "audio/amr-wb",
    ".cur": "image/x-icon",
    ".dib": "image/bmp",
    ".f4v": "video/mp4",
    ".hif": "image/heif",
    ".ico": "image/x-icon",
    ".j2c": "image/j2c",
    ".j2k": "image/j2c",
    ".jfif": "image/jpeg",
    ".jpc": "image/j2c",
    ".jpe": "image/jpeg",
    ".jpf": "image/jpx",
    ".jpg": "image/jpeg",
    ".m2ts": "video/mp2t",
    ".m4a": "audio/mp4",
    ".m4b": "audio/mp4",
    ".m4v": "video/mp4",
    ".mka": "audio/x-matroska",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp2": "audio/mpeg",
    ".mp3": "audio/mpeg",
    ".mpg": "video/mpeg",
    ".mpo": "image/jpeg",
    ".mts": "video/mp2t",
    ".oga": "audio/ogg",
    ".ogv": "video/ogg",
    ".opus": "audio/ogg",
    ".pdf": "application/pdf",
    ".psd": "image/vnd.adobe.photoshop",
    ".qt": "video/quicktime",
    ".snd": "audio/basic",
    ".spx": "audio/ogg",
    ".svg": "application/octet-stream",  # can hold a script
    ".svgz": "application/octet-stream",
    ".tif": "image/tiff",
    ".ts": "video/mp2t",
    ".vob": "video/mpeg",
    ".wma": "audio/x-ms-wma",
    ".wmv": "video/x-ms-wmv",
}
# Suffixes that are their type's registered name.
_REGISTERED = re.compile(
    r"\.(aac|ac3|aiff|amr|apng|avif|bmp|eac3|flac|gif|hei[cf]|jp2|jpeg|jpx|mp4|mpeg|ogg|png|tiff|wav|webm|webp)"
)


def media_type_of(name: str) -> str:
    """The type by suffix, if it is one that a browser plays or shows and can't execute."""
    suffix = Path(name).suffix.lower()
    if suffix in TEXT_SUFFIXES.union(SIDE_CAR_SUFFIXES):
        return "text/plain"
    if suffix in _TYPES:
        return _TYPES[suffix]
    prefix = "" if _REGISTERED.fullmatch(suffix) else "x-"
    for suffixes, kind in _KINDS:
        if suffix in suffixes:
            return f"{kind}/{prefix}{suffix[1:]}"
    return "application/octet-stream"


def respond(
    file: Contents, method: str, headers: Mapping[str, str], name: str, cache: str = ASK_AGAIN
) -> Response[Any]:
    """The file, or the range that was asked for, or 304; closes the file when done.

    `method` and `headers` are the request's; `name` decides the type and is offered for saving.
    """
    etag, seconds = f'"{file.version}"', file.modified_ns // 1_000_000_000
    answer = {
        "ETag": etag,
        "Last-Modified": formatdate(seconds, usegmt=True),
        "Cache-Control": cache,
        "Accept-Ranges": "bytes",
        "Content-Security-Policy": _PDF_POLICY if media_type_of(name) == "application/pdf" else _SANDBOX,
        "Content-Disposition": disposition(name),
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if _unchanged(headers, etag, seconds):
        return Response(b"", status_code=304, headers=answer)
    wanted = _wanted_range(headers, file.size_bytes, (etag, answer["Last-Modified"]))
    start, end = wanted or (0, file.size_bytes)
    if wanted:
        answer["Content-Range"] = f"bytes {start}-{end - 1}/{file.size_bytes}"
    answer["Content-Length"] = str(end - start)
    status, media_type = 206 if wanted else 200, media_type_of(name)
    if method == "HEAD":
        return Response(b"", status_code=status, media_type=media_type, headers=answer)
    return Stream(_pieces(file, start, end), status_code=status, media_type=media_type, headers=answer)


async def _pieces(file: Contents, start: int, end: int) -> AsyncIterator[bytes]:
    """The range, piece by piece; where the file has shrunk, the connection ends short and the client notices."""
    pieces = file.pieces(start, end)
    try:
        while piece := await to_thread.run_sync(next, pieces, b""):
            yield piece
    finally:
        file.close()


def _unchanged(headers: Mapping[str, str], etag: str, modified: int) -> bool:
    """Whether the caller has it already. A time counts only where no tag was sent (RFC 9110, 13.1.3)."""
    header = headers.get("if-none-match")
    if header is None:
        return _not_modified_since(headers.get("if-modified-since", ""), modified)
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return etag in tags or "*" in tags


def _not_modified_since(header: str, modified: int) -> bool:
    """Anything but a valid time is as good as none. `modified`: seconds since 1970, as `Last-Modified` tells them."""
    try:
        since = parsedate_to_datetime(header)
        return modified <= since.timestamp()
    except (ValueError, TypeError, OverflowError):
        return False


def _wanted_range(headers: Mapping[str, str], size: int, validators: tuple[str, str]) -> tuple[int, int] | None:
    """`[start, end)`, or None for the whole file. Several ranges at once are answered with the whole."""
    header = headers.get("range")
    if header is None or headers.get("if-range", validators[0]) not in validators:
        return None
    match = _RANGE.fullmatch(header.replace(" ", ""))
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if len(first) > 18 or len(last) > 18:
        first, last = first[:18], last[:18]
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
    if start >= end:
        message = f"the range {header!r} lies outside the file of {size} bytes"
        raise HttpError(416, "range", message, {"Content-Range": f"bytes */{size}"})
    return start, end


def disposition(name: str) -> str:
    """The header that names a file that is shown, in ASCII for old clients and whole for the rest (RFC 6266)."""
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in name)[:200]
    whole = quote(name.encode("utf-8", "replace"), safe="!#$&+-.^_`|~")
    return f'inline; filename="{plain}"' + ("" if plain == name else f"; filename*=UTF-8''{whole}")
