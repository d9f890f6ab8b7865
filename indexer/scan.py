"""Brings the catalogue's account of a source up to date with its files.

New and changed files become pending, files that are gone become missing. Where it is not certain that a
file is gone (the root is away or empty, a folder can't be listed), nothing becomes missing. Moves are
noticed later, by the contents (see intake.py). Knows the catalogue; opens no media.
"""

from __future__ import annotations

import os
import stat
import time
from array import array
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexer.walk import Unreadable, look, walk
from search.catalog import assets, sources
from search.catalog.database import Database
from search.catalog.records import AssetRecord, FoundFile, SourceRecord, SyncCounts
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

    def count(self, synced: SyncCounts) -> None:
        """Add a batch."""
        self.files += len(synced.ids)
        self.added += synced.added
        self.changed += synced.changed
        self.returned += synced.returned


def scan_source(database: Database, source: SourceRecord, settings: Settings, now: float | None = None) -> ScanReport:
    """Look at every file of a source. Raises CatalogError."""
    began = time.time() if now is None else now
    report = ScanReport()
    try:
        seen, unreadable = _sync_all(database, source, settings, report, began)
    except OSError as error:
        return _pause(database, source, f"{source.root} is not there: {os.strerror(error.errno or 0)}")
    with database.read() as connection:
        known = len(assets.present_ids(connection, source.id))
    if not seen and known:
        return _pause(database, source, f"{source.root} is empty, but {known} files are known in it: is it mounted?")
    report.unreadable = tuple(folder.reason for folder in unreadable)
    with database.write() as connection:
        for folder in unreadable:
            seen.extend(assets.present_ids(connection, source.id, folder.path).tolist())
        unseen = assets.unseen_ids(connection, source.id, seen, before=began)
        gone = _really_gone(assets.get_assets(connection, unseen))
        assets.set_missing(connection, gone)
        report.missing = len(gone)
        sources.set_source_state(connection, source.id, sources.ACTIVE)
        sources.mark_scanned(connection, source.id, began)
    return report


def scan_paths(
    database: Database, source: SourceRecord, settings: Settings, paths: Collection[bytes], now: float | None = None
) -> ScanReport:
    """Look at these files and folders of a source only: they changed. Raises CatalogError.

    Where they are gone because the whole root is, this is a scan of the source: it pauses, nothing is missing.
    """
    root = os.fsencode(source.root)
    if root in paths or not has_entries(root):
        return scan_source(database, source, settings, now)
    report, seen = ScanReport(), array("q")
    skipped = own_folders(source, settings)
    for path in sorted(paths):
        found: list[FoundFile] = []
        certain = True
        with suppress(FileNotFoundError, NotADirectoryError):
            for entry in look(path, root, source.recursive, skipped):
                if isinstance(entry, Unreadable):
                    certain = False
                else:
                    found.append(entry)
        if found:
            _sync(database, source, found, seen, report, time.time() if now is None else now)
        if certain:
            _miss(database, source, path, seen, report)
    return report


def has_entries(root: bytes) -> bool:
    """Is the root a folder with something in it (or a file)? What is not there has none."""
    try:
        with os.scandir(root) as listing:
            return next(listing, None) is not None
    except NotADirectoryError:
        return True
    except OSError:
        return False


def _miss(database: Database, source: SourceRecord, path: bytes, seen: Sequence[int], report: ScanReport) -> None:
    """What was known at or below a path and has not been seen there is missing."""
    with database.read() as connection:
        unseen = np.setdiff1d(assets.present_ids(connection, source.id, path), seen).tolist()
        gone = _really_gone(assets.get_assets(connection, unseen))
    if gone:
        with database.write() as connection:
            assets.set_missing(connection, gone)
        report.missing += len(gone)


def _really_gone(unseen: Sequence[AssetRecord]) -> list[int]:
    """Ids of those whose file is not there now.

    An asset can be unseen and there: its file moved, a worker noticed, and it took the place of the new
    asset that the scan has seen.
    """
    return [asset.id for asset in unseen if not _is_file(asset.path_bytes)]


def _is_file(path: bytes) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # who knows


def _sync_all(
    database: Database, source: SourceRecord, settings: Settings, report: ScanReport, now: float
) -> tuple[array[int], list[Unreadable]]:
    """Sync every file found, batch by batch; gives the ids seen. Raises OSError if the root can't be read."""
    seen: array[int] = array("q")
    unreadable: list[Unreadable] = []
    waiting: list[FoundFile] = []
    for found in walk(os.fsencode(source.root), source.recursive, own_folders(source, settings)):
        if isinstance(found, Unreadable):
            unreadable.append(found)
            continue
        waiting.append(found)
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


def own_folders(source: SourceRecord, settings: Settings) -> tuple[Path, ...]:
    """Where a scan must not look: what Medley itself writes, unless the source is a folder in there (uploads)."""
    home = settings.home.resolve()
    return () if Path(source.root).resolve().is_relative_to(home) else (home,)


def _pause(database: Database, source: SourceRecord, reason: str) -> ScanReport:
    with database.write() as connection:
        sources.set_source_state(connection, source.id, sources.PAUSED, reason)
    return ScanReport(paused=reason)
