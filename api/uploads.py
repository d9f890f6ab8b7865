"""Multipart requests, streamed: files go to disk as they arrive, never whole into memory.

Knows limits and where uploads wait; does not know what they are for. A file that is not media by its
first bytes is refused, whatever its name and declared type say.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from anyio import to_thread
from litestar import Request
from msgspec import Struct
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser

from api.problems import HttpError
from indexer.probe import HEAD_BYTES, Content, sniff
from search.settings import Settings

#: a body that is no multipart; a query may carry pictures as data URLs
BODY_BYTES = 32 * 1024**2
FIELD_BYTES = 1024**2  # all fields that are no files, together
PARTS = 64
WAITING = "incoming"  # in the home folder: on the same disk as the uploads, outside every source

_MEDIA = (Content.IMAGE, Content.RAW, Content.CONTAINER)


class Uploaded(Struct, frozen=True):
    """A file that arrived; the path is temporary."""

    field: str
    name: str  # as the sender calls it; never used as a path
    path: Path
    size_bytes: int
    content_hash: str  # blake2b-256, as the catalogue has it
    content: Content


class Form(Struct, frozen=True):
    """What a multipart request held."""

    fields: dict[str, str]
    files: tuple[Uploaded, ...]

    @contextmanager
    def consumed(self) -> Iterator[Form]:
        """Remove the temporary files in the end, those that nobody moved away."""
        try:
            yield self
        finally:
            for file in self.files:
                file.path.unlink(missing_ok=True)


async def read_body(request: Request[Any, Any, Any]) -> bytes:
    """A body that is no multipart. Raises HttpError 413."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES:
            raise HttpError(413, "too-large", f"the body is larger than {BODY_BYTES} bytes; send files as multipart")
    return bytes(body)


async def receive(request: Request[Any, Any, Any], settings: Settings) -> Form:
    """Read a multipart request. Raises HttpError 400, 413 or 415; leaves no file behind then."""
    kind, parameters = request.content_type
    boundary = parameters.get("boundary", "")
    if kind != "multipart/form-data" or not boundary:
        raise HttpError(415, "unsupported-media-type", "send multipart/form-data with a boundary")
    collector = _Collector(settings)
    try:
        with PushMultipartParser(boundary.encode(), max_segment_count=PARTS) as parser:
            async for chunk in request.stream():
                if chunk:
                    # Parsing a chunk is quick, but it writes to disk: keep that away from the event loop.
                    await to_thread.run_sync(_feed, parser, collector, chunk)
            if not parser.closed:
                _feed(parser, collector, b"")  # nothing more comes: complains unless it is complete
    except ParserLimitReached as error:
        collector.discard()
        raise HttpError(413, "too-large", f"the multipart request has too many or too large parts: {error}") from None
    except (MultipartError, UnicodeDecodeError, ValueError) as error:
        collector.discard()
        raise HttpError(400, "validation", f"the multipart body is broken: {error}") from None
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
    """Puts the pieces of the parts where they belong, under the limits."""

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
        self._head = b""
        self._hash = hashlib.blake2b(digest_size=32)

    def begin(self, segment: MultipartSegment) -> None:
        self._segment = segment
        self._text = bytearray()
        if not segment.filename:
            return
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
        limit = self._settings.max_upload_bytes
        if self._size > limit:
            message = f"the file is larger than {limit} bytes (setting max_upload_bytes)"
            raise HttpError(413, "too-large", message)
        if len(self._head) < HEAD_BYTES:
            self._head += piece[: HEAD_BYTES - len(self._head)]
        self._hash.update(piece)
        self._open.write(piece)

    def _add_text(self, piece: bytes) -> None:
        self._text_total += len(piece)
        if self._text_total > FIELD_BYTES:
            raise HttpError(413, "too-large", f"the fields that are no files are larger than {FIELD_BYTES} bytes")
        self._text += piece

    def end(self) -> None:
        segment = self._segment
        if segment is None:
            raise HttpError(400, "validation", "the multipart body ended within the headers of a part")
        if self._open is None:
            self.fields[segment.name] = self._text.decode(segment.charset or "utf-8")
            return
        self._open.close()
        self._open = None
        uploaded = Uploaded(
            segment.name, segment.filename, self._path, self._size, self._hash.hexdigest(), sniff(self._head)
        )
        self.files.append(uploaded)
        if uploaded.content not in _MEDIA:
            shown = segment.filename[:100]
            raise HttpError(415, "unsupported-media-type", f"{shown!r} is {uploaded.content}, not media")

    def discard(self) -> None:
        """Remove everything that was written."""
        if self._open is not None:
            self._open.close()
            self._path.unlink(missing_ok=True)
        for file in self.files:
            file.path.unlink(missing_ok=True)
