"""What can be settled about a claimed file before the expensive work: is it there, whole, new, or known?

Reads the file's status, and its bytes once for the hash; never decodes. A file that moved keeps its
segments, one with the contents of another gets copies of them, one that was only touched keeps its own.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from indexer.failures import shown
from indexer.side_cars import side_car_of
from search.catalog import assets, embeddings, segments, sources
from search.catalog.database import Database
from search.catalog.records import AssetFacts, AssetRecord, FoundFile, IndexedAsset, NewSegment, SegmentRecord
from search.errors import PermanentMediaError, TransientMediaError
from search.settings import Settings

_HASH_BYTES = 32
_NANOSECONDS = 1e9
OFFLINE_SECONDS = 600.0  # until the files of a source that went away are looked for again
_ALL = 10_000_000  # more segments than any asset has


@dataclass(frozen=True)
class Decode:
    """Nothing is known of these contents: decode them."""

    content_hash: str


@dataclass(frozen=True)
class Unchanged:
    """The segments in the catalogue are those of these contents."""


@dataclass(frozen=True)
class Settled:
    """The catalogue has been brought up to date; there is nothing left to do."""

    moved: bool = False


@dataclass(frozen=True)
class Later:
    """The file is still being written, or just changed: look again at this time."""

    not_before: float
    reason: str


Verdict = Decode | Unchanged | Settled | Later | IndexedAsset


def path_of(asset: AssetRecord) -> Path:
    """Where the asset's file lies, for the file system."""
    return Path(os.fsdecode(asset.path_bytes))


class Intake:
    """Looks at claimed files. Thread-safe."""

    def __init__(self, database: Database, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        # Two new files with the contents of one that moved must not both become it.
        self._moving = threading.Lock()

    def receive(self, asset: AssetRecord, space_ids: Collection[int]) -> Verdict:
        """What is to be done with a claimed asset. Raises MediaError, OSError, CatalogError."""
        path = path_of(asset)
        try:
            found, changed_ns = self._look(path, asset.path)
        except FileNotFoundError:
            return self._gone(asset)
        if wait := self._unsettled_seconds(changed_ns):
            return Later(self._clock() + wait, f"{asset.path}: changed a moment ago; waiting until it is whole")
        if found.state != asset.state:
            with self._database.write() as connection:  # pending again, as the file it is now
                assets.sync_assets(connection, asset.source_id, [found])
            return Settled()
        if asset.only_reading:
            return Decode(asset.content_hash or "")
        self._check_size(found)
        content_hash = hash_file(path)
        self.check_unchanged(asset)
        return self._known(asset, found, content_hash, space_ids)

    def check_unchanged(self, asset: AssetRecord) -> None:
        """Raises TransientMediaError if the file is no longer the one that was claimed."""
        try:
            found, _ = self._look(path_of(asset), asset.path)
        except FileNotFoundError:
            raise TransientMediaError(f"{asset.path}: went away while it was read") from None
        if found.state != asset.state:
            raise TransientMediaError(f"{asset.path}: changed while it was read")

    def _look(self, path: Path, shown_path: str) -> tuple[FoundFile, int]:
        """The file as it is now, and when it or the words beside it last changed."""
        status, beside = path.stat(), side_car_of(path)
        found = FoundFile(
            path=shown_path,
            path_bytes=os.fsencode(path),
            size_bytes=status.st_size,
            modified_ns=status.st_mtime_ns,
            side_car=beside.state if beside else "",
        )
        return found, max(status.st_mtime_ns, beside.modified_ns if beside else 0)

    def _unsettled_seconds(self, changed_ns: int) -> float:
        age = self._clock() - changed_ns / _NANOSECONDS
        # A time in the future comes from another machine's clock; it would never settle.
        return self._settings.settle_seconds - age if 0 <= age < self._settings.settle_seconds else 0.0

    def _check_size(self, found: FoundFile) -> None:
        if found.size_bytes == 0:
            raise PermanentMediaError(f"{found.path}: is empty")
        if found.size_bytes > self._settings.max_file_bytes:
            limit = f"max_file_bytes = {self._settings.max_file_bytes:,}"
            raise PermanentMediaError(f"{found.path}: has {found.size_bytes:,} bytes, more than {limit}")

    def _gone(self, asset: AssetRecord) -> Settled | Later:
        with self._database.read() as connection:
            root = sources.get_source(connection, asset.source_id).root
        if not Path(root).exists():  # an offline mount looks like this: that is no deletion
            return Later(self._clock() + OFFLINE_SECONDS, f"{asset.path}: its source {shown(root)} is not there")
        with self._database.write() as connection:
            assets.set_missing(connection, [asset.id])
        return Settled()

    def _known(self, asset: AssetRecord, found: FoundFile, content_hash: str, space_ids: Collection[int]) -> Verdict:
        with self._database.read() as connection:
            twins = assets.find_by_hash(connection, content_hash)
            twins = [twin for twin in twins if segments.segments_of(connection, twin.id, limit=1)]
        if any(twin.id == asset.id for twin in twins):
            return Unchanged()
        if any(self._move(twin, asset, found) for twin in twins):
            return Settled(moved=True)
        whole = [twin for twin in twins if twin.status == "indexed" and twin.side_car == asset.side_car]
        return self._copy(whole[0], asset, space_ids) if whole else Decode(content_hash)

    def _move(self, twin: AssetRecord, asset: AssetRecord, found: FoundFile) -> bool:
        """If `twin` is what this file was before it moved, let it be found here."""
        with self._moving, self._database.write() as connection:
            now = assets.get_assets(connection, [twin.id])
            if not now or now[0].path_bytes != twin.path_bytes or now[0].status not in ("indexed", "missing"):
                return False
            root = sources.get_source(connection, twin.source_id).root
            if path_of(twin).exists() or not Path(root).exists():
                return False
            assets.move_asset(connection, twin.id, asset.source_id, found)
        return True

    def _copy(self, twin: AssetRecord, asset: AssetRecord, space_ids: Collection[int]) -> IndexedAsset:
        """The segments and vectors of `twin`, for an asset with the same contents."""
        with self._database.read() as connection:
            records = segments.segments_of(connection, twin.id, limit=_ALL)
            ids = [record.id for record in records]
            vectors: dict[int, dict[int, np.ndarray]] = {segment_id: {} for segment_id in ids}
            for space_id in space_ids:
                for segment_id, vector in zip(*embeddings.vectors_of(connection, space_id, ids), strict=True):
                    vectors[int(segment_id)][space_id] = vector.astype(np.float32)
        return IndexedAsset(
            asset_id=asset.id,
            kind=twin.kind or "",
            content_hash=twin.content_hash or "",
            facts=AssetFacts(**{name: getattr(twin, name) for name in AssetFacts.__struct_fields__}),
            segments=[_again(record, vectors[record.id]) for record in records],
            note=twin.note,
            unread=twin.unread,
        )


def _again(record: SegmentRecord, vectors: dict[int, np.ndarray]) -> NewSegment:
    kept = {name: getattr(record, name) for name in NewSegment.__struct_fields__ if name != "vectors"}
    return msgspec.structs.replace(NewSegment(**kept), vectors=vectors)


def hash_file(path: Path) -> str:
    """blake2b-256 of the contents, in hex."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=_HASH_BYTES)).hexdigest()
