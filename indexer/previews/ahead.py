"""Thumbnails ahead of time: newly searchable files get theirs before anybody looks at them.

Runs beside a worker, in a thread, one picture after the other, and ends with it. Whatever can't be made is left to
the first request for it. Knows the catalogue and previews; knows no HTTP.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from indexer.decoding.decoder import DecoderPool
from indexer.previews.previews import Previews
from indexer.sources.places import Places
from search.catalog import assets, timeline
from search.catalog.database import Database
from search.catalog.records import AssetRecord, SegmentRecord
from search.errors import CatalogError, MedleyError
from search.results import Kind
from search.settings import Settings

LOOK_SECONDS = 1.0
_JOIN_SECONDS = 0.2
_CLOCKS_APART_SECONDS = 60.0  # this machine's and the database's, at most
_BATCH = 32
_log = logging.getLogger(__name__)


@contextmanager
def thumbnails_ahead(
    settings: Settings, database: Database, finish_unless: threading.Event | None = None
) -> Iterator[None]:
    """Make thumbnails of what is indexed from now on, in a thread with a decoder of its own, until the block ends.

    With `finish_unless`, those that are left are made then, until all are or the event is set.
    """
    stop = threading.Event()
    decoders = DecoderPool(settings, 1)
    began = time.time() - _CLOCKS_APART_SECONDS
    ahead = ThumbnailsAhead(database, Places(database, settings), Previews(settings, decoders.decode), began)
    thread = threading.Thread(target=ahead.run, args=(stop,), name="thumbnails-ahead")
    thread.start()
    try:
        yield
        if finish_unless is not None:
            ahead.no_more_come.set()
            while thread.is_alive() and not finish_unless.is_set():
                thread.join(_JOIN_SECONDS)
    finally:
        stop.set()
        ahead.no_more_come.set()
        decoders.interrupt()
        thread.join()
        decoders.close()


class ThumbnailsAhead:
    """Makes the thumbnails that lists of results show, of every asset indexed since `began` (epoch seconds)."""

    def __init__(self, database: Database, places: Places, previews: Previews, began: float) -> None:
        self._database = database
        self._places = places
        self._previews = previews
        self.no_more_come = threading.Event()
        self._behind = (began, 0)  # time and id of the last asset looked at

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set, or nothing is left and `no_more_come`."""
        while not stop.is_set():
            last = self.no_more_come.is_set()  # before looking: what comes until it is set is found by that look
            try:
                busy = self.step(stop)
            except CatalogError as error:
                _log.warning("no thumbnails ahead of time for now: %s", error)
                busy = False
            if not busy and last:
                return
            if not busy:
                self.no_more_come.wait(LOOK_SECONDS)

    def step(self, stop: threading.Event) -> bool:
        """Make those of the next few assets; False when there are none."""
        with self._database.read() as connection:
            records = assets.indexed_behind(connection, self._behind, _BATCH)
            shown = timeline.first_segments(connection, [record.id for record in records], None)
        for record in records:
            if stop.is_set():
                return True
            self._make(record, shown.get(record.id))
            self._behind = (record.indexed_at or 0.0, record.id)
        return bool(records)

    def _make(self, record: AssetRecord, segment: SegmentRecord | None) -> None:
        if record.kind is None or (record.kind == Kind.DOCUMENT and not record.pages):
            return
        try:
            original = self._places.of(record).original(record)  # as the service names it
            seconds, page = (segment.start_seconds, segment.page) if segment else (None, None)
            self._previews.thumbnail(original, Kind(record.kind), seconds, page=page)
        except (MedleyError, OSError) as error:
            _log.info("no thumbnail of asset %d ahead of time: %s", record.id, error)
