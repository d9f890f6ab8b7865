"""Multipart requests, streamed: files go to disk as they arrive, never whole into memory.

Knows limits and temporary folders; does not know what uploads are for. A file whose first bytes are not
those of media is refused, whatever its name and declared type say.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from anyio import to_thread
from litestar import Request
from litestar.exceptions import InternalServerException
from msgspec import Struct
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser

from api.http.problems import HttpError
from api.http.requests import BROKEN, too_large
from indexer.decoding.probe import HEAD_BYTES, Content, looks_like_text_file, sniff
from search.settings import Settings

FIELD_BYTES = 1024**2  # all fields other than files, together
PARTS = 64
MOST_FILES = 100  # of one request
ABANDONED_SECONDS = 3600.0  # without a byte: the process that received it was killed
WAITING = "incoming"  # in the home folder: on the same disk as the uploads, outside every source

_MEDIA = (Content.IMAGE, Content.RAW, Content.CONTAINER, Content.PDF)


class Uploaded(Struct, frozen=True):
    """A file that arrived; the path is temporary."""

    field: str
    name: str  # as the sender calls it; never used as a path
    path: Path
    size_bytes: int
    content_hash: str  # blake2b-256, as the catalogue has it
    content: Content


class Form(Struct, frozen=True):
    """The contents of a multipart request."""

    fields: dict[str, str]
    files: tuple[Uploaded, ...]

    @contextmanager
    def consumed(self) -> Iterator[Form]:
        """Remove the temporary files at the end, except those that were moved away."""
        try:
            yield self
        finally:
            for file in self.files:
                file.path.unlink(missing_ok=True)


def refuse_unless_media(content: Content, name: str) -> None:
    """Refuse what is not media by its first bytes; `name` is the name the sender gave it. Raises HttpError 415."""
    if content not in _MEDIA and not (content is Content.TEXT and looks_like_text_file(name)):
        raise HttpError(415, "unsupported-media-type", f"{name[:100]!r} is {content}, not media")


async def pieces_of(request: Request[Any, Any, Any]) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises HttpError 400 if the connection breaks."""
    try:
        async for piece in request.stream():
            yield piece
    except InternalServerException:  # what Litestar makes of it
        raise HttpError(400, "validation", BROKEN) from None


async def read_body(request: Request[Any, Any, Any], limit: int) -> bytes:
    """Read a body other than multipart, of up to `limit` bytes. Raises HttpError 413."""
    if (request.content_length or 0) > limit:  # before any of it has arrived
        raise too_large(limit)
    body = bytearray()
    async for chunk in pieces_of(request):
        body += chunk
        if len(body) > limit:
            raise too_large(limit)
    return bytes(body)


async def receive(request: Request[Any, Any, Any], settings: Settings) -> Form:
    """Read a multipart request. Raises HttpError 400, 413 or 415; leaves no file then."""
    kind, parameters = request.content_type
    boundary = parameters.get("boundary", "")
    if kind != "multipart/form-data" or not boundary:
        raise HttpError(415, "unsupported-media-type", "send multipart/form-data with a boundary")
    collector = _Collector(settings)
    try:
        with PushMultipartParser(boundary.encode(), max_segment_count=PARTS) as parser:
            async for chunk in pieces_of(request):
                if chunk:
                    # Parsing a chunk is quick, but it writes to disk: keep that away from the event loop.
                    await to_thread.run_sync(_feed, parser, collector, chunk)
            if not parser.closed:
                _feed(parser, collector, b"")  # nothing more comes: complains unless it is complete
    except ParserLimitReached as error:
        collector.discard()
        raise HttpError(413, "too-large", f"the multipart request has too many or too large parts: {error}") from None
    except UnicodeDecodeError:
        collector.discard()
        raise HttpError(400, "validation", "the multipart body is broken: a field or a name is not UTF-8") from None
    except (MultipartError, ValueError) as error:
        collector.discard()
        raise HttpError(400, "validation", f"the multipart body is broken: {error.args[0]}") from None
    except BaseException:
        collector.discard()
        raise
    return Form(collector.fields, tuple(collector.files))


def _feed(parser: PushMultipartParser, collector: _Collector, chunk: bytes) -> None:
    for event in parser.parse(chunk):
        if isinstance(event, MultipartSegment):
            collector.begin(event)
        elif event:
            collector.add(bytes(event))
        else:
            collector.end()


class _Collector:
    """Collects the pieces of each part, within the limits."""

    def __init__(self, settings: Settings) -> None:
        self.fields: dict[str, str] = {}
        self.files: list[Uploaded] = []
        self._settings = settings
        self._segment: MultipartSegment | None = None
        self._text = bytearray()
        self._text_total = 0
        self._open: IO[bytes] | None = None
        self._path = Path()
        self._size = 0
        self._total = 0  # of all files of the request
        self._head = b""
        self._hash = hashlib.blake2b(digest_size=32)

    def begin(self, segment: MultipartSegment) -> None:
        self._segment = segment
        self._text = bytearray()
        if not segment.filename:
            return
        if len(self.files) >= MOST_FILES:
            raise HttpError(413, "too-large", f"the request holds more than {MOST_FILES} files")
        folder = self._settings.home / WAITING
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / secrets.token_hex(16)
        self._open = self._path.open("xb")
        self._size, self._head, self._hash = 0, b"", hashlib.blake2b(digest_size=32)

    def add(self, piece: bytes) -> None:
        if self._open is None:
            self._add_text(piece)
            return
        self._size += len(piece)
        self._total += len(piece)
        limit = self._settings.max_upload_bytes
        if self._total > limit:
            message = f"the files of the request are larger than {limit} bytes (setting max_upload_bytes)"
            raise HttpError(413, "too-large", message)
        if len(self._head) < HEAD_BYTES:
            self._head += piece[: HEAD_BYTES - len(self._head)]
        self._hash.update(piece)
        self._open.write(piece)

    def _add_text(self, piece: bytes) -> None:
        self._text_total += len(piece)
        if self._text_total > FIELD_BYTES:
            raise HttpError(413, "too-large", f"the fields other than files are larger than {FIELD_BYTES} bytes")
        self._text += piece

    def end(self) -> None:
        segment = self._segment
        if segment is None:
            raise HttpError(400, "validation", "the multipart body ended within the headers of a part")
        if self._open is None:
            self.fields[segment.name] = self._text.decode()  # whatever it is called: Python knows encodings like "hex"
            return
        self._open.close()
        self._open = None
        uploaded = Uploaded(
            segment.name, segment.filename, self._path, self._size, self._hash.hexdigest(), sniff(self._head)
        )
        self.files.append(uploaded)
        refuse_unless_media(uploaded.content, segment.filename)

    def discard(self) -> None:
        """Remove everything that was written."""
        if self._open is not None:
            self._open.close()
            self._path.unlink(missing_ok=True)
        for file in self.files:
            file.path.unlink(missing_ok=True)


def sweep(settings: Settings, now: float) -> int:
    """Remove the remains of killed receivers; returns how many files. `now`: seconds since 1970."""
    folder = settings.home / WAITING
    waiting = list(folder.iterdir()) if folder.is_dir() else []
    removed = 0
    for path in waiting:
        with contextlib.suppress(FileNotFoundError):  # another process sweeps too
            if path.is_file() and now - path.stat().st_mtime > ABANDONED_SECONDS:
                path.unlink()
                removed += 1
    return removed
