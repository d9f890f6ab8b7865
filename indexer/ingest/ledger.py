"""The catalogue's verdict on a file: was it moved, copied, only touched, or is it new?

A file that moved keeps its segments, one with the contents of another gets copies of them, one that was only touched
keeps its own. Reads and writes the catalogue; opens no media.
"""

from __future__ import annotations

import threading
from collections.abc import Collection

import msgspec
import numpy as np

from indexer.failures import shown
from indexer.ingest.intake import NotHere, Settled, Unchanged
from indexer.sources.files import SourceFiles
from indexer.sources.places import Places
from search.catalog import assets, embeddings, segments, sources
from search.catalog.database import Database
from search.catalog.records import (
    AssetFacts,
    AssetRecord,
    FoundFile,
    IndexedAsset,
    NewSegment,
    SegmentRecord,
    SourceRecord,
)
from search.catalog.states import AssetStatus, NoteKind
from search.errors import StoreError
from search.settings import Settings

OFFLINE_SECONDS = 600.0  # until this machine looks again for a file that it did not find
_ALL = 10_000_000  # more segments than any asset has


class CatalogueLedger:
    """The ledger of a catalogue that this process can reach, patient where its server restarts. Thread-safe."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self.places = Places(database, settings)
        # Two new files with the contents of one that moved must not both become it.
        self._moving = threading.Lock()

    def sees(self, asset: AssetRecord) -> bool:
        """Is its file there, as far as this machine can see?"""
        try:
            return self.places.of(asset).are_gone([asset.path_bytes]) == [False]
        except StoreError:
            return False

    def gone(self, asset: AssetRecord) -> NotHere:
        """An offline mount looks like this, or another machine's: only a scan may say that a file was removed."""
        if not self.places.of(asset).answers():
            root = self.source(asset.source_id).root
            return NotHere(OFFLINE_SECONDS, f"{asset.path}: its source {shown(root)} is not there")
        return NotHere(OFFLINE_SECONDS, f"{asset.path}: is not there; the next scan says whether it was removed")

    def changed(self, asset: AssetRecord, file: FoundFile) -> Settled:
        """Pending again, as the file it is now."""
        return self._database.patiently(lambda: self._sync(asset, file))

    def told_hash(self, asset: AssetRecord) -> str | None:
        """The hash of the contents of a file of the same source with this etag."""
        return self._database.patiently(lambda: self._told_hash(asset))

    def known(
        self, asset: AssetRecord, file: FoundFile, content_hash: str, space_ids: Collection[int]
    ) -> Unchanged | Settled | IndexedAsset | None:
        """Unchanged, moved, copied from a twin, or None: to be decoded."""
        return self._database.patiently(lambda: self._known(asset, file, content_hash, space_ids))

    def source(self, source_id: int) -> SourceRecord:
        """The source with this id. Raises NotFoundError."""
        return self._database.patiently(lambda: self._source(source_id))

    def _source(self, source_id: int) -> SourceRecord:
        with self._database.read() as connection:
            return sources.get_source(connection, source_id)

    def _sync(self, asset: AssetRecord, file: FoundFile) -> Settled:
        with self._database.write() as connection:
            assets.sync_assets(connection, asset.source_id, [file])
        return Settled()

    def _told_hash(self, asset: AssetRecord) -> str | None:
        with self._database.read() as connection:
            return assets.hash_by_etag(connection, asset.source_id, asset.etag, asset.size_bytes)

    def _known(
        self, asset: AssetRecord, file: FoundFile, content_hash: str, space_ids: Collection[int]
    ) -> Unchanged | Settled | IndexedAsset | None:
        files = self.places.of(asset)
        with self._database.read() as connection:
            twins = assets.find_by_hash(connection, content_hash)
            twins = [twin for twin in twins if segments.segments_of(connection, twin.id, limit=1)]
        if any(twin.id == asset.id for twin in twins):
            return Unchanged()
        if any(self._move(twin, asset, file) for twin in twins):
            return Settled(moved=True)
        whole = (twin for twin in twins if twin.status == AssetStatus.INDEXED)
        same = next((twin for twin in whole if self._has_same_words(twin, asset, files)), None)
        return self._copy(same, asset, space_ids) if same else None

    def _move(self, twin: AssetRecord, asset: AssetRecord, file: FoundFile) -> bool:
        """Move `twin` to this path if it is this file before it moved."""
        if not self._is_gone(twin):
            return False
        with self._moving, self._database.write() as connection:
            now = assets.get_assets(connection, [twin.id])
            if (
                not now
                or now[0].path_bytes != twin.path_bytes
                or now[0].status not in (AssetStatus.INDEXED, AssetStatus.MISSING)
            ):
                return False
            assets.move_asset(connection, twin.id, asset.source_id, file)
        return True

    def _is_gone(self, twin: AssetRecord) -> bool:
        """Is its file certainly away, from a source that is there?"""
        files = self.places.of(twin)
        try:
            return files.answers() and files.are_gone([twin.path_bytes]) == [True]
        except StoreError:
            return False

    def _has_same_words(self, twin: AssetRecord, asset: AssetRecord, files: SourceFiles) -> bool:
        """Size and time of the sidecars may agree by chance: their bytes decide."""
        if twin.side_car != asset.side_car:
            return False
        if not asset.side_car:
            return True
        there = self.places.of(twin).contents_beside(twin)
        return there is not None and there == files.contents_beside(asset)

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
            note_kinds=tuple(map(NoteKind, twin.note_kinds.split(","))) if twin.note_kinds else (),
            unread=twin.unread,
            caption=twin.caption,
        )


def _again(record: SegmentRecord, vectors: dict[int, np.ndarray]) -> NewSegment:
    kept = {name: getattr(record, name) for name in NewSegment.__struct_fields__ if name != "vectors"}
    return msgspec.structs.replace(NewSegment(**kept), vectors=vectors)
