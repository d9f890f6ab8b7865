"""The spaces that files are indexed for: opened once, checked against their fingerprints, released together.

Knows spaces and their records; knows no catalogue, so that machines without one can use it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from indexer.ingest.embedder import Spaces
from search.active_space import SpaceOpener, check_fingerprint
from search.catalog.records import SpaceRecord
from search.catalog.states import SpaceState
from search.errors import SpaceError
from search.spaces.space import Space

_log = logging.getLogger(__name__)


class OpenSpaces:
    """Thread-safe. Models load at their first use, so an open space costs little."""

    def __init__(self, open_space: SpaceOpener) -> None:
        self._open_space = open_space
        self._opened: dict[int, Space] = {}
        self._lock = threading.Lock()
        self._refused: set[int] = set()

    def of(self, records: Sequence[SpaceRecord]) -> Spaces:
        """The spaces of these records by id; all others are released.

        Raises SpaceError when the active one can't be opened as what it was; others are left out, with a warning.
        """
        by_id = {record.id: record for record in records}
        with self._lock:
            for dropped in self._opened.keys() - by_id.keys():
                self._opened.pop(dropped).release()
            for record in records:
                if record.id not in self._opened and record.id not in self._refused:
                    self._open(record)
            return dict(self._opened)

    def active(self, records: Sequence[SpaceRecord]) -> tuple[int, Space]:
        """Id and space of the active one of these records. Raises SpaceError."""
        self.of(records)
        for record in records:
            if record.state == SpaceState.ACTIVE:
                return record.id, self._opened[record.id]
        raise SpaceError("no space is active: medley spaces list")

    def _open(self, record: SpaceRecord) -> None:
        try:
            space = self._open_space(record)
            check_fingerprint(record, space)
        except SpaceError as error:
            if record.state == SpaceState.ACTIVE:
                raise
            _log.warning("nothing is indexed for the space %s: %s", record.name, error)
            self._refused.add(record.id)
        else:
            self._opened[record.id] = space

    def release(self) -> None:
        """Release every model."""
        for space in self._opened.values():
            space.release()
