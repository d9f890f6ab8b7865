"""The composition root of indexing: spaces, decoders and models, opened once and shared by workers.

The entry points and tests open it. Models load at their first use, so an open indexer costs little.
"""

from __future__ import annotations

from typing import Self

from indexer.decoding.decoder import DecoderPool
from indexer.ingest.caption_choice import CaptionChooser
from indexer.ingest.embedder import Spaces
from indexer.ingest.open_spaces import OpenSpaces
from indexer.ingest.worker import Worker
from indexer.segmenting.makers import open_makers
from indexer.sources.stores import scratch
from search.active_space import SpaceOpener, active_space, space_opener
from search.catalog import spaces as catalog_spaces
from search.catalog.database import Database
from search.catalog.records import SpaceRecord
from search.language.backends import open_language_model
from search.multimodal.vision import senses_if_any
from search.runtime import tracing
from search.settings import Settings
from search.spaces.space import Space


class Indexer:
    """What workers of one process share. Close it when they have ended."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        open_space: SpaceOpener | None = None,
        concurrency: int | None = None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._open_spaces = OpenSpaces(open_space or space_opener(settings))
        scratch.sweep(settings.scratch)
        self._makers = open_makers(settings)
        self._decoders = DecoderPool(settings, concurrency)
        self._language_model = open_language_model(settings) if settings.vision else None
        self._senses = senses_if_any(self._language_model, settings) if self._language_model else None
        database.patiently(
            lambda: active_space(database, settings)
        )  # a new catalogue has none yet: the first worker makes the starter

    def worker(self) -> Worker:
        """A worker that decodes as many files at once as there are decoders."""
        tracing.start(self._settings.tracing_endpoint)
        return Worker.here(
            self._settings,
            self._database,
            self.spaces,
            self._decoders.decode,
            self._makers.factories,
            reading=self._makers.reading,
            senses=self._senses,
            choose=CaptionChooser(self._database, self._active_space),
            concurrency=self._decoders.size,
            interrupt=self._decoders.interrupt,
        )

    def spaces(self) -> Spaces:
        """Every space by id: the active one, those being filled, and those that can become active again.

        Raises SpaceError when the active one can't be opened as what it was; others are left out, with a warning.
        """
        return self._open_spaces.of(self._database.patiently(self._records))

    def _active_space(self) -> tuple[int, Space]:
        return self._open_spaces.active(self._database.patiently(self._records))

    def _records(self) -> list[SpaceRecord]:
        with self._database.read() as connection:
            return catalog_spaces.list_spaces(connection)

    def close(self) -> None:
        """End the decoders and release every model."""
        self._decoders.close()
        self._makers.release()
        if self._language_model:
            self._language_model.release()
        if self._senses:
            self._senses.release()
        self._open_spaces.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
