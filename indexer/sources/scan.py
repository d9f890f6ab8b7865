"""Brings the catalogue up to date with the files of a source.

New and changed files become pending, files that are gone become missing. Where it is not certain that a
file is gone (the root is away or empty, a folder can't be listed, a store does not answer), nothing
becomes missing. Moves are noticed later, by the contents (see intake.py). Knows the catalogue; where files lie is
for files.py to say.
"""

from __future__ import annotations

import errno
import os
import time
from array import array
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from indexer.sources.files import SourceFiles, Unreadable
from indexer.sources.ignoring import Ignoring
from indexer.sources.places import files_of
from search.catalog import assets, sources
from search.catalog.database import Connection, Database
from search.catalog.records import AssetRecord, FoundFile, SourceRecord, SyncCounts
from search.catalog.states import SourceState
from search.errors import StoreError
from search.settings import Settings

_BATCH_FILES = 2000  # in one transaction


@dataclass
class ScanReport:
    """What a scan found."""

    files: int = 0
    added: int = 0
    changed: int = 0
    returned: int = 0  # were missing and are back
    missing: int = 0
    paused: str | None = None  # why the source was paused instead
    unreadable: tuple[str, ...] = ()  # folders that could not be listed, with the reason
    skipped: dict[str, int] = field(default_factory=dict)  # what was left out on purpose, by reason
    links: tuple[str, ...] = ()  # some of those that lead out of the source or nowhere, by name
    removed: int = 0  # passed by, because somebody removed them from the library

    def count(self, synced: SyncCounts) -> None:
        """Add a batch."""
        self.files += len(synced.ids)
        self.added += synced.added
        self.changed += synced.changed
        self.returned += synced.returned
        self.removed += synced.removed


def scan_source(database: Database, source: SourceRecord, settings: Settings, now: float | None = None) -> ScanReport:
    """Look at every file of a source. Raises CatalogError."""
    began = time.time() if now is None else now
    report = ScanReport()
    files = files_of(source, settings)
    ignoring = files.ignoring()
    try:
        seen, unreadable = _sync_all(database, source, files, report, began, ignoring)
    except OSError as error:
        return _pause(database, source, f"{source.root} is not there: {os.strerror(error.errno or errno.ENOENT)}")
    except StoreError as error:
        return _pause(database, source, str(error))
    with database.read() as connection:
        known = len(assets.present_ids(connection, source.id))
    if not seen and known:
        return _pause(database, source, f"{source.root} is empty, but {known} files are known in it: is it mounted?")
    report.unreadable = tuple(folder.reason for folder in unreadable)
    report.skipped, report.links = dict(ignoring.skipped), tuple(ignoring.links)
    if report.removed:
        report.skipped["removed from the library"] = report.removed
    try:
        gone = _gone_from(database, source, files, seen, unreadable, began)
    except StoreError as error:
        return _pause(database, source, str(error))
    with database.write() as connection:
        report.missing = _set_missing(connection, gone)
        sources.set_source_state(connection, source.id, SourceState.ACTIVE)
        sources.mark_scanned(connection, source.id, began)
        sources.keep_skipped(connection, source.id, report.skipped)
    return report


def scan_paths(
    database: Database, source: SourceRecord, settings: Settings, paths: Collection[bytes], now: float | None = None
) -> ScanReport:
    """Look at these files and folders of a source only: they changed. Raises CatalogError.

    Where they are gone because the whole root is, this is a scan of the source: it pauses, nothing is missing.
    """
    files = files_of(source, settings)
    if os.fsencode(source.root) in paths or not files.answers():
        return scan_source(database, source, settings, now)
    report, seen = ScanReport(), array("q")
    words = (beside for path in paths for beside in files.words_beside(path))  # a file of its own, or not any more
    for path in sorted({*paths, *words}):
        present: list[FoundFile] = []
        certain = True
        with suppress(FileNotFoundError, NotADirectoryError):
            for entry in files.look(path, files.ignoring()):
                if isinstance(entry, Unreadable):
                    certain = False
                else:
                    present.append(entry)
        if present:
            _sync(database, source, present, seen, report, time.time() if now is None else now)
        if certain:
            _miss(database, source, files, path, seen, report)
    return report


