"""The files of a source in a store: listed, looked at and copied through its library.

Follows the same rules as a walk of a folder, on a listing that may have millions of entries: of each folder only the
names of small files that tell of others stay in memory, the rest waits on disk until the folder is at its end.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO

import msgspec

from indexer.decoding.probe import HEAD_BYTES, looks_like_media
from indexer.decoding.sidecars import Sidecars, are_words_of, beginnings, is_sidecar, is_sidecar_of, is_words
from indexer.failures import shown
from indexer.sources.contents import Contents, StoredContents
from indexer.sources.files import Entry, Known, Unreadable
from indexer.sources.ignoring import IGNORE_FILE, NO_MEDIA_FILE, Ignoring
from indexer.sources.original import Original
from indexer.sources.stores.health import Health, health_of
from indexer.sources.stores.opening import open_store
from indexer.sources.stores.range_server import served
from indexer.sources.stores.scratch import scratch_of
from indexer.sources.stores.store import Store, StoredFile, Unlisted, WritableStore, first_bytes
from search.catalog.records import AssetRecord, FoundFile, SourceRecord
from search.errors import MediaError, NotFoundError, StoreError, TransientMediaError, UsageError
from search.settings import Settings

_AT_ONCE = 16  # small requests: is it there, how does it begin
_CHUNK = 500  # files that are decided together
_IN_MEMORY_BYTES = 4 * 1024**2  # of the names of one folder
_MARGIN_NS = 3600 * 1_000_000_000  # a store's clock may be as far from ours
_SPECIAL = (IGNORE_FILE, NO_MEDIA_FILE)


@dataclass(frozen=True)
class _Facts:
    st_size: int
    st_mtime_ns: int


@dataclass(frozen=True)
class _Beside:
    """A stored file as `Sidecars` wants entries of a folder."""

    name: bytes
    path: bytes
    file: StoredFile

    def is_file(self) -> bool:
        return True

    def stat(self) -> _Facts:
        return _Facts(self.file.size_bytes, self.file.modified_ns)


class StoreFiles:
    """See `SourceFiles`."""

    in_place = False

    def __init__(self, source: SourceRecord, settings: Settings) -> None:
        self._source = source
        self._settings = settings
        self._root = os.fsencode(source.root)

    @property
    def _store(self) -> Store:
        return open_store(self._settings, self._source.root, self._source.profile)

    @property
    def health(self) -> Health:
        """Whether the store can be used, as far as is known."""
        return health_of(self._settings, self._source.root, self._source.profile)

    @property
    def may_be_half_written(self) -> bool:
        """As `SourceFiles.may_be_half_written`."""
        return not self._store.is_atomic

    @property
    def has_content_etags(self) -> bool:
        """As `SourceFiles.has_content_etags`."""
        return self._store.has_content_etags

    def ignoring(self) -> Ignoring:
        """As `SourceFiles.ignoring`."""
        return Ignoring(self._root, self._source.excludes.splitlines(), self._read)

    def walk(self, ignoring: Ignoring, known: Known) -> Iterator[Entry]:
        """As `SourceFiles.walk`. Raises StoreError."""
        with self._watched():
            yield from _Walk(self, self._store, self._source, ignoring, known).below("")

    def look(self, path: bytes, ignoring: Ignoring) -> Iterator[Entry]:
        """As `SourceFiles.look`. Raises StoreError."""
        name = self.name_of(path)
        with self._watched():
            walk = _Walk(self, self._store, self._source, ignoring, lambda _paths: ())
            if not name:
                yield from walk.below("")
                return
            entries = self._beside(name)
            if self._leave_out([path], ignoring) == [True]:
                return
            last = os.fsencode(name.rpartition("/")[2])
            near = [entry.file for entry in entries if entry.name == last or is_sidecar_of(last, entry.name)]
            yield from walk.chosen(near, Sidecars(entries))
            if not any(file.name == name for file in near) and self._source.recursive:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    yield from walk.below(name)

    def answers(self) -> bool:
        """As `SourceFiles.answers`: without waiting for a store that was asked a moment ago."""
        return self.health.is_good()

    def are_gone(self, paths: Sequence[bytes]) -> list[bool]:
        """As `SourceFiles.are_gone`."""
        if not paths:
            return []
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="store-look") as pool:
            return list(pool.map(self._is_gone, paths))

    def are_left_out(self, paths: Sequence[bytes]) -> list[bool]:
        """As `SourceFiles.are_left_out`."""
        out = self._leave_out(paths, self.ignoring())
        return [is_out or self._belongs_to_media(path) for path, is_out in zip(paths, out, strict=True)]

    def _belongs_to_media(self, path: bytes) -> bool:
        name = self.name_of(path)
        if not name or not is_words(path):
            return False
        return Sidecars(self._beside(name)).belong_to_media(os.fsencode(name.rpartition("/")[2]))

    def words_beside(self, path: bytes) -> list[bytes]:
        """As `SourceFiles.words_beside`. Raises StoreError."""
        name = self.name_of(path)
        if not looks_like_media(path):
            return []
        last = os.fsencode(name.rpartition("/")[2])
        with self._watched():
            return [entry.path for entry in self._beside(name) if are_words_of(entry.name, last)]

    def _leave_out(self, paths: Sequence[bytes], ignoring: Ignoring) -> list[bool]:
        entered: dict[str, bool] = {}

        def enters(folder: str) -> bool:
            if folder not in entered:
                above = not folder or enters(folder.rpartition("/")[0])
                path = self.path_of(folder)
                entered[folder] = (
                    above
                    and (not folder or (self._source.recursive and not ignoring.ignores(path, is_folder=True)))
                    and ignoring.enter(path, self.special_in(folder))
                )
            return entered[folder]

        return [
            path != self._root
            and (not enters(self.name_of(path).rpartition("/")[0]) or bool(ignoring.ignores(path, is_folder=False)))
            for path in paths
        ]

    def now(self, asset: AssetRecord) -> tuple[FoundFile, int]:
        """As `SourceFiles.now`; changes of sidecars are noticed only by scans."""
        with self._watched():
            file = self._store.stat(self.name_of(asset.path_bytes))
        current = self.found(file, asset.side_car)
        return current, file.modified_ns

    @contextmanager
    def fetch(self, asset: AssetRecord) -> Iterator[Path]:
        """As `SourceFiles.fetch`: a local copy."""
        name = self.name_of(asset.path_bytes)
        file = StoredFile(name, asset.size_bytes, asset.modified_ns, asset.etag)
        with contextlib.ExitStack() as stack:
            with self._watched():
                beside = self._belonging(asset)
                copy = scratch_of(self._settings).copy(self._store, file, beside, asset.path)
                try:
                    path = stack.enter_context(copy)
                except FileNotFoundError:
                    raise TransientMediaError(f"{asset.path}: went away before it was read") from None
            yield path

    def open(self, asset: AssetRecord) -> Contents:
        """As `SourceFiles.open`. Raises StoreError, at once where the store is known not to answer."""
        return StoredContents(self._store, self._look_at(asset))

    def original(self, asset: AssetRecord) -> Original:
        """As `SourceFiles.original`: as it was indexed, so that previews made before need no store."""
        version = f"{asset.path}\0{asset.size_bytes}\0{asset.modified_ns}\0{asset.etag}"
        return Original(asset.path, version, lambda: self._fetched(asset), lambda: self._served(asset))

    def _look_at(self, asset: AssetRecord) -> StoredFile:
        if not self.health.is_good():
            raise StoreError(self.health.reason)
        with self._watched():
            try:
                return self._store.stat(self.name_of(asset.path_bytes))
            except (FileNotFoundError, NotADirectoryError):
                raise NotFoundError("the file is not there any more") from None

    @contextmanager
    def _fetched(self, asset: AssetRecord) -> Iterator[Path]:
        self._look_at(asset)
        with self.fetch(asset) as path:
            yield path

    @contextmanager
    def _served(self, asset: AssetRecord) -> Iterator[str]:
        with served(self._store, self._look_at(asset)) as address:
            yield address

    def contents_beside(self, asset: AssetRecord) -> list[tuple[str, bytes]] | None:
        """As `SourceFiles.contents_beside`."""
        if not asset.side_car:
            return []
        try:
            files = self._belonging(asset)
            return [(_ending(file, asset), first_bytes(self._store, file, file.size_bytes)) for file in files]
        except (MediaError, OSError):
            return None

    def write(self, name: str, path: Path) -> FoundFile:
        """Put a local file into the store. Raises StoreError, UsageError where nothing can be written."""
        with self._watched():
            return self.found(self._writable().write(name, path), "")

    def delete(self, asset: AssetRecord) -> None:
        """Remove an asset's file from the store. Raises StoreError, UsageError."""
        with self._watched():
            self._writable().delete(self.name_of(asset.path_bytes))

    def _writable(self) -> WritableStore:
        store = self._store
        if not isinstance(store, WritableStore):
            raise UsageError(f"nothing can be written to {self._source.root}")
        return store

    def found(self, file: StoredFile, side_car: str) -> FoundFile:
        """A stored file as scans hand it on."""
        path = self.path_of(file.name)
        return FoundFile(
            path=shown(path),
            path_bytes=path,
            size_bytes=file.size_bytes,
            modified_ns=file.modified_ns,
            side_car=side_car,
            etag=file.etag,
        )

    def name_of(self, path: bytes) -> str:
        """The name below the root."""
        return "" if path == self._root else os.fsdecode(path[len(self._root) + 1 :])

    def path_of(self, name: str) -> bytes:
        """The whole address of a name below the root."""
        return self._root + b"/" + os.fsencode(name) if name else self._root

    def special_in(self, folder: str) -> frozenset[bytes]:
        """The ignore files in a folder."""
        inside = folder + "/" if folder else ""
        return frozenset(name for name in _SPECIAL if self._exists(inside + os.fsdecode(name)))

    def _belonging(self, asset: AssetRecord) -> list[StoredFile]:
        if not asset.side_car:
            return []
        name = self.name_of(asset.path_bytes)
        entries = {entry.path: entry.file for entry in self._beside(name)}
        sidecars = Sidecars([_Beside(os.path.basename(path), path, file) for path, file in entries.items()])  # noqa: PTH119
        return [entries[sidecar.path] for sidecar in sidecars.all_of(os.fsencode(name.rpartition("/")[2]))]

    def _beside(self, name: str) -> list[_Beside]:
        last = os.fsencode(name.rpartition("/")[2])
        files = self._store.beside(name, [os.fsdecode(beginning) for beginning in beginnings(last)])
        if not any(file.name == name for file in files):
            with contextlib.suppress(FileNotFoundError):
                files = [*files, self._store.stat(name)]
        folder = name.rpartition("/")[0]
        return [
            _Beside(os.fsencode(file.name.rpartition("/")[2]), self.path_of(file.name), file)
            for file in files
            if file.name.rpartition("/")[0] == folder
        ]

    def _exists(self, name: str) -> bool:
        try:
            self._store.stat(name)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return False
        return True

    def _is_gone(self, path: bytes) -> bool:
        try:
            return not self._exists(self.name_of(path))
        except StoreError:
            return False  # who knows

    def _read(self, path: bytes, count: int) -> bytes:
        file = self._store.stat(self.name_of(path))
        return first_bytes(self._store, file, count)

    def head(self, file: StoredFile) -> bytes:
        """How a file begins; empty where that can't be read."""
        with contextlib.suppress(MediaError, OSError):
            return first_bytes(self._store, file, HEAD_BYTES)
        return b""

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Remember that the store could not be used, so that it isn't tried again and again."""
        try:
            yield
        except StoreError as error:
            self.health.failed(str(error))
            raise


