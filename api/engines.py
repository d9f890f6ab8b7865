"""The engine that commands ask: of one process, and able to look at pictures and listen to sounds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from indexer.decoding.decoder import DecoderPool
from indexer.previews.picture_files import PreviewPictures
from indexer.previews.previews import Previews
from indexer.previews.sound_files import LibrarySounds
from indexer.sources.places import Places
from search.catalog.database import Database
from search.engine import SearchEngine
from search.settings import Settings
from search.space_lifecycle import open_beside


@contextmanager
def opened_engine(settings: Settings, name: str = "") -> Iterator[SearchEngine]:
    """An engine for the space of this name, or the active one without any.

    No process starts and no model loads before something is looked at. Raises NotFoundError, SpaceError.
    """
    engine = open_beside(settings, name, Database.open(settings)) if name else SearchEngine.open(settings)
    try:
        with DecoderPool(settings, 1) as decoders:
            places = Places(engine.database, settings)
            engine.perceive(
                PreviewPictures(engine.database, Previews(settings, decoders.decode), places),
                LibrarySounds(settings, engine.database, places, decoders.decode),
            )
            yield engine
    finally:
        engine.close()
