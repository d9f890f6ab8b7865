"""Resumable uploads: files that arrive in pieces, over connections that break (tus 1.0.0).

An upload is a folder with what has arrived and what is known of it, in the home folder, so that any replica that
shares it can go on. Knows limits and folders; does not know what uploads are for.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from anyio import to_thread
from msgspec import Struct

from api.http.problems import HttpError
from api.http.uploads import WAITING, Uploaded, refuse_unless_media
from indexer.decoding.probe import HEAD_BYTES, sniff
from search.errors import NotFoundError
from search.settings import Settings

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,termination,expiration"
#: without a byte: nobody goes on with it any more, and its space is freed
EXPIRES_SECONDS = 24 * 3600.0
_FOLDER = "resumable"
_IDENTIFIER = re.compile(r"[0-9a-f]{32}")
_MOST_METADATA = 4096
_PIECE = 1024**2


class Started(Struct, frozen=True):
    """What is known of an upload from its beginning."""

    name: str
    size_bytes: int
    asset: str = ""  # its id, once all has arrived and was kept


class Upload:
    """One upload. Its methods block: they write to disk."""

    def __init__(self, folder: Path) -> None:
        """Raises NotFoundError where nothing was begun under this folder."""
        self.identifier = folder.name
        self._folder = folder
        self._data = folder / "data"
        try:
            self.started = msgspec.json.decode((folder / "started.json").read_bytes(), type=Started)
        except (OSError, msgspec.DecodeError):
            raise NotFoundError(
                "there is no such upload; it was removed, or nobody went on with it for a day"
            ) from None

    @property
    def offset(self) -> int:
        """Bytes that have arrived."""
        return self.started.size_bytes if self.started.asset else self._data.stat().st_size

    @property
    def expires_at(self) -> float:
        """When it is removed, in seconds since 1970."""
        return self._folder.stat().st_mtime + EXPIRES_SECONDS

    @contextmanager
    def appending(self, offset: int) -> Iterator[int]:
        """A descriptor to append with, for one request at a time. Raises HttpError 409 and 423."""
        try:
            descriptor = os.open(self._data, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            raise HttpError(409, "conflict", "all of this upload has arrived, or it was removed") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise HttpError(
                    423, "locked", "another request writes this upload now; ask where it is first"
                ) from None
            arrived = os.fstat(descriptor).st_size
            if offset != arrived:
                raise HttpError(409, "conflict", f"{arrived} bytes have arrived, not {offset}; continue from there")
            yield descriptor
            os.utime(self._folder)
        finally:
            os.close(descriptor)

    def write(self, descriptor: int, piece: bytes, arrived: int) -> int:
        """Append a piece; returns how many bytes have arrived then. Raises HttpError 413, 415."""
        if arrived + len(piece) > self.started.size_bytes:
            raise HttpError(413, "too-large", f"more than the {self.started.size_bytes} bytes that were announced came")
        view = memoryview(piece)
        while view:
            view = view[os.write(descriptor, view) :]
        if arrived < HEAD_BYTES <= arrived + len(piece):
            self._refuse_unless_media()
        return arrived + len(piece)

    def finish(self, keep: Callable[[Uploaded], str]) -> None:
        """Hand the whole file to `keep`, and remember which asset it became. Raises HttpError 415.

        A client whose last answer was lost asks for it again.
        """
        self._refuse_unless_media()
        digest = hashlib.blake2b(digest_size=32)
        with self._data.open("rb") as file:
            head = file.read(HEAD_BYTES)
            file.seek(0)
            while piece := file.read(_PIECE):
                digest.update(piece)
        size = self.started.size_bytes
        asset = keep(Uploaded("file", self.started.name, self._data, size, digest.hexdigest(), sniff(head)))
        self.started = msgspec.structs.replace(self.started, asset=asset)
        _write(self._folder, self.started)
        self._data.unlink(missing_ok=True)

    def remove(self) -> None:
        """Forget it."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _refuse_unless_media(self) -> None:
        with self._data.open("rb") as file:
            content = sniff(file.read(HEAD_BYTES))
        try:
            refuse_unless_media(content, self.started.name)
        except HttpError:
            self.remove()
            raise


def start(settings: Settings, size_bytes: int, metadata: str) -> Upload:
    """A new upload of that many bytes; `metadata` as the header `Upload-Metadata` has it. Raises HttpError 400, 413."""
    if size_bytes > settings.max_upload_bytes:
        limit = settings.max_upload_bytes
        raise HttpError(413, "too-large", f"the file is larger than {limit} bytes (setting max_upload_bytes)")
    folder = settings.home / WAITING / _FOLDER / secrets.token_hex(16)
    folder.mkdir(parents=True)
    (folder / "data").touch()
    _write(folder, Started(_name(metadata), size_bytes))
    return Upload(folder)


def find(settings: Settings, identifier: str) -> Upload:
    """An upload that was begun. Raises NotFoundError."""
    if not _IDENTIFIER.fullmatch(identifier):
        raise NotFoundError("there is no such upload")
    return Upload(settings.home / WAITING / _FOLDER / identifier)


async def append(upload: Upload, offset: int, body: AsyncIterator[bytes], keep: Callable[[Uploaded], str]) -> int:
    """Append a body as it arrives; returns how many bytes have arrived. What came before a break stays.

    Once all have, `keep` moves the file away and returns the id of the asset that it is.
    """
    with upload.appending(offset) as descriptor:
        arrived = offset
        async for piece in body:
            if piece:
                arrived = await to_thread.run_sync(upload.write, descriptor, piece, arrived)
        if arrived == upload.started.size_bytes:
            await to_thread.run_sync(upload.finish, keep)
    return arrived


def sweep(settings: Settings, now: float) -> int:
    """Remove uploads that were not continued for a day; returns how many. `now`: seconds since 1970."""
    folder = settings.home / WAITING / _FOLDER
    removed = 0
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        with contextlib.suppress(FileNotFoundError):  # another process sweeps too
            if now - path.stat().st_mtime > EXPIRES_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
                removed += 1
    return removed


def _write(folder: Path, started: Started) -> None:
    new = folder / "started.new"
    new.write_bytes(msgspec.json.encode(started))
    new.replace(folder / "started.json")


def _name(metadata: str) -> str:
    """The file's name of `filename BASE64,filetype BASE64`. Raises HttpError 400."""
    if len(metadata) > _MOST_METADATA:
        raise HttpError(400, "validation", f"Upload-Metadata is longer than {_MOST_METADATA} characters")
    for pair in metadata.split(","):
        key, _, value = pair.strip().partition(" ")
        if key in ("filename", "name"):
            try:
                return base64.b64decode(value, validate=True).decode("utf-8")
            except (binascii.Error, UnicodeDecodeError):
                raise HttpError(400, "validation", f"Upload-Metadata: {key} is not text in base64") from None
    return "upload"