def _ending(file: StoredFile, asset: AssetRecord) -> str:
    stem = os.path.splitext(asset.path.rpartition("/")[2])[0]  # noqa: PTH122
    return file.name.rpartition("/")[2].removeprefix(stem)


def _spool() -> IO[bytes]:
    return tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)


@dataclass
class _Folder:
    """A folder whose listing is not at its end."""

    name: str
    taken: bool = True  # False: nothing in it is wanted
    entered: bool = False
    special: set[bytes] = field(default_factory=set)
    last: bytes = b""  # the last name seen in it
    beside: list[_Beside] = field(default_factory=list)
    waiting: IO[bytes] = field(default_factory=_spool)


class _Walk:
    """One listing."""

    def __init__(self, files: StoreFiles, store: Store, source: SourceRecord, ignoring: Ignoring, known: Known) -> None:
        self._files, self._store, self._source = files, store, source
        self._ignoring, self._known = ignoring, known
        # What is older and unknown was no media when it was last looked at.
        self._looked_at_ns = int((source.scanned_at or 0.0) * 1e9) - _MARGIN_NS

    def below(self, start: str) -> Iterator[Entry]:
        stack = [_Folder(start)]
        try:
            yield from self._found(start, stack)
        finally:
            for folder in stack:
                folder.waiting.close()

    def _found(self, start: str, stack: list[_Folder]) -> Iterator[Entry]:
        for entry in self._store.files(self._enters, start):
            if isinstance(entry, Unlisted):
                path = self._files.path_of(entry.name)
                yield Unreadable(path, f"{shown(path)}: {entry.reason}")
            elif not entry.name:  # a single file is taken whatever it is
                yield self._files.found(entry, "")
            elif entry.name != start:
                folder = entry.name.rpartition("/")[0]
                while stack[-1].name and not (folder + "/").startswith(stack[-1].name + "/"):
                    yield from self._ended(stack.pop())
                self._descend(stack, folder)
                self._note(stack[-1], entry)
        while stack:
            yield from self._ended(stack.pop())

    def chosen(self, files: Sequence[StoredFile], side_cars: Sidecars) -> Iterator[Entry]:
        """Those that are wanted, all from one folder."""
        unsure: list[StoredFile] = []
        for file in files:
            name, path = os.fsencode(file.name.rpartition("/")[2]), self._files.path_of(file.name)
            if reason := self._ignoring.ignores(path, is_folder=False):
                self._ignoring.count(reason)
            elif looks_like_media(name):
                yield self._files.found(file, side_cars.state(name))
            elif is_words(name):
                if not side_cars.belong_to_media(name):
                    yield self._files.found(file, "")
            elif name not in _SPECIAL:
                unsure.append(file)
        for file, is_media in zip(unsure, self._are_media(unsure), strict=True):
            name = os.fsencode(file.name.rpartition("/")[2])
            if is_media:
                yield self._files.found(file, side_cars.state(name))
            elif not is_sidecar(name):
                self._ignoring.count_other(name)

    def _are_media(self, files: Sequence[StoredFile]) -> list[bool]:
        """By how they begin; one that was looked at before is not read again."""
        paths = [self._files.path_of(file.name) for file in files]
        known = self._known(paths) if paths else ()
        answers = [path in known for path in paths]
        unread = [
            position
            for position, file in enumerate(files)
            if not answers[position]
            and not is_sidecar(os.fsencode(file.name))
            and file.modified_ns > self._looked_at_ns
        ]
        if unread:
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="store-head") as pool:
                heads = pool.map(self._files.head, [files[position] for position in unread])
                for position, head in zip(unread, heads, strict=True):
                    answers[position] = looks_like_media(os.fsencode(files[position].name), head)
        return answers

    def _enters(self, folder: str) -> bool:
        """Asked by stores that list folder by folder."""
        if not self._source.recursive:
            return False
        if reason := self._ignoring.ignores(self._files.path_of(folder), is_folder=True):
            self._ignoring.count(reason)
            return False
        return True

    def _descend(self, stack: list[_Folder], folder: str) -> None:
        """Open the folders that lead from the one on top to this one."""
        while stack[-1].name != folder:
            above = stack[-1]
            inside = folder[len(above.name) + 1 :] if above.name else folder
            step = inside.partition("/")[0]
            above.last = max(above.last, os.fsencode(step))
            name = f"{above.name}/{step}" if above.name else step
            stack.append(
                _Folder(name, taken=self._enter(above) and (self._store.lists_by_folder or self._enters(name)))
            )

    def _enter(self, folder: _Folder) -> bool:
        """Read the ignore files of a folder, once they must have been listed."""
        if folder.taken and not folder.entered:
            folder.entered = True
            if not self._store.lists_by_folder and folder.last < NO_MEDIA_FILE:
                folder.special |= self._files.special_in(folder.name)
            folder.taken = self._ignoring.enter(self._files.path_of(folder.name), frozenset(folder.special))
        return folder.taken

    def _note(self, folder: _Folder, file: StoredFile) -> None:
        if not folder.taken:
            return
        name = os.fsencode(file.name.rpartition("/")[2])
        folder.last = max(folder.last, name)
        if name in _SPECIAL:
            folder.special.add(name)
        elif is_sidecar(name):
            folder.beside.append(_Beside(name, self._files.path_of(file.name), file))
        row = msgspec.msgpack.encode((os.fsencode(file.name), file.size_bytes, file.modified_ns, file.etag))
        folder.waiting.write(len(row).to_bytes(4, "little") + row)

    def _ended(self, folder: _Folder) -> Iterator[Entry]:
        with folder.waiting:
            if not self._enter(folder):
                return
            side_cars = Sidecars(folder.beside)
            if any(is_words(entry.name) for entry in folder.beside):
                folder.waiting.seek(0)
                for file in _rows(folder.waiting):  # whether the words are somebody's
                    side_cars.meet(os.fsencode(file.name.rpartition("/")[2]))
            folder.waiting.seek(0)
            rows = _rows(folder.waiting)
            while chunk := list(islice(rows, _CHUNK)):
                yield from self.chosen(chunk, side_cars)


def _rows(waiting: IO[bytes]) -> Iterator[StoredFile]:
    while length := waiting.read(4):
        name, size, modified_ns, etag = msgspec.msgpack.decode(waiting.read(int.from_bytes(length, "little")))
        yield StoredFile(os.fsdecode(name), size, modified_ns, etag)
