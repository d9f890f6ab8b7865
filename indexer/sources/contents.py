"""The bytes of a file, opened to read parts of it: a local file, or one in a store."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from typing import Protocol

from indexer.sources.stores.store import Store, StoredFile
from search.errors import NotFoundError

_PIECE_BYTES = 256 * 1024


class Contents(Protocol):
    """An open file. Close it."""

    size_bytes: int
    modified_ns: int
    #: another text whenever the bytes may be others
    version: str

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes of `[start, end)`; fewer where the file has shrunk."""

    def close(self) -> None:
        """Close it, once."""


class OpenFile:
    """A local file that closes itself, because a stream whose client went away may never be started."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.facts = os.fstat(descriptor)
        self.size_bytes, self.modified_ns = self.facts.st_size, self.facts.st_mtime_ns
        self.version = f"{self.size_bytes:x}-{self.modified_ns:x}"

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """As `Contents.pieces`."""
        while start < end and (piece := os.pread(self._descriptor, min(_PIECE_BYTES, end - start), start)):
            start += len(piece)
            yield piece

    def close(self) -> None:
        """Close it, once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()


class StoredContents:
    """A stored file as it is now; every part of it is asked for as that version."""

    def __init__(self, store: Store, file: StoredFile) -> None:
        self._store, self._file = store, file
        self.size_bytes, self.modified_ns = file.size_bytes, file.modified_ns
        tag = hashlib.sha256(file.etag.encode()).hexdigest()[:16] if file.etag else ""
        self.version = f"{file.size_bytes:x}-{file.modified_ns:x}" + (f"-{tag}" if tag else "")

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """As `Contents.pieces`. Raises StoreError, MediaError."""
        return self._store.read(self._file, start, end)

    def close(self) -> None:
        """Nothing is held open between two parts."""


def open_below(path: bytes, root: bytes) -> OpenFile:
    """The regular file at `path`, opened, whose real path must be below `root` (or be it).

    Opened first and compared afterwards, so that a link swapped in between can't lead elsewhere.
    Raises NotFoundError.
    """
    try:
        # Non-blocking: opening a named pipe would wait for its writer.
        file = OpenFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
        real, real_root = os.path.realpath(path), os.path.realpath(root)
        named = os.stat(real)  # noqa: PTH116 - names are bytes
    except (OSError, ValueError):
        raise NotFoundError("the file is not there any more") from None
    inside = real == real_root or real.startswith(real_root.rstrip(b"/") + b"/")
    same = (file.facts.st_dev, file.facts.st_ino) == (named.st_dev, named.st_ino)
    if not (inside and same and stat.S_ISREG(file.facts.st_mode)):
        raise NotFoundError("the file is not inside its source")
    return file
