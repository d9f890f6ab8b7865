"""A backup as one tar file: the catalogue's dump, then the uploaded files.

Uploads are originals and their paths are in the catalogue; restored into another home they get new ones.
A backup may come from a stranger: nothing in it can write outside the folder of uploads.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

import msgspec
from msgspec import Struct

from search import private_files
from search.catalog import sources
from search.catalog.database import Database
from search.catalog.upkeep import backup, health
from search.errors import CatalogError
from search.settings import Settings

MANIFEST = "manifest.json"
CATALOGUE = "catalogue"
END = "end.json"
FORMAT = "medley-backup-2"  # the first one had no end, so a cut between two entries went unnoticed
_UPLOAD = re.compile(r"uploads/[0-9a-f]{2}/[^/\0]{1,255}")
_LARGEST_NOTE = 64 * 1024
_PIECE_BYTES = 1 << 20


class Manifest(Struct, frozen=True, kw_only=True):
    """What the archive says about itself."""

    format: str = FORMAT
    uploads: str  # where the uploads lay


class End(Struct, frozen=True, kw_only=True):
    """The last entry: what must have come before it."""

    uploads: int


class Outcome(Struct, frozen=True):
    """What was written or read."""

    rows: int
    uploads: int


def pack(settings: Settings, database: Database, file: Path) -> Outcome:
    """Write a backup. It appears under its name only when it is complete. Raises CatalogError."""
    partial = file.with_name(f".{file.name}.partial")
    try:
        private_files.make_file(partial)
        with tarfile.open(partial, "w") as archive, tempfile.TemporaryFile(dir=file.parent) as dump:
            manifest = msgspec.json.encode(Manifest(uploads=str(settings.uploads)))
            _add(archive, MANIFEST, manifest)
            _refuse_damaged(database)
            rows = backup.dump(database, dump)
            entry = tarfile.TarInfo(CATALOGUE)
            entry.size = dump.tell()
            dump.seek(0)
            archive.addfile(entry, dump)
            # Files first known after the dump are left over; files of the dump were there before it.
            uploads = _add_uploads(archive, settings.uploads)
            _add(archive, END, msgspec.json.encode(End(uploads=uploads)))
        partial.replace(file)
    except OSError as error:
        raise CatalogError(f"{file} can't be written: {error}") from None
    finally:
        partial.unlink(missing_ok=True)
    return Outcome(rows, uploads)


def _refuse_damaged(database: Database) -> None:
    with database.read() as connection:
        damage = health.damage(connection)
    if damage:  # a backup of it would take the place of the last good one
        raise CatalogError(f"the catalogue is damaged ({damage[0]}): restore the last good backup into a new home")


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    with tempfile.SpooledTemporaryFile(max_size=_LARGEST_NOTE) as file:
        file.write(content)
        file.seek(0)
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, file)


def _add_uploads(archive: tarfile.TarFile, folder: Path) -> int:
    count = 0
    for path in sorted(folder.glob("??/*")) if folder.is_dir() else ():
        if path.is_symlink() or not path.is_file():
            continue
        with path.open("rb") as file:
            entry = archive.gettarinfo(arcname=f"uploads/{path.parent.name}/{path.name}", fileobj=file)
            archive.addfile(entry, file)
        count += 1
    return count


def unpack(settings: Settings, database: Database, file: Path, *, with_keys: bool = False) -> Outcome:
    """Read a backup into an empty catalogue and home, all of it or nothing. Raises CatalogError.

    The archive is read to its end before anything is changed; uploads are put in place at the very last. API keys
    come along only `with_keys`: otherwise the backup's author could log in with theirs.
    """
    try:
        manifest, uploads = _validated(file)
        with tempfile.TemporaryDirectory(prefix=".restoring-", dir=settings.home) as staged:
            with tarfile.open(file, "r:") as archive:
                for entry, content in _entries(archive, file):
                    if entry.name.startswith("uploads/"):
                        _keep(Path(staged) / entry.name, content, entry)
            rows = _load(settings, database, file, manifest, with_keys)
            if uploads:
                _put_in_place(Path(staged) / "uploads", settings.uploads)
    except (tarfile.TarError, EOFError, OSError, msgspec.DecodeError) as error:
        raise CatalogError(f"{file} is not a complete backup: {error}") from None
    return Outcome(rows, uploads)


def _validated(file: Path) -> tuple[Manifest, int]:
    """The manifest, and how many uploads there are; nothing is written. Raises CatalogError unless all is whole."""
    manifest: Manifest | None = None
    end: End | None = None
    catalogue = False
    uploads = 0
    with tarfile.open(file, "r:") as archive:
        for entry, content in _entries(archive, file):
            if entry.name == MANIFEST:
                manifest = msgspec.json.decode(content.read(_LARGEST_NOTE), type=Manifest)
            elif entry.name == CATALOGUE:
                backup.check(cast(BinaryIO, content))
                catalogue = True
            elif entry.name == END:
                end = msgspec.json.decode(content.read(_LARGEST_NOTE), type=End)
            else:
                while content.read(_PIECE_BYTES):  # a short read raises
                    pass
                uploads += 1
    if manifest is None or not catalogue:
        raise CatalogError(f"{file} holds no catalogue")
    if manifest.format == FORMAT and (end is None or end.uploads != uploads):
        raise CatalogError(f"{file} is not a complete backup: it was cut short")
    return manifest, uploads


def _entries(archive: tarfile.TarFile, file: Path) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    """Every entry with its contents. Raises CatalogError at one that no backup of ours holds."""
    for entry in archive:
        content = archive.extractfile(entry) if entry.isreg() else None
        if content is None:
            raise CatalogError(f"{file} holds {entry.name!r}, which is not a plain file")
        ours = entry.name in (MANIFEST, CATALOGUE, END)
        if not ours and (not _UPLOAD.fullmatch(entry.name) or entry.name.endswith("/..")):
            raise CatalogError(f"{file} holds {entry.name!r}, which is not part of a backup")
        yield entry, content


def _load(settings: Settings, database: Database, file: Path, manifest: Manifest, with_keys: bool) -> int:
    rows = 0
    with tarfile.open(file, "r:") as archive:
        for entry, content in _entries(archive, file):
            if entry.name == CATALOGUE:
                rows = backup.load(database, cast(BinaryIO, content), with_keys=with_keys)
    _rebase(database, manifest.uploads, str(settings.uploads))
    return rows


def _keep(path: Path, content: IO[bytes], entry: tarfile.TarInfo) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as target:
        shutil.copyfileobj(content, target)
    # The catalogue knows a file by size and time: with another time all would be indexed again.
    os.utime(path, (entry.mtime, entry.mtime))


def _put_in_place(staged: Path, uploads: Path) -> None:
    for folder in staged.iterdir():
        (uploads / folder.name).mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            path.replace(uploads / folder.name / path.name)


def _rebase(database: Database, before: str, now: str) -> None:
    if before == now:
        return
    with database.write() as connection:
        source = sources.find_source(connection, before)
        if source is not None:
            sources.rebase_source(connection, source.id, now)
