"""Bytes of files over HTTP: ranges, validators, caching; and no path that leaves its root.

Knows files and headers; knows no catalogue.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import AsyncIterator, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Any

from anyio import to_thread
from litestar import Response
from litestar.response import Stream

from api.problems import HttpError
from indexer.probe import AUDIO_SUFFIXES, IMAGE_SUFFIXES, RAW_SUFFIXES, VIDEO_SUFFIXES
from search.errors import NotFoundError

CHUNK_BYTES = 256 * 1024
FOR_EVER = "private, max-age=31536000, immutable"
ASK_AGAIN = "private, no-cache"
# What a browser may render of a stranger's file: nothing but the media itself.
_SANDBOX = "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'"
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
    if suffix in _TYPES:
        return _TYPES[suffix]
    prefix = "" if _REGISTERED.fullmatch(suffix) else "x-"
    for suffixes, kind in _KINDS:
        if suffix in suffixes:
            return f"{kind}/{prefix}{suffix[1:]}"
    return "application/octet-stream"


class OpenFile:
    """A descriptor that closes itself: a stream whose client went away may never be started."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def close(self) -> None:
        """Close it, once."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __del__(self) -> None:
        self.close()


def open_below(path: bytes, root: bytes) -> OpenFile:
    """The regular file at `path`, opened, which must truly lie below `root` (or be it).

    Opened first and compared afterwards, so that a link swapped in between can't lead elsewhere.
    Raises NotFoundError.
    """
    try:
        # Non-blocking: opening a named pipe would wait for its writer.
        file = OpenFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
        opened = os.fstat(file.descriptor)
        real, real_root = os.path.realpath(path), os.path.realpath(root)
        named = os.stat(real)  # noqa: PTH116 - names are bytes
    except (OSError, ValueError):
        raise NotFoundError("the file is not there any more") from None
    inside = real == real_root or real.startswith(real_root.rstrip(b"/") + b"/")
    same = (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)
    if not (inside and same and stat.S_ISREG(opened.st_mode)):
        raise NotFoundError("the file is not inside its source")
    return file


def respond(
    file: OpenFile, method: str, headers: Mapping[str, str], name: str, cache: str = ASK_AGAIN
) -> Response[Any]:
    """The file, or the range that was asked for, or 304; closes the file when done.

    `method` and `headers` are the request's; `name` decides the type and is offered for saving.
    """
    facts = os.fstat(file.descriptor)
    etag = f'"{facts.st_size:x}-{facts.st_mtime_ns:x}"'
    answer = {
        "ETag": etag,
        "Last-Modified": formatdate(facts.st_mtime, usegmt=True),
        "Cache-Control": cache,
        "Accept-Ranges": "bytes",
        "Content-Security-Policy": _SANDBOX,
        "Content-Disposition": f'inline; filename="{_quoted(name)}"',
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if _matches(headers.get("if-none-match", ""), etag):
        return Response(b"", status_code=304, headers=answer)
    wanted = _wanted_range(headers, facts.st_size, etag)
    start, end = wanted or (0, facts.st_size)
    if wanted:
        answer["Content-Range"] = f"bytes {start}-{end - 1}/{facts.st_size}"
    answer["Content-Length"] = str(end - start)
    status, media_type = 206 if wanted else 200, media_type_of(name)
    if method == "HEAD":
        return Response(b"", status_code=status, media_type=media_type, headers=answer)
    return Stream(_pieces(file, start, end), status_code=status, media_type=media_type, headers=answer)


async def _pieces(file: OpenFile, start: int, end: int) -> AsyncIterator[bytes]:
    try:
        while start < end:
            piece = await to_thread.run_sync(os.pread, file.descriptor, min(CHUNK_BYTES, end - start), start)
            if not piece:
                return  # the file shrank; the connection ends short and the client notices
            start += len(piece)
            yield piece
    finally:
        file.close()


def _matches(header: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return etag in tags or "*" in tags


def _wanted_range(headers: Mapping[str, str], size: int, etag: str) -> tuple[int, int] | None:
    """`[start, end)`, or None for the whole file. Several ranges at once are answered with the whole."""
    header = headers.get("range")
    if header is None or headers.get("if-range", etag) != etag:
        return None
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
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


def _quoted(name: str) -> str:
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "_" for c in name)[:200]
