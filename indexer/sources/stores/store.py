"""What every store can do: list its files, say how one is now, and read any part of it.

A store is opened at a root; its files are named below it, with slashes. What goes wrong is raised as StoreError
(the store as a whole can't be used now), FileNotFoundError (there is no such file) or MediaError (this file can't
be read). Knows no catalogue.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar, runtime_checkable

READ_BYTES = 1024 * 1024  # at once, from a store's stream
_BLOCK_BYTES = 1024 * 1024  # of a file that is read here and there, such as an archive


RECENT_SECONDS = 10.0
_KEPT = 8  # recent listings
ValueT = TypeVar("ValueT")


@dataclass(frozen=True)
class StoredFile:
    """A file as a listing shows it."""

    name: str  # below the root; empty: the root itself is a file
    size_bytes: int
    modified_ns: int  # 0: the store does not say
    etag: str = ""  # another text whenever the contents may be others; empty: the store has none


@dataclass(frozen=True)
class Unlisted:
    """A folder that could not be listed: what it holds is unknown."""

    name: str
    reason: str


Found = StoredFile | Unlisted
#: says of a folder, by its name below the root, whether it is worth listing
Enter = Callable[[str], bool]


class Store(Protocol):
    """A place that holds files, opened at its root. Thread-safe."""

    #: files appear and change whole, so one that was just written is complete
    is_atomic: bool
    #: an etag says what the contents are, so that equal ones mean equal contents
    has_content_etags: bool
    #: the files in a folder come before those in the folders below; else all of them come in the order of their names
    lists_by_folder: bool

    def files(self, enter: Enter, below: str = "") -> Iterator[Found]:
        """Every file (of the folder `below`): all that lie below a folder come without others between them.

        Few at a time are in memory. Raises StoreError, FileNotFoundError when there is no such root.
        """

    def beside(self, name: str, beginnings: Sequence[str]) -> list[StoredFile]:
        """The files in the same folder whose names begin so; others may be among them."""

    def stat(self, name: str) -> StoredFile:
        """One file as it is now."""

    def read(self, file: StoredFile, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes of `[start, end)`, in pieces. Raises TransientMediaError when the file has changed."""

    def check(self) -> None:
        """Ask for as little as possible. Raises StoreError when the store can't be used now."""

    def close(self) -> None:
        """End its connections; it opens them again when it is used."""


@runtime_checkable
class WritableStore(Store, Protocol):
    """A store that takes files, too."""

    def write(self, name: str, path: Path) -> StoredFile:
        """Put a local file there, whole."""

    def delete(self, name: str) -> None:
        """Remove a file; it is not an error if it does not exist."""


def first_bytes(store: Store, file: StoredFile, count: int) -> bytes:
    """The first `count` bytes of a file."""
    return b"".join(store.read(file, 0, min(count, file.size_bytes)))[:count]


class Recent(Generic[ValueT]):
    """What was found a moment ago, for callers that ask for the same again and again. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, ValueT]] = {}

    def get(self, key: str, make: Callable[[], ValueT]) -> ValueT:
        """The value of a key, made anew once it is some seconds old. Raises what `make` raises."""
        with self._lock:
            now = self._clock()
            kept = self._kept.get(key)
            if kept is not None and now - kept[0] < RECENT_SECONDS:
                return kept[1]
        value = make()
        with self._lock:
            while len(self._kept) >= _KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = now, value
        return value


class SeekableFile(io.RawIOBase):
    """A stored file as Python reads files, for libraries that jump around in it. One reader at a time."""

    def __init__(self, store: Store, file: StoredFile) -> None:
        self._store, self._file = store, file
        self._at = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As files do."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size_bytes}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """As files do."""
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """As files do; a request to the store for each call, so wrap it in a BufferedReader."""
        end = min(self._at + len(buffer), self._file.size_bytes)
        if end <= self._at:
            return 0
        count = 0
        for piece in self._store.read(self._file, self._at, end):
            buffer[count : count + len(piece)] = piece
            count += len(piece)
        self._at += count
        return count


def opened(store: Store, file: StoredFile) -> io.BufferedReader:
    """A stored file for reading here and there."""
    return io.BufferedReader(SeekableFile(store, file), _BLOCK_BYTES)
