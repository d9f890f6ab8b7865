"""Records outcomes as shards: the catalogue of the job is only its queue, and holds no segment.

A shard is written before the queue says that its files are done. A job that was killed in between makes them again, and
the import takes each once. Knows shards and the queue; knows no Parquet.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import msgspec

from indexer.bulk.shard_places import ShardPlace
from indexer.bulk.shards import Entry, ShardWriter, read_files, read_head
from indexer.ingest.recorder import Quarantine, Recorder, Tally
from indexer.ingest.task import Outcome
from search.catalog import assets, queue
from search.catalog.database import Database
from search.catalog.records import AssetFacts, AssetRecord, FoundFile, IndexedAsset, ReadAsset, SourceRecord
from search.settings import Settings

_OWNER = "resume"


class ShardRecorder:
    """Where the outcomes of a job go that writes shards. `write` is for one thread."""

    def __init__(self, database: Database, settings: Settings, source: SourceRecord, writer: ShardWriter) -> None:
        self._queue = Recorder(database, settings)
        self._root = os.fsencode(source.root)
        self._writer = writer

    @property
    def tally(self) -> Tally:
        """What has been recorded so far."""
        return self._queue.tally

    def write(self, outcomes: Sequence[Outcome]) -> None:
        """One shard of what is final among them; then the queue. Raises CatalogError."""
        entries = [entry for outcome in outcomes if (entry := self._entry(outcome)) is not None]
        if entries:
            self._writer.write(entries)
        before = self.tally.indexed, self.tally.read
        self._queue.write([_without_segments(outcome) for outcome in outcomes])
        if before != (self.tally.indexed, self.tally.read):
            self.tally.segments += sum(
                len(outcome.result.segments)
                for outcome in outcomes
                if isinstance(outcome.result, IndexedAsset | ReadAsset)
            )

    def _entry(self, outcome: Outcome) -> Entry | None:
        result: IndexedAsset | ReadAsset | str
        decision = self._queue.decide(outcome)
        if isinstance(outcome.result, IndexedAsset | ReadAsset):
            result = outcome.result
        elif isinstance(decision, Quarantine):
            reason = decision.reason
            if outcome.asset.only_reading:
                result = ReadAsset(asset_id=0, segments=(), note=f"text in it could not be read: {reason}")
            else:
                result = reason
        else:
            return None
        return Entry(_relative(outcome.asset, self._root), result)


def _relative(asset: AssetRecord, root: bytes) -> FoundFile:
    shown_root = root.decode("utf-8", "backslashreplace")
    return FoundFile(
        path=asset.path.removeprefix(shown_root).lstrip("/"),
        path_bytes=asset.path_bytes.removeprefix(root).lstrip(b"/"),
        size_bytes=asset.size_bytes,
        modified_ns=asset.modified_ns,
        changed_ns=asset.changed_ns,
        side_car=asset.side_car,
        etag=asset.etag,
    )


def _without_segments(outcome: Outcome) -> Outcome:
    if isinstance(outcome.result, IndexedAsset | ReadAsset):
        return Outcome(outcome.asset, msgspec.structs.replace(outcome.result, segments=()))
    return outcome


def pass_by_written(database: Database, source: SourceRecord, place: ShardPlace) -> int:
    """Take out of a job's queue what the shards of earlier runs hold; returns how many files.

    Of a file whose text was still to be read, only the reading stays. Raises CatalogError for a damaged shard.
    """
    root = os.fsencode(source.root)
    done: dict[bytes, tuple[FoundFile, str]] = {}
    for name in place.names():
        with place.fetched(name) as path:
            if read_head(path).root == source.root:
                for file, outcome in read_files(path):
                    done[_absolute(root, file.path_bytes)] = file, outcome
    passed = 0
    with database.write() as connection:
        waiting = assets.files_of(connection, source.id, list(done))
        held = {path: record for path, record in waiting.items() if record.state == done[path][0].state}
        outcomes: Mapping[int, str] = {record.id: done[path][1] for path, record in held.items()}
        unread = [asset_id for asset_id, outcome in outcomes.items() if outcome == "unread"]
        finished = sorted(outcomes.keys() - set(unread))
        assets.delete_assets(connection, finished)
        claims = queue.claims_of(queue.claim_these(connection, _OWNER, unread, lease_seconds=60.0))
        queue.finish(connection, claims, [_still_unread(asset_id) for asset_id in unread])
        passed = len(finished)
    return passed


def _still_unread(asset_id: int) -> IndexedAsset:
    return IndexedAsset(
        asset_id=asset_id, kind="image", content_hash="", facts=AssetFacts(), segments=(), unread=True, note=None
    )


def _absolute(root: bytes, name: bytes) -> bytes:
    return root.rstrip(b"/") + b"/" + name if name else root
