"""Remembers recent queries, so that spaces can be compared and audited with real ones.

Words only, a bounded number of them (see search/catalog/query_log.py), and not at all with the setting
`remember_queries` off. Written some seconds late and together, so that no search waits for the disk.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec

from search.catalog.database import Database
from search.catalog.query_log import remember_query
from search.errors import CatalogError
from search.results import Query

WRITE_SECONDS = 10.0
MAX_WAITING = 100  # between two writes; the rest is forgotten


class QueryLog:
    """The queries of one process that are not written yet. Thread-safe."""

    def __init__(self, database: Database, enabled: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._enabled = enabled
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: list[str] = []
        self._written_at = clock()

    def note(self, query: Query) -> None:
        """Remember a query in words; others are ignored."""
        if not self._enabled or not query.text.strip() or query.cursor:
            return
        with self._lock:
            if len(self._waiting) < MAX_WAITING:
                text = {"text": query.text, "filters": msgspec.to_builtins(query.filters)}
                self._waiting.append(msgspec.json.encode(text).decode())
            due = self._clock() - self._written_at >= WRITE_SECONDS
        if due:
            # From a thread: on SQLite a write may have to wait for an indexing worker's.
            threading.Thread(target=self.flush, name="recent-queries", daemon=True).start()

    def flush(self) -> None:
        """Write the waiting queries. If the catalogue is busy they are lost, and nothing else is."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
            self._written_at = self._clock()
        if not waiting:
            return
        try:
            with self._database.write() as connection:
                for query in waiting:
                    remember_query(connection, query)
        except CatalogError:
            return
