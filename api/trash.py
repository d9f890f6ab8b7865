"""The trash folder in home: copies that people removed, each with a note of where it lay, so that it can be put back.

Files are moved, never deleted. Nothing is removed without the setting `allow_removal`, nothing that has changed
since it was indexed, and nothing unless what is to be kept is there and is another file. Emptying the folder
is left to people. Knows no route.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Collection
from pathlib import Path

import msgspec
from msgspec import Struct

from indexer.sources.stores.addresses import is_store
from search.catalog import assets
from search.catalog.database import Database
from search.catalog.records import AssetRecord, FoundFile
from search.catalog.states import AssetStatus
from search.errors import AccessError, NotFoundError, UsageError
from search.settings import Settings

_NOTE = "item.json"
_FILE = "file"


class TrashItem(Struct, frozen=True, kw_only=True):
    """A file in the trash."""

    id: str
    asset_id: str
    path: str  # where it lay
    size_bytes: int


class _Note(Struct, frozen=True, kw_only=True):
    """What is written down beside the file."""

    item: TrashItem
    path_bytes: bytes


class Trash:
    """Moves files out of the library, and back."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._allowed = settings.allow_removal
        self._folder = settings.trash
        self._database = database

    def items(self) -> list[TrashItem]:
        """What is in it, by path."""
        if not self._folder.is_dir():
            return []
        notes = [self._note(folder.name) for folder in self._folder.iterdir() if (folder / _NOTE).is_file()]
        return sorted((note.item for note in notes), key=lambda item: item.path)

    def remove(self, asset_ids: Collection[int], keep: Collection[int]) -> list[TrashItem]:
        """Move these files here while those of `keep` stay. Raises AccessError, UsageError, NotFoundError, OSError."""
        if not self._allowed:
            raise AccessError("nothing may be removed from here (setting allow_removal)")
        with self._database.read() as connection:
            gone = [assets.get_asset(connection, asset_id) for asset_id in dict.fromkeys(asset_ids)]
            kept = [assets.get_asset(connection, asset_id) for asset_id in keep]
        _check(gone, kept)
        return [self._remove(record) for record in gone]

    def restore(self, item_id: str) -> TrashItem:
        """Put a file back to where it lay. Raises NotFoundError, UsageError, OSError."""
        note = self._note(item_id)
        if os.path.lexists(note.path_bytes):
            raise UsageError(f"there is another file at {note.item.path} by now")
        os.makedirs(os.path.dirname(note.path_bytes), exist_ok=True)  # noqa: PTH103, PTH120 - names are bytes
        folder = self._folder / note.item.id
        _move(os.fsencode(folder / _FILE), note.path_bytes)
        shutil.rmtree(folder)
        self._bring_back(note)
        return note.item

    def _remove(self, record: AssetRecord) -> TrashItem:
        item = TrashItem(id=uuid.uuid4().hex, asset_id=str(record.id), path=record.path, size_bytes=record.size_bytes)
        folder = self._folder / item.id
        folder.mkdir(parents=True)
        (folder / _NOTE).write_bytes(msgspec.json.encode(_Note(item=item, path_bytes=record.path_bytes)))
        _move(record.path_bytes, os.fsencode(folder / _FILE))
        with self._database.write() as connection:
            assets.set_missing(connection, [record.id])
        return item

    def _bring_back(self, note: _Note) -> None:
        with self._database.write() as connection:
            for record in assets.get_assets(connection, [int(note.item.asset_id)]):
                facts = os.stat(note.path_bytes)  # noqa: PTH116
                file = FoundFile(
                    path=record.path,
                    path_bytes=note.path_bytes,
                    size_bytes=facts.st_size,
                    modified_ns=facts.st_mtime_ns,
                    side_car=record.side_car,
                )
                assets.sync_assets(connection, record.source_id, [file])

    def _note(self, item_id: str) -> _Note:
        try:
            return msgspec.json.decode((self._folder / uuid.UUID(item_id).hex / _NOTE).read_bytes(), type=_Note)
        except (OSError, ValueError, msgspec.MsgspecError):
            raise NotFoundError(f"there is no {item_id!r} in the trash") from None


def _check(gone: Collection[AssetRecord], kept: Collection[AssetRecord]) -> None:
    staying = {os.path.realpath(record.path_bytes) for record in kept if Path(os.fsdecode(record.path_bytes)).is_file()}
    if not staying or len(staying) < len(kept):
        raise UsageError("what is to be kept is not there; nothing was removed")
    for record in gone:
        if is_store(record.path):
            raise UsageError(f"{record.path} is in a store, and files in stores are not moved to the trash")
        path = Path(os.fsdecode(record.path_bytes))
        if os.fsencode(os.path.realpath(path)) in staying or path.is_symlink():
            raise UsageError(f"{record.path} is the file that is to be kept, under another name")
        if record.status != AssetStatus.INDEXED or not path.is_file():
            raise UsageError(f"{record.path} is not there as it was indexed")
        facts = path.stat()
        if (facts.st_size, facts.st_mtime_ns) != (record.size_bytes, record.modified_ns):
            raise UsageError(f"{record.path} has changed since it was indexed")


def _move(source: bytes, target: bytes) -> None:
    try:
        os.rename(source, target)  # noqa: PTH104
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # To another disk: whole, then in place, and only then is the first one given up.
        shutil.copy2(source, target + b".part")
        os.rename(target + b".part", target)  # noqa: PTH104
        os.unlink(source)  # noqa: PTH108
