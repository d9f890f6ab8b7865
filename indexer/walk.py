"""Walking a folder of media, whatever is in it. Knows the file system; knows no catalogue.

Names are bytes, because Linux allows any; no symbolic link to a folder is followed, so there are no
loops; a link to a file is followed if its target lies in the same root, so that nothing leaves it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from indexer.failures import shown
from indexer.probe import HEAD_BYTES, looks_like_media
from indexer.side_cars import SideCars, is_side_car_of, side_car_of
from search.catalog.records import FoundFile

# Thumbnails, trash and other programs' own affairs: indexing them would only repeat the library.
_SKIPPED_FOLDERS = frozenset(
    (
        b".git",
        b".thumbnails",
        b".cache",
        b"@eaDir",
        b"#recycle",
        b"$RECYCLE.BIN",
        b"System Volume Information",
        b".Trash",
        b".Trashes",
        b".Spotlight-V100",
        b".fseventsd",
        b"lost+found",
        b"node_modules",
        b"__pycache__",
    )
)
_APPLE_DOUBLE = b"._"  # resource forks that carry the name, and the suffix, of the file they belong to


@dataclass(frozen=True)
class Unreadable:
    """A folder (or file) that could not be looked at: whether it, and what is below it, is gone is unknown."""

    path: bytes
    reason: str


Entry = FoundFile | Unreadable


def walk(root: bytes, recursive: bool = True, skipped: Collection[Path] = ()) -> Iterator[Entry]:
    """Every media file of a root: a folder, or a single file, which is taken whatever it is.

    `skipped` are folders to stay out of. Raises OSError if the root itself can't be read.
    """
    status = os.stat(root)  # noqa: PTH116 - names are bytes
    if not os.path.isdir(root):  # noqa: PTH112
        beside = side_car_of(Path(os.fsdecode(root)))
        yield _found(root, status, beside.state if beside else "")
        return
    os.scandir(root).close()  # raises now if it can't be listed
    yield from _Walk(root, recursive, skipped).below(root)


def look(path: bytes, root: bytes, recursive: bool = True, skipped: Collection[Path] = ()) -> Iterator[Entry]:
    """What `walk(root)` would give of one file below the root, or of one folder and what is below it.

    Of a side-car, whether it is still there or not: what it would give of the files that it belongs to.
    """
    if path == root:
        yield from walk(root, recursive, skipped)
        return
    parent, name = os.path.split(path)
    walk_ = _Walk(root, recursive, skipped)
    if not walk_.would_enter(parent):
        return
    with os.scandir(parent) as listing:
        entries = list(listing)
    side_cars = SideCars(entries)
    folders: list[bytes] = []
    for entry in entries:
        if entry.name == name or (is_side_car_of(name, entry.name) and not entry.is_dir(follow_symlinks=False)):
            yield from walk_.look(entry, side_cars, folders)
    for folder in folders:
        yield from walk_.below(folder)


class _Walk:
    """One root, with what must be known of it at every file."""

    def __init__(self, root: bytes, recursive: bool, skipped: Collection[Path]) -> None:
        self._root = root
        self._recursive = recursive
        self._real_root = os.path.realpath(root)
        self._stay_out = {_identity(os.stat(path)) for path in skipped if path.exists()}  # noqa: PTH116

    def below(self, start: bytes) -> Iterator[Entry]:
        """Everything in a folder and, in a recursive walk, in the folders below."""
        waiting = [start]
        while waiting:
            folder = waiting.pop()
            try:
                with os.scandir(folder) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                yield Unreadable(folder, f"{shown(folder)}: can't be listed: {os.strerror(error.errno or 0)}")
                continue
            side_cars = SideCars(entries)
            folders: list[bytes] = []
            for entry in entries:
                yield from self.look(entry, side_cars, folders)
            waiting.extend(reversed(folders))

    def look(self, entry: os.DirEntry[bytes], side_cars: SideCars, folders: list[bytes]) -> Iterator[Entry]:
        """One entry: a file that is wanted comes out, a folder to walk is put into `folders`."""
        try:
            if entry.is_dir(follow_symlinks=False):
                if self._recursive and entry.name not in _SKIPPED_FOLDERS and not self._is_out_of_bounds(entry):
                    folders.append(entry.path)
            elif self._is_wanted(entry):
                yield _found(entry.path, entry.stat(), side_cars.state(entry.name))
        except FileNotFoundError:
            return  # it went away between the listing and the look
        except OSError as error:
            reason = f"{shown(entry.path)}: can't be looked at: {os.strerror(error.errno or 0)}"
            yield Unreadable(entry.path, reason)

    def would_enter(self, folder: bytes) -> bool:
        """Would a walk from the root come to this folder?"""
        if folder == self._root:
            return True
        inside = folder.removeprefix(self._root.rstrip(b"/") + b"/")
        if inside == folder or not self._recursive:
            return False
        names = inside.split(b"/")
        if b".." in names:
            return False
        paths = [os.path.join(self._root, *names[: count + 1]) for count in range(len(names))]  # noqa: PTH118
        return not any(
            name in _SKIPPED_FOLDERS or os.path.islink(path) or _identity(os.stat(path)) in self._stay_out  # noqa: PTH114, PTH116
            for name, path in zip(names, paths, strict=True)
        )

    def _is_out_of_bounds(self, entry: os.DirEntry[bytes]) -> bool:
        # The number comes with the listing: most folders need no further look.
        suspected = any(entry.inode() == number for number, _ in self._stay_out)
        return suspected and _identity(entry.stat()) in self._stay_out

    def _is_wanted(self, entry: os.DirEntry[bytes]) -> bool:
        # Pipes and devices would block whoever opens them.
        if entry.name.startswith(_APPLE_DOUBLE) or not entry.is_file():
            return False
        if entry.is_symlink() and not _lies_in(os.path.realpath(entry.path), self._real_root):
            return False
        return looks_like_media(entry.name) or looks_like_media(entry.name, _head(entry.path))


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_ino, status.st_dev


def _head(path: bytes) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read(HEAD_BYTES)


def _lies_in(path: bytes, root: bytes) -> bool:
    return path.startswith(root.rstrip(b"/") + b"/")


def _found(path: bytes, status: os.stat_result, side_car: str) -> FoundFile:
    return FoundFile(
        path=shown(path),
        path_bytes=path,
        size_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        side_car=side_car,
    )
