"""Local copies of stored files, for decoders, which read only local files.

They are in a folder of this process below the home folder, within a limit for all of them together, and are removed
after use. A process that is killed leaves its folder unlocked: the next process removes it.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from indexer.failures import shown
from indexer.sources.stores.store import Store, StoredFile
from search.errors import PermanentMediaError, TransientMediaError
from search.settings import Settings

_LOCK = "lock"
_RESUMES = 3  # of a copy whose connection broke in the middle
_NEW_SECONDS = 60.0  # a folder younger than this may not be locked yet
_LONGEST_NAME_BYTES = 200  # a key's last part may be longer than a file system allows
_WAIT_SECONDS = 1.0  # between two looks whether a copy that waits for room is still wanted


class Scratch:
    """The copies of one process. Thread-safe; a thread holds one copy at a time, so that none waits for itself."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._above = folder
        self._limit = limit_bytes
        self._room = threading.Condition()
        self._taken = 0
        self._generation = 0  # of interruptions
        self._folder: Path | None = None
        self._lock_file = -1

    @contextmanager
    def copy(self, store: Store, file: StoredFile, beside: Sequence[StoredFile], shown_path: str) -> Iterator[Path]:
        """A local copy of a file and its sidecars, removed when the block ends.

        Raises MediaError, StoreError, FileNotFoundError.
        """
        needed = sum(companion.size_bytes for companion in (file, *beside))
        if needed > self._limit:
            raise PermanentMediaError(
                f"{shown_path}: has {needed:,} bytes; the setting scratch_bytes allows {self._limit:,}"
            )
        generation = self._take(needed)
        folder: Path | None = None
        try:
            folder = self._own_folder() / secrets.token_hex(8)
            folder.mkdir()
            for companion in beside:
                with contextlib.suppress(FileNotFoundError):  # it went away: the next scan notices
                    self._write(store, companion, folder / _last(companion.name, shown_path), generation)
            path = folder / _last(file.name, shown_path)
            self._write(store, file, path, generation)
            yield path
        finally:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            with self._room:
                self._taken -= needed
                self._room.notify_all()

    def interrupt(self) -> None:
        """End all copying that is going on, and what waits for room: they raise TransientMediaError."""
        with self._room:
            self._generation += 1
            self._room.notify_all()

    def _take(self, count: int) -> int:
        with self._room:
            generation = self._generation
            while self._taken + count > self._limit:
                self._room.wait(_WAIT_SECONDS)
                self._check(generation)
            self._taken += count
            return generation

    def _check(self, generation: int) -> None:
        if generation != self._generation:
            raise TransientMediaError("copying it was interrupted")

    def _write(self, store: Store, file: StoredFile, path: Path, generation: int) -> None:
        written, resumes = 0, 0
        with path.open("xb") as out:
            while True:
                before = written
                try:
                    for piece in store.read(file, written):
                        self._check(generation)
                        written += len(piece)
                        if written > file.size_bytes:  # an archive may lie about what it holds
                            raise PermanentMediaError(f"{shown(file.name)}: holds more than it says")
                        out.write(piece)
                except Exception:
                    resumes += 1
                    # Only what had begun to arrive: a store that does not answer at all has been tried already.
                    if written == before or resumes > _RESUMES or generation != self._generation:
                        raise
                    continue
                if written < file.size_bytes:
                    raise TransientMediaError(f"{shown(file.name)}: ended early, or changed while it was read")
                return

    def _own_folder(self) -> Path:
        with self._room:
            if self._folder is None:
                self._above.mkdir(parents=True, exist_ok=True)
                sweep(self._above)
                name = f"{os.getpid()}-{secrets.token_hex(4)}"
                new = self._above / f".{name}"  # until it is locked, lest somebody removes it
                new.mkdir(mode=0o700)
                self._lock_file = os.open(new / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(self._lock_file, fcntl.LOCK_EX)
                self._folder = new.rename(self._above / name)
                atexit.register(self.close)
            return self._folder

    def close(self) -> None:
        """Remove the folder of this process."""
        with self._room:
            folder, self._folder = self._folder, None
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(self._lock_file)


def sweep(above: Path) -> int:
    """Remove the remains of killed processes; returns how many folders."""
    removed = 0
    for folder in above.iterdir() if above.is_dir() else ():
        with contextlib.suppress(OSError):
            if folder.name.startswith(".") and time.time() - folder.stat().st_mtime < _NEW_SECONDS:
                continue
            handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises while its process lives
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
            finally:
                os.close(handle)
    return removed


def _last(name: str, shown_path: str) -> str:
    last = (name or shown_path).rpartition("/")[2]
    if last in ("", ".", "..") or "\0" in last:
        return "file"
    if len(os.fsencode(last)) <= _LONGEST_NAME_BYTES:
        return last
    stem, suffix = os.path.splitext(last)  # noqa: PTH122
    return os.fsdecode(os.fsencode(stem)[: _LONGEST_NAME_BYTES // 2] + os.fsencode(suffix)[:16])


_scratches: dict[Path, Scratch] = {}
_lock = threading.Lock()


def scratch_of(settings: Settings) -> Scratch:
    """The copies of this process below this home."""
    with _lock:
        if settings.scratch not in _scratches:
            _scratches[settings.scratch] = Scratch(settings.scratch, settings.scratch_bytes)
        return _scratches[settings.scratch]