def _gone_from(
    database: Database,
    source: SourceRecord,
    files: SourceFiles,
    seen: array[int],
    unreadable: Sequence[Unreadable],
    began: float,
) -> list[AssetRecord]:
    """What was known, was not seen, and is certainly gone, or left out on purpose from now on although it is there."""
    with database.read() as connection:
        for folder in unreadable:
            seen.extend(assets.present_ids(connection, source.id, folder.path).tolist())
        unseen = assets.get_assets(connection, assets.unseen_ids(connection, source.id, seen, before=began))
    paths = [asset.path_bytes for asset in unseen]
    out = zip(unseen, files.are_gone(paths), files.are_left_out(paths), strict=True)
    return [asset for asset, is_gone, is_left_out in out if is_gone or is_left_out]


def _miss(
    database: Database,
    source: SourceRecord,
    files: SourceFiles,
    path: bytes,
    seen: Sequence[int],
    report: ScanReport,
) -> None:
    """What was known at or below a path and has not been seen there is missing."""
    with database.read() as connection:
        unseen = np.setdiff1d(assets.present_ids(connection, source.id, path), seen).tolist()
        there = assets.get_assets(connection, unseen)
    known = [asset.path_bytes for asset in there]
    out = zip(there, files.are_gone(known), files.are_left_out(known), strict=True)
    gone = [asset for asset, is_gone, is_left_out in out if is_gone or is_left_out]
    if gone:
        with database.write() as connection:
            report.missing += _set_missing(connection, gone)


def _set_missing(connection: Connection, gone: Sequence[AssetRecord]) -> int:
    """Mark those as missing that lie where they were looked for: a worker may have noticed meanwhile that one moved.

    An asset can be unseen and there: its file moved, and it took the place of the new asset that the scan has seen.
    """
    now = {asset.id: asset for asset in assets.get_assets(connection, [asset.id for asset in gone])}
    ids = [asset.id for asset in gone if asset.id in now and now[asset.id].path_bytes == asset.path_bytes]
    assets.set_missing(connection, ids)
    return len(ids)


def _sync_all(
    database: Database,
    source: SourceRecord,
    files: SourceFiles,
    report: ScanReport,
    now: float,
    ignoring: Ignoring,
) -> tuple[array[int], list[Unreadable]]:
    """Sync every file found, batch by batch; gives the ids seen. Raises OSError if the root can't be read."""
    seen: array[int] = array("q")
    unreadable: list[Unreadable] = []
    waiting: list[FoundFile] = []

    def known(paths: Collection[bytes]) -> Collection[bytes]:
        with database.read() as connection:
            return assets.known_paths(connection, source.id, paths)

    for entry in files.walk(ignoring, known):
        if isinstance(entry, Unreadable):
            unreadable.append(entry)
            continue
        waiting.append(entry)
        if len(waiting) == _BATCH_FILES:
            _sync(database, source, waiting, seen, report, now)
            waiting = []
    if waiting:
        _sync(database, source, waiting, seen, report, now)
    return seen, unreadable


def _sync(
    database: Database,
    source: SourceRecord,
    files: Sequence[FoundFile],
    seen: array[int],
    report: ScanReport,
    now: float,
) -> None:
    with database.write() as connection:
        synced = assets.sync_assets(connection, source.id, files, now)
    seen.extend(synced.ids)
    report.count(synced)


def _pause(database: Database, source: SourceRecord, told: str) -> ScanReport:
    reason = told.removeprefix(source.root).removeprefix(":").strip()  # it is always shown beside the root
    with database.write() as connection:
        sources.set_source_state(connection, source.id, SourceState.PAUSED, reason)
    return ScanReport(paused=reason)
