"""Follows the watched sources: looks at once at what changes in them, and now and then at everything.

The operating system's notices come late, twice or (from network mounts) never, so they only say where to
look; the sweep finds the rest. Several watchers may follow the same sources: they share the sweeps.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from watchfiles import watch

from indexer.sources.overlaps import merge_overlapping
from indexer.sources.places import files_of
from indexer.sources.scan import ScanReport, scan_paths, scan_source
from indexer.sources.stores.addresses import is_store
from search.catalog import sources
from search.catalog.database import Database
from search.catalog.records import SourceRecord
from search.catalog.states import SourceState
from search.errors import CatalogError
from search.settings import Settings

DEBOUNCE_MILLISECONDS = 500  # changes that follow each other faster are looked at together
_LOOK_MILLISECONDS = 2000  # between looks for sources that were added, and for sweeps that are due
_log = logging.getLogger(__name__)


class Watcher:
    """Keeps the catalogue's account of the watched sources up to date. `run` is for one thread."""

    def __init__(self, database: Database, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._can_be_notified = True

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set. Whatever goes wrong is logged and tried again."""
        while not stop.is_set():
            try:
                self._follow(stop)
            except CatalogError as error:
                _log.warning("sources are not watched for now: %s", error)
                stop.wait(_LOOK_MILLISECONDS / 1000)

    def sweep(self) -> list[ScanReport]:
        """Scan every watched source whose last scan is too long ago."""
        reports = []
        for source in self._watched():
            if self._is_due(source):
                reports.append(self._scan(source))
        return reports

    def look_at(self, paths: Iterable[bytes]) -> None:
        """Scan these paths in every watched source that holds them."""
        waiting = sorted(set(paths))
        for source in self._watched():
            root = os.fsencode(source.root)
            inside = [path for path in waiting if path == root or path.startswith(root.rstrip(b"/") + b"/")]
            if inside:
                scan_paths(self._database, source, self._settings, inside)

    def _follow(self, stop: threading.Event) -> None:
        """Watch today's roots until they are no longer the same."""
        merge_overlapping(self._database, self._settings)
        self.sweep()
        roots = self._roots()
        if not roots or not self._can_be_notified:
            stop.wait(_LOOK_MILLISECONDS / 1000)
            return
        notices = watch(
            *roots,
            watch_filter=None,
            debounce=DEBOUNCE_MILLISECONDS,
            rust_timeout=_LOOK_MILLISECONDS,
            yield_on_timeout=True,
            stop_event=stop,
            raise_interrupt=False,
            ignore_permission_denied=True,
        )
        try:
            for changes in notices:
                self.look_at(os.fsencode(path) for _, path in changes)
                self.sweep()
                if self._roots() != roots:
                    return
        except (OSError, RuntimeError) as error:
            # Most often the system's limit of watches (fs.inotify.max_user_watches).
            _log.warning("no notices of changed files, only sweeps: %s", error)
            self._can_be_notified = False

    def _is_due(self, source: SourceRecord) -> bool:
        stored = is_store(source.root)
        sweep_seconds = self._settings.store_sweep_seconds if stored else self._settings.sweep_seconds
        if source.scanned_at is None or self._clock() - source.scanned_at >= sweep_seconds:
            return True
        return source.state == SourceState.PAUSED and files_of(source, self._settings).answers()  # it is back

    def _watched(self) -> list[SourceRecord]:
        with self._database.read() as connection:
            return [source for source in sources.list_sources(connection) if source.watched]

    def _roots(self) -> list[str]:
        """Roots that are there: a root that is away can't be watched, a sweep will see it come back."""
        return sorted({source.root for source in self._watched() if Path(source.root).exists()})

    def _scan(self, source: SourceRecord) -> ScanReport:
        report = scan_source(self._database, source, self._settings)
        if report.paused:
            _log.warning("source %d, %s, is paused: %s", source.id, source.root, report.paused)
            # Not again at once: it counts as looked at.
            with self._database.write() as connection:
                sources.mark_scanned(connection, source.id, self._clock())
        return report
