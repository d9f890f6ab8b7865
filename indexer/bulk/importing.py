"""Takes shards into a catalogue, the results of each in one transaction, each file once.

Whether a file of a shard is still wanted is decided by the catalogue alone: one that is searchable as it is in the
shard is passed by, as is one that has changed since or was removed from the library. So an import may be stopped,
repeated, and run beside workers, whose claims it takes over as they would each other's. Knows shards and records.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec

from indexer.bulk.shard_places import ShardPlace
from indexer.bulk.shards import Entry, Head, read_entries, read_head
from indexer.failures import shown
from indexer.sources.overlaps import add
from search.catalog import assets, queue, spaces
from search.catalog.database import Database
from search.catalog.records import AssetRecord, FoundFile, IndexedAsset, ReadAsset
from search.catalog.states import AssetStatus
from search.errors import CatalogError, CatalogLostError, UsageError
from search.settings import Settings

_LEASE_SECONDS = 600.0  # never waited for: the claim and what it is for are one transaction


@dataclass
class Imported:
    """What became of the files of all shards so far."""

    shards: int = 0
    of_shards: int = 0
    indexed: int = 0
    read: int = 0
    quarantined: int = 0
    known: int = 0  # searchable as they are already
    changed: int = 0  # the catalogue knows another state of them
    removed: int = 0  # somebody took them out of the library
    segments: int = 0
    seconds: float = 0.0


class ShardImporter:
    """One place of shards into one catalogue."""

    def __init__(self, database: Database, settings: Settings, root: str | None = None) -> None:
        """`root` is where the media are mounted here, if not where the shards were made."""
        self._database = database
        self._settings = settings
        self._root = root
        self._owner = f"import-{os.getpid()}-{secrets.token_hex(6)}"
        self._sources: dict[str, tuple[int, bytes]] = {}
        self._tally = Imported()

    def run(
        self, place: ShardPlace, stop: threading.Event, listener: Callable[[Imported], None] = lambda _: None
    ) -> Imported:
        """Import every shard, in their order; what was imported by an error stays.

        Raises UsageError, CatalogError, StoreError.
        """
        names = place.names()
        if not names:
            raise UsageError(f"{place.address}: holds no shard")
        self._tally = Imported(of_shards=len(names))
        began = time.monotonic()
        with ThreadPoolExecutor(1, "medley-shards") as reader:  # the next shard is read while this one is written
            following = reader.submit(self._read, place, names[0])
            for number, name in enumerate(names):
                head, entries = following.result()
                if number + 1 < len(names):
                    following = reader.submit(self._read, place, names[number + 1])
                self._write(name, head, entries, stop)
                self._tally.shards += 1
                self._tally.seconds = time.monotonic() - began
                listener(self._tally)
                if stop.is_set():
                    break
        return self._tally

    def _read(self, place: ShardPlace, name: str) -> tuple[Head, list[Entry]]:
        with place.fetched(name) as path:
            head = read_head(path)
            return head, read_entries(path, self._space_ids(name, head))

    def _write(self, name: str, head: Head, entries: Sequence[Entry], stop: threading.Event) -> None:
        source_id, root = self._source(head)
        try:
            self._database.patiently(lambda: self._take_in(source_id, root, entries), stop.is_set)
        except CatalogLostError:
            raise
        except CatalogError as error:
            raise CatalogError(f"{name}: {error}") from None

    def _space_ids(self, name: str, head: Head) -> dict[str, int]:
        """The id of the space here, by the column of its vectors. Raises UsageError when there is none."""
        with self._database.read() as connection:
            here = {record.fingerprint: record.id for record in spaces.list_spaces(connection)}
            active = spaces.active_space(connection)
        columns = {space.column: here[space.fingerprint] for space in head.spaces if space.fingerprint in here}
        if active is None or active.id not in columns.values():
            named = ", ".join(f"{space.name!r} ({space.fingerprint[:12]})" for space in head.spaces)
            raise UsageError(
                f"{name}: was made for {named or 'no space'}, but searches here use "
                + (f"{active.name!r} ({active.fingerprint[:12]})" if active else "no space yet")
                + ": make and use the same space (`medley spaces`), then import"
            )
        return columns

    def _source(self, head: Head) -> tuple[int, bytes]:
        """The source here, and what its files' names are relative to."""
        root = self._root or head.root
        if root not in self._sources:
            outcome = add(self._database, self._settings, root, head.recursive if self._root is None else None)
            self._sources[root] = outcome.source.id, os.fsencode(outcome.inside or outcome.source.root)
        return self._sources[root]

    def _take_in(self, source_id: int, root: bytes, entries: Sequence[Entry]) -> None:
        by_path = {file.path_bytes: (file, entry) for entry in entries for file in [_here(entry.file, root)]}
        self._add_new(source_id, [file for file, _ in by_path.values()])
        with self._database.write() as connection:
            records = assets.files_of(connection, source_id, list(by_path))
            wanted = {
                records[path].id: entry
                for path, (file, entry) in by_path.items()
                if _wants(records.get(path), file, entry)
            }
            claims = queue.claims_of(queue.claim_these(connection, self._owner, sorted(wanted), _LEASE_SECONDS))
            results = [
                msgspec.structs.replace(entry.result, asset_id=asset_id)
                for asset_id, entry in wanted.items()
                if not isinstance(entry.result, str)
            ]
            indexed = [result for result in results if isinstance(result, IndexedAsset)]
            read = [result for result in results if isinstance(result, ReadAsset)]
            failed = {asset_id: entry.result for asset_id, entry in wanted.items() if isinstance(entry.result, str)}
            queue.finish(connection, claims, indexed)
            queue.finish_reading(connection, claims, read)
            for asset_id, reason in failed.items():
                queue.quarantine(connection, claims, asset_id, reason)
        tallied = self._tally
        tallied.indexed += len(indexed)
        tallied.read += len(read)
        tallied.quarantined += len(failed)
        tallied.segments += sum(len(result.segments) for result in results)
        tallied.removed += len(by_path.keys() - records.keys())
        changed = sum(records[path].state != file.state for path, (file, _) in by_path.items() if path in records)
        tallied.changed += changed
        tallied.known += len(records) - changed - len(wanted)

    def _add_new(self, source_id: int, files: Sequence[FoundFile]) -> None:
        """Add the files that are new, as a scan would, but for those removed from the library.

        In a transaction of its own: whoever adds files keeps all others from adding some to the same source until its
        commit, and the results are most of the work.
        """
        with self._database.write() as connection:
            known = assets.files_of(connection, source_id, [file.path_bytes for file in files])
            new = [file for file in files if file.path_bytes not in known or _came_back(known[file.path_bytes], file)]
            if new:
                assets.sync_assets(connection, source_id, new)


def _here(file: FoundFile, root: bytes) -> FoundFile:
    path = root.rstrip(b"/") + b"/" + file.path_bytes if file.path_bytes else root
    return msgspec.structs.replace(file, path=shown(path), path_bytes=path)


def _came_back(record: AssetRecord, file: FoundFile) -> bool:
    return record.status == AssetStatus.MISSING and record.state == file.state


def _wants(record: AssetRecord | None, file: FoundFile, entry: Entry) -> bool:
    """Whether the catalogue lacks what the shard holds of this file."""
    if record is None or record.state != file.state:
        return False
    match entry.result:
        case IndexedAsset():
            return record.status != AssetStatus.INDEXED or record.content_hash != entry.result.content_hash
        case ReadAsset():
            return record.status == AssetStatus.INDEXED and record.unread
        case _:
            return record.status in (AssetStatus.PENDING, AssetStatus.WORKING)
