"""What this worker can see: on another machine a mount may be absent, empty, or another folder; a store is down.

A worker that claimed files it can't see would hold them back from those who can. Knows roots; decodes nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from pathlib import Path

from indexer.sources.places import files_of
from indexer.sources.stores.addresses import is_store
from indexer.sources.uploads_mark import read_mark
from search.catalog import assets, sequence, sources
from search.catalog.database import Database
from search.catalog.records import SourceRecord
from search.settings import Settings

LOOK_SECONDS = 5.0  # a mount that comes back is noticed this late
_WITNESSES = 10  # of a source's files, the oldest and as many of the newest: one that is there is enough
MOST_PASSED = 1000  # files; if more are missing, finding out is a scan's work, and other workers may look again
_log = logging.getLogger(__name__)


class VisibleSources:
    """For one thread. The clock is passed in, so that waiting can be tested without any."""

    def __init__(self, database: Database, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._looked_at = -LOOK_SECONDS
        self._visible: list[int] | None = None
        self._uploads_seen = True

    def sources(self) -> list[int] | None:
        """Ids of the sources that are there with the files that the catalogue knows; None when that is all of them."""
        if self._clock() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = self._clock()
            with self._database.read() as connection:
                known = sources.list_sources(connection)
                witnesses = {
                    source.id: assets.some_paths(connection, source.id, _WITNESSES)
                    for source in known
                    if not is_store(source.root)
                }
                mark = None if self._settings.upload_store else sequence.find_uploads_mark(connection)
            visible = [source.id for source in known if self._sees(source, witnesses.get(source.id, ()), mark)]
            self._visible = None if len(visible) == len(known) else visible
            if mark is not None:
                self._tell_of_uploads(known, mark)
        return self._visible

    def _sees(self, source: SourceRecord, witnesses: Collection[bytes], mark: int | None) -> bool:
        files = files_of(source, self._settings)
        if not files.answers():
            return False
        if is_store(source.root):
            return True
        if mark is not None and read_mark(Path(source.root)) not in (0, mark):
            return False  # the folder of another catalogue's uploads, at the same path
        return not witnesses or not all(files.are_gone(list(witnesses)))

    def _tell_of_uploads(self, known: Collection[SourceRecord], mark: int) -> None:
        """For the service, which takes an upload only if some worker can read it."""
        folders = [self._settings.uploads, *(Path(source.root) for source in known if not is_store(source.root))]
        seen = any(read_mark(folder) == mark for folder in folders)
        if not seen and self._uploads_seen:
            _log.warning(
                "uploads are left to other workers: this one does not see their folder; give all processes of a "
                "catalogue one home folder (MEDLEY_HOME), or keep uploads in a store (upload_store)"
            )
        self._uploads_seen = seen
        with self._database.read() as connection:
            is_told = sequence.uploads_view_is_fresh(connection, seen=seen)
        if not is_told:
            with self._database.write() as connection:
                sequence.note_uploads_view(connection, seen=seen)


class PassedBy:
    """Files that are left to others for a while, because this machine could not read them. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[int, float] = {}

    def note(self, asset_id: int, seconds: float) -> None:
        """Leave this one alone for that long."""
        self._until = {**self._until, asset_id: self._clock() + seconds}

    def now(self) -> list[int]:
        """Ids to pass by, the latest if there are very many."""
        now = self._clock()
        if any(until <= now for until in self._until.values()) or len(self._until) > MOST_PASSED:
            kept = [(asset_id, until) for asset_id, until in self._until.items() if until > now]
            self._until = dict(kept[-MOST_PASSED:])
        return list(self._until)
