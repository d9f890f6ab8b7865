"""Any file system that fsspec knows, listed folder by folder: Azure, Google, WebDAV, SFTP, archives, memory.

A file system whose connection broke is opened again at the next call. Knows fsspec and what its file systems call
size, time and etag.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fsspec import AbstractFileSystem

from indexer.sources.stores.failures import reason_of, telling
from indexer.sources.stores.store import READ_BYTES, Enter, Found, Recent, StoredFile, Unlisted
from search.errors import MedleyError, StoreError, TransientMediaError

_NANOSECONDS = 1_000_000_000
_TIMES = ("modified", "mtime", "last_modified", "LastModified", "updated", "created", "Last-Modified", "modify")
_ETAGS = ("etag", "ETag", "e_tag", "md5Hash", "content_md5", "CRC")


@dataclass(frozen=True)
class Opened:
    """A file system, and what it calls the root."""

    system: AbstractFileSystem
    path: str
    quoted: bool = False  # it takes names as addresses have them, and gives them plain

    def of(self, name: str) -> str:
        """What it wants to be asked for a name below the root."""
        path = _joined(self.path, name)
        return quote(path) if self.quoted else path


class FsspecStore:
    """A folder of a file system, or a single file, for reading."""

    has_content_etags = False
    lists_by_folder = True

    def __init__(self, root: str, open_system: Callable[[], Opened], *, is_atomic: bool = False) -> None:
        self._root = root
        self._open = open_system
        self.is_atomic = is_atomic
        self._lock = threading.Lock()
        self._opened: Opened | None = None
        self._recent: Recent[list[StoredFile]] = Recent()

    def files(self, enter: Enter, below: str = "") -> Iterator[Found]:
        """As `Store.files`; one folder is in memory at a time, and the names of folders still to be listed."""
        with self._system() as opened:
            top = _stored(below, opened.system.info(opened.of(below)))
        if top is not None:
            yield top
            return
        waiting = [below]
        while waiting:
            folder = waiting.pop()
            try:
                files, folders = self._listed(folder)
            except (MedleyError, OSError) as error:
                if folder == below:
                    raise
                # One that can't be listed is left as it is known; a store that is gone fails at its root, too.
                self.check()
                reason = str(error) if isinstance(error, MedleyError) else reason_of(error)
                yield Unlisted(folder, reason.removeprefix(f"{self._root}: "))
                continue
            yield from files
            waiting.extend(name for name in reversed(folders) if enter(name))

    def beside(self, name: str, beginnings: Sequence[str]) -> list[StoredFile]:  # noqa: ARG002 - all are near
        """As `Store.beside`: everything in the file's folder."""
        folder = name.rpartition("/")[0]
        try:
            return self._recent.get(folder, lambda: self._listed(folder)[0])
        except (FileNotFoundError, NotADirectoryError):
            return []

    def stat(self, name: str) -> StoredFile:
        """As `Store.stat`."""
        with self._system() as opened:
            stored = _stored(name, opened.system.info(opened.of(name)))
        if stored is None:
            raise FileNotFoundError(f"{self._root}/{name}")
        return stored

    def read(self, file: StoredFile, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """As `Store.read`."""
        left = (file.size_bytes if end is None else end) - start
        if left <= 0:
            return
        if start == 0 and self.stat(file.name) != file:
            raise TransientMediaError(f"{self._root}/{file.name}: changed while it was read")
        with self._system() as opened, opened.system.open(opened.of(file.name), "rb") as stream:
            stream.seek(start)
            while left > 0 and (piece := stream.read(min(READ_BYTES, left))):
                left -= len(piece)
                yield piece

    def check(self) -> None:
        """As `Store.check`."""
        with self._system() as opened:
            try:
                opened.system.info(opened.of(""))
            except FileNotFoundError:
                raise StoreError(f"{self._root}: is not there") from None

    def close(self) -> None:
        """As `Store.close`."""
        with self._lock:
            opened, self._opened = self._opened, None
        # Those that hold something say so in ways of their own; the others end with their last reader.
        client = getattr(getattr(opened and opened.system, "client", None), "http", None)
        if client is not None:
            client.close()

    def _listed(self, folder: str) -> tuple[list[StoredFile], list[str]]:
        """The files in a folder, and the folders in it, each by its name below the root, in order."""
        files: list[StoredFile] = []
        folders: list[str] = []
        with self._system() as opened:
            itself = _joined(opened.path, folder).strip("/")
            for entry in opened.system.ls(opened.of(folder), detail=True):
                last = str(entry["name"]).rstrip("/").rpartition("/")[2]
                if last in ("", ".", ".."):
                    continue
                name = f"{folder}/{last}" if folder else last
                if entry["type"] == "directory":
                    if itself != str(entry["name"]).strip("/"):  # some list the folder itself
                        folders.append(name)
                elif stored := _stored(name, entry):
                    files.append(stored)
        return sorted(files, key=lambda file: file.name), sorted(folders)

    @contextmanager
    def _system(self) -> Iterator[Opened]:
        with telling(self._root):
            with self._lock:
                opened = self._opened or self._open()
                self._opened = opened
            try:
                yield opened
            except (FileNotFoundError, NotADirectoryError, PermissionError, MedleyError, GeneratorExit):
                raise
            except BaseException:
                with self._lock:  # its connection may be dead
                    if self._opened is opened:
                        self._opened = None
                raise


class FsspecFolder(FsspecStore):
    """A file system that can be written to, too: see `WritableStore`."""

    def write(self, name: str, path: Path) -> StoredFile:
        """As `WritableStore.write`."""
        with self._system() as opened:
            target = opened.of(name)
            with suppress(FileExistsError):
                opened.system.makedirs(target.rpartition("/")[0], exist_ok=True)
            # Where a file that is being written can be seen, it is written under another name first.
            written = target if self.is_atomic else f"{target}.part"
            with path.open("rb") as source, opened.system.open(written, "wb") as out:
                shutil.copyfileobj(source, out, READ_BYTES)
            if written != target:
                opened.system.mv(written, target)
        return self.stat(name)

    def delete(self, name: str) -> None:
        """As `WritableStore.delete`."""
        with suppress(FileNotFoundError), self._system() as opened:
            opened.system.rm_file(opened.of(name))


def _joined(root: str, name: str) -> str:
    if not name:
        return root
    return f"{root}/{name}" if root and not root.endswith("/") else root + name


def _stored(name: str, entry: dict[str, Any]) -> StoredFile | None:
    """None for anything but a file: folders, and links, which may lead anywhere."""
    if entry["type"] != "file":
        return None
    time = next((_nanoseconds(entry[key]) for key in _TIMES if entry.get(key) is not None), 0)
    if not time and "date_time" in entry:
        time = _zip_time(entry["date_time"])
    etag = next((str(entry[key]).strip('"') for key in _ETAGS if entry.get(key)), "")
    return StoredFile(name, int(entry.get("size") or 0), time, etag)


def _zip_time(parts: Sequence[int]) -> int:
    """Archives hold local times without a zone, and sometimes nonsense."""
    with suppress(ValueError, TypeError):
        year, month, day, hour, minute, second = parts
        return _nanoseconds(datetime(year, month, day, hour, minute, second, tzinfo=UTC))
    return 0


def _nanoseconds(time: Any) -> int:
    if isinstance(time, str):
        with suppress(ValueError):
            time = datetime.fromisoformat(time)
    if isinstance(time, str):
        with suppress(ValueError, TypeError):
            time = parsedate_to_datetime(time)
    if isinstance(time, datetime):
        moment: datetime = time if time.tzinfo else time.replace(tzinfo=UTC)
        return int(moment.timestamp()) * _NANOSECONDS + moment.microsecond * 1000
    return int(float(time) * _NANOSECONDS) if isinstance(time, int | float) else 0
