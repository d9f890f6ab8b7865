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
from pathlib import Path
from typing import IO, BinaryIO, cast

import msgspec
from msgspec import Struct

from search.catalog import backup, sources
from search.catalog.database import Database
from search.errors import CatalogError
from search.settings import Settings

MANIFEST = "manifest.json"
CATALOGUE = "catalogue"
_UPLOAD = re.compile(r"uploads/[0-9a-f]{2}/[^/\0]{1,255}")
_LARGEST_MANIFEST = 64 * 1024


class Manifest(Struct, frozen=True, kw_only=True):
    """What the archive says of itself."""

    format: str = "medley-backup-1"
    uploads: str  # where the uploads lay


class Outcome(Struct, frozen=True):
    """What was written or read."""

    rows: int
    uploads: int


def pack(settings: Settings, database: Database, file: Path) -> Outcome:
    """Write a backup. It appears under its name only when it is complete."""
    partial = file.with_name(f".{file.name}.partial")
    try:
        with tarfile.open(partial, "w") as archive, tempfile.TemporaryFile(dir=file.parent) as dump:
            manifest = msgspec.json.encode(Manifest(uploads=str(settings.uploads)))
            _add(archive, MANIFEST, manifest)
            rows = backup.dump(database, dump)
            entry = tarfile.TarInfo(CATALOGUE)
            entry.size = dump.tell()
            dump.seek(0)
            archive.addfile(entry, dump)
            # Files first known after the dump are left over; files of the dump were there before it.
            uploads = _add_uploads(archive, settings.uploads)
        partial.replace(file)
    except OSError as error:
        raise CatalogError(f"{file} can't be written: {error}") from None
    finally:
        partial.unlink(missing_ok=True)
    return Outcome(rows, uploads)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    with tempfile.SpooledTemporaryFile(max_size=_LARGEST_MANIFEST) as file:
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


def unpack(settings: Settings, database: Database, file: Path) -> Outcome:
    """Read a backup into an empty catalogue and home. Raises CatalogError."""
    try:
        with tarfile.open(file, "r:") as archive:
            return _unpack(settings, database, archive, file)
    except (tarfile.TarError, EOFError, OSError, msgspec.DecodeError) as error:
        raise CatalogError(f"{file} is no complete backup: {error}") from None


def _unpack(settings: Settings, database: Database, archive: tarfile.TarFile, file: Path) -> Outcome:
    rows: int | None = None
    uploads = 0
    manifest: Manifest | None = None
    for entry in archive:
        content = archive.extractfile(entry) if entry.isreg() else None
        if content is None:
            raise CatalogError(f"{file} holds {entry.name!r}, which is no plain file")
        if entry.name == MANIFEST:
            manifest = msgspec.json.decode(content.read(_LARGEST_MANIFEST), type=Manifest)
        elif entry.name == CATALOGUE and manifest is not None:
            rows = backup.load(database, cast(BinaryIO, content))
        elif _UPLOAD.fullmatch(entry.name) and not entry.name.endswith("/..") and rows is not None:
            _keep(settings.home / entry.name, content, entry)
            uploads += 1
        else:
            raise CatalogError(f"{file} holds {entry.name!r}, which is no part of a backup")
    if rows is None or manifest is None:
        raise CatalogError(f"{file} holds no catalogue")
    _rebase(database, manifest.uploads, str(settings.uploads))
    return Outcome(rows, uploads)


def _keep(path: Path, content: IO[bytes], entry: tarfile.TarInfo) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as target:
        shutil.copyfileobj(content, target)
    # The catalogue knows a file by size and time: with another time all would be indexed again.
    os.utime(path, (entry.mtime, entry.mtime))


def _rebase(database: Database, before: str, now: str) -> None:
    if before == now:
        return
    with database.write() as connection:
        source = sources.find_source(connection, before)
        if source is not None:
            sources.rebase_source(connection, source.id, now)
