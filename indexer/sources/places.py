"""Which kind of files a source has: the one place that asks whether its root is a folder or a store."""

from __future__ import annotations

import threading
import time

from indexer.sources.files import SourceFiles
from indexer.sources.folder_files import FolderFiles
from indexer.sources.store_files import StoreFiles
from indexer.sources.stores.addresses import is_store
from search.catalog import sources
from search.catalog.database import Database
from search.catalog.records import AssetRecord, SourceRecord
from search.settings import Settings

_SECONDS = 2.0  # after which a source is read again: it may have other excludes, or another profile


def files_of(source: SourceRecord, settings: Settings) -> SourceFiles:
    """The files of a source."""
    return StoreFiles(source, settings) if is_store(source.root) else FolderFiles(source, settings)


class Places:
    """The files of every source, for callers that have assets. Thread-safe."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._lock = threading.Lock()
        self._known: dict[int, tuple[float, SourceFiles]] = {}

    def of(self, asset: AssetRecord) -> SourceFiles:
        """The files of the source that an asset is in. Raises NotFoundError."""
        now = time.monotonic()
        with self._lock:
            looked_at, files = self._known.get(asset.source_id, (0.0, None))
            if files is not None and now - looked_at < _SECONDS:
                return files
        files = files_of(self._database.patiently(lambda: self._source(asset.source_id)), self._settings)
        with self._lock:
            self._known[asset.source_id] = now, files
        return files

    def _source(self, source_id: int) -> SourceRecord:
        with self._database.read() as connection:
            return sources.get_source(connection, source_id)
