"""Walking a folder of media, whatever is in it. Knows the file system; knows no catalogue.

Names are bytes, because Linux allows any; no symbolic link to a folder is followed, so there are no
loops; a link to a file is followed if its target lies in the same root, so that nothing leaves it, and is
not found there anyway, so that one file is one asset.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from indexer.decoding.probe import HEAD_BYTES, looks_like_media
from indexer.decoding.sidecars import Sidecars, belong_to_media, is_sidecar, is_sidecar_of, is_words, state_of
from indexer.failures import shown
from indexer.sources.files import Entry, Unreadable
from indexer.sources.ignoring import IGNORE_FILE, NO_MEDIA_FILE, Ignoring
from search.catalog.records import FoundFile


def walk(
    root: bytes, recursive: bool = True, skipped: Collection[Path] = (), ignoring: Ignoring | None = None
) -> Iterator[Entry]:
    """Every media file of a root: a folder, or a single file, which is taken whatever it is.

    `skipped` are folders to stay out of; `ignoring` says what else is left out, and counts it.
    Raises OSError if the root itself can't be read.
    """
    status = os.stat(root)
    if not os.path.isdir(root):
        yield _found(root, status, state_of(Path(os.fsdecode(root)))[0])
        return
    os.scandir(root).close()  # raises now if it can't be listed
    yield from _Walk(root, recursive, skipped, ignoring).below(root)


def look(
    path: bytes,
    root: bytes,
    recursive: bool = True,
    skipped: Collection[Path] = (),
    ignoring: Ignoring | None = None,
) -> Iterator[Entry]:
    """What `walk(root)` would give of one file below the root, or of one folder and what is below it.

    Of a side-car, whether it is still there or not: what it would give of the files that it belongs to.
    """
    if path == root:
        yield from walk(root, recursive, skipped, ignoring)
        return
    parent, name = os.path.split(path)
    walk_ = _Walk(root, recursive, skipped, ignoring)
    if not walk_.would_enter(parent):
        return
    with os.scandir(parent) as listing:
        entries = list(listing)
    side_cars = Sidecars(entries)
    folders: list[bytes] = []
    for entry in entries:
        if entry.name == name or (is_sidecar_of(name, entry.name) and not entry.is_dir(follow_symlinks=False)):
            yield from walk_.look(entry, side_cars, folders)
    for folder in folders:
        yield from walk_.below(folder)


def reaches(path: bytes, root: bytes, recursive: bool = True, skipped: Collection[Path] = ()) -> bool:
    """Would `walk(root)` come to this file, or to this folder and what is below it? Both by their real paths."""
    try:
        if os.path.isdir(path):
            return recursive and _Walk(root, recursive, skipped).would_enter(path)
        return any(isinstance(entry, FoundFile) for entry in look(path, root, recursive, skipped))
    except OSError:
        return False  # what is not there can't be found twice


def is_left_out(path: bytes, root: bytes, ignoring: Ignoring) -> bool:
    """Whether a walk would leave a file out: because of its name, its folders, or files beside it."""
    walk_ = _Walk(root, recursive=True, skipped=(), ignoring=ignoring)
    try:
        if belong_to_media(Path(os.fsdecode(path))):
            return True
        return not walk_.would_enter(os.path.dirname(path)) or bool(ignoring.ignores(path, is_folder=False))
    except OSError:
        return False


class _Walk:
    """One root, with what must be known of it at every file."""

    def __init__(
        self, root: bytes, recursive: bool, skipped: Collection[Path], ignoring: Ignoring | None = None
    ) -> None:
        self._root = root
        self._ignoring = ignoring or Ignoring(root)
        self._recursive = recursive
        self._real_root = os.path.realpath(root)
        self._stay_out = {_identity(os.stat(path)) for path in skipped if path.exists()}

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
            if not self._ignoring.enter(folder, frozenset(entry.name for entry in entries)):
                continue
            side_cars = Sidecars(entries)
            folders: list[bytes] = []
            for entry in entries:
                yield from self.look(entry, side_cars, folders)
            waiting.extend(reversed(folders))

    def look(self, entry: os.DirEntry[bytes], side_cars: Sidecars, folders: list[bytes]) -> Iterator[Entry]:
        """One entry: a file that is wanted comes out, a folder to walk is put into `folders`."""
        try:
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder and (not self._recursive or self._is_out_of_bounds(entry)):
                return
            if reason := self._ignoring.ignores(entry.path, is_folder=is_folder):
                self._ignoring.count(reason)
            elif is_folder:
                folders.append(entry.path)
            elif self._is_wanted(entry, side_cars):
                yield _found(entry.path, entry.stat(), side_cars.state(entry.name))
        except FileNotFoundError:
            return  # it went away between the listing and the look
        except OSError as error:
            reason = f"{shown(entry.path)}: can't be looked at: {os.strerror(error.errno or 0)}"
            yield Unreadable(entry.path, reason)

    def would_enter(self, folder: bytes) -> bool:
        """Would a walk from the root come to this folder?"""
        if folder == self._root:
            return self._enters(folder)
        inside = folder.removeprefix(self._root.rstrip(b"/") + b"/")
        if inside == folder or not self._recursive:
            return False
        names = inside.split(b"/")
        if b".." in names:
            return False
        paths = [os.path.join(self._root, *names[: count + 1]) for count in range(len(names))]
        return self._enters(self._root) and all(self._enters(path) for path in paths)

    def _enters(self, folder: bytes) -> bool:
        if folder != self._root and (
            os.path.islink(folder)
            or _identity(os.stat(folder)) in self._stay_out
            or self._ignoring.ignores(folder, is_folder=True)
        ):
            return False
        try:
            return self._ignoring.enter(folder, frozenset(os.listdir(folder)))
        except OSError:
            return True

    def _is_out_of_bounds(self, entry: os.DirEntry[bytes]) -> bool:
        # The number comes with the listing: most folders need no further look.
        suspected = any(entry.inode() == number for number, _ in self._stay_out)
        return suspected and _identity(entry.stat()) in self._stay_out

    def _is_only_way(self, target: bytes) -> bool:
        """Whether a link's target is in the root, in a folder that the walk does not visit."""
        if not _lies_in(target, self._real_root):
            return False
        inside = os.path.join(self._root, os.path.relpath(os.path.dirname(target), self._real_root))
        return not self.would_enter(os.path.normpath(inside))

    def _is_followed(self, link: os.DirEntry[bytes]) -> bool:
        """Whether a link is the only way to a file of the root. One that leads out, or nowhere, is counted."""
        leads_to_folder = os.path.isdir(link.path)  # not for a circle of links, where DirEntry would raise
        if leads_to_folder and not self._recursive:
            return False
        target = os.path.realpath(link.path)
        if not _lies_in(target, self._real_root):
            self._ignoring.count_link(link.path, target)
            return False
        if not os.path.lexists(target) or os.path.islink(target):  # a link in a circle is its own target
            self._ignoring.count_broken_link(link.path, target)
            return False
        return not leads_to_folder and self._is_only_way(target)

    def _is_wanted(self, entry: os.DirEntry[bytes], side_cars: Sidecars) -> bool:
        if entry.is_symlink() and not self._is_followed(entry):
            return False
        # Opening pipes and devices would block.
        if not entry.is_file():
            self._ignoring.count("special files")
            return False
        if is_words(entry.name):
            return not side_cars.belong_to_media(entry.name)
        if looks_like_media(entry.name) or looks_like_media(entry.name, _head(entry.path)):
            return True
        if not is_sidecar(entry.name) and entry.name not in (IGNORE_FILE, NO_MEDIA_FILE):
            self._ignoring.count_other(entry.name)
        return False


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_ino, status.st_dev


def _head(path: bytes) -> bytes:
    with open(path, "rb") as file:
        return file.read(HEAD_BYTES)


def _lies_in(path: bytes, root: bytes) -> bool:
    return path.startswith(root.rstrip(b"/") + b"/")


def _found(path: bytes, status: os.stat_result, side_car: str) -> FoundFile:
    return FoundFile(
        path=shown(path),
        path_bytes=path,
        size_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        changed_ns=status.st_ctime_ns,
        side_car=side_car,
    )
