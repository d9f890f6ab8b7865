"""The composition root of indexing: spaces, decoders and models, opened once, lent to workers.

Doors and tests come in here. Models load at their first use, so an open workshop costs little.
"""

from __future__ import annotations

import logging
import threading
from typing import Self

from indexer.decoder import DecoderPool
from indexer.embedder import Spaces
from indexer.makers import open_makers
from indexer.worker import Worker
from search.catalog import spaces as catalog_spaces
from search.catalog.database import Database
from search.catalog.records import SpaceRecord
from search.errors import SpaceError
from search.serving import OpenSpace, active_space, check_fingerprint, opener
from search.settings import Settings
from search.spaces.space import Space

_log = logging.getLogger(__name__)


class Workshop:
    """What workers of one process share. Close it when they have ended."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        open_space: OpenSpace | None = None,
        concurrency: int | None = None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._open_space = open_space or opener(settings)
        self._opened: dict[int, Space] = {}
        self._lock = threading.Lock()
        self._refused: set[int] = set()
        self._makers = open_makers(settings)
        self._decoders = DecoderPool(settings, concurrency)
        active_space(database, settings)  # a new catalogue has none yet: the first worker makes the starter

    def worker(self) -> Worker:
        """A worker that decodes as many files at a time as the workshop has decoders."""
        return Worker(
            self._settings,
            self._database,
            self.spaces,
            self._decoders.decode,
            self._makers.factories,
            reading=self._makers.reading,
            concurrency=self._decoders.size,
            interrupt=self._decoders.interrupt,
        )

    def spaces(self) -> Spaces:
        """All spaces of the catalogue: the active one, those being filled, and those one may switch back to.

        Raises SpaceError when the active one can't be opened as what it was; others are left out, with a warning.
        """
        with self._database.read() as connection:
            records = {record.id: record for record in catalog_spaces.list_spaces(connection)}
        with self._lock:
            for dropped in self._opened.keys() - records.keys():
                self._opened.pop(dropped).release()
            for record in records.values():
                if record.id not in self._opened and record.id not in self._refused:
                    self._open(record)
            return dict(self._opened)

    def _open(self, record: SpaceRecord) -> None:
        try:
            space = self._open_space(record)
            check_fingerprint(record, space)
        except SpaceError as error:
            if record.state == catalog_spaces.ACTIVE:
                raise
            _log.warning("nothing is indexed for the space %s: %s", record.name, error)
            self._refused.add(record.id)
        else:
            self._opened[record.id] = space

    def close(self) -> None:
        """End the decoders and let go of every model."""
        self._decoders.close()
        self._makers.release()
        for space in self._opened.values():
            space.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
