"""Fills a space with vectors of everything indexed, while another space keeps serving.

Words are embedded from the catalogue; pictures and sounds are decoded from the media again, and each is
recognised by its signal and its times. Resumable at any moment, because only what is missing is done. New
files don't need this: workers embed them for every space.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from indexer.decoding.decoder import DecoderPool, limits_of
from indexer.decoding.items import DecodeRequest, SegmentDraft
from indexer.ingest.embedder import embed
from indexer.segmenting.segmenter import PictureMaker, Segmenter
from indexer.segmenting.sound import SoundSegmenter
from indexer.sources.places import Places
from search.catalog import embeddings, spaces
from search.catalog.database import Database
from search.catalog.records import SegmentRecord, SpaceRecord
from search.errors import MediaError, StoreError
from search.settings import Settings
from search.signals import Input, Signal
from search.spaces.space import Space, dimensions_of

Row = tuple[int, np.ndarray]  # segment id, (d,) float32
Key = tuple[str, float | None, float | None, int | None]  # signal, start, end, page


@dataclass(frozen=True)
class FillProgress:
    """The progress of filling a space, in segments."""

    total: int
    done: int
    failed: int
    problem: str | None = None  # the last one, for people


class SpaceFiller:
    """Fills one space. `run` may be called again after it ended."""

    def __init__(self, settings: Settings, database: Database, record: SpaceRecord, space: Space) -> None:
        self._settings = settings
        self._database = database
        self._record = record
        self._space = space
        self._places = Places(database, settings)
        self._signals = dimensions_of(space)
        self._segmenter = Segmenter((PictureMaker, SoundSegmenter))

    def run(self, stop: threading.Event, listener: Callable[[FillProgress], None] = lambda _: None) -> FillProgress:
        """Work until nothing more can be filled, or `stop` is set. Raises SpaceError, CatalogError.

        Media that can't be decoded now leave their segments missing, which `medley status` shows.
        """
        progress = FillProgress(self._missing(), 0, 0)
        listener(progress)
        with DecoderPool(self._settings) as decoders, ThreadPoolExecutor(decoders.size) as threads:
            for batch in self._batches():
                if stop.is_set():
                    return progress
                for rows, failed, problem in threads.map(lambda asset: self._fill_asset(decoders, asset), batch):
                    self._write(rows)
                    progress = FillProgress(
                        progress.total, progress.done + len(rows), progress.failed + failed, problem or progress.problem
                    )
                    listener(progress)
        if not self._missing():
            with self._database.write() as connection:
                spaces.mark_filled(connection, self._record.id)
        return progress

    def _missing(self) -> int:
        with self._database.read() as connection:
            counts = embeddings.embedding_counts(connection, self._record.id)
        return sum(count.segments - count.embedded for count in counts if Signal(count.signal) in self._signals)

    def _batches(self) -> Iterator[list[list[SegmentRecord]]]:
        """The missing segments, grouped by asset, some assets at a time."""
        cursor = 0
        while True:
            with self._database.read() as connection:
                lacking = embeddings.missing_embeddings(
                    connection, self._record.id, self._signals, cursor, self._settings.batch_assets
                )
            if not lacking:
                return
            yield [list(group) for _, group in groupby(lacking, key=lambda segment: segment.asset_id)]
            cursor = lacking[-1].asset_id

    def _fill_asset(self, decoders: DecoderPool, lacking: Sequence[SegmentRecord]) -> tuple[list[Row], int, str | None]:
        """Vectors of one asset's missing segments, how many could not be made, and why."""
        words = [segment for segment in lacking if Signal(segment.signal).holds_words and segment.text]
        rows: list[Row] = []
        for signal, group in groupby(sorted(words, key=lambda segment: segment.signal), lambda segment: segment.signal):
            members = list(group)
            vectors = self._space.embed(Signal(signal), [segment.text for segment in members])
            rows += zip((segment.id for segment in members), vectors, strict=True)
        wanted = {_key(segment): segment.id for segment in lacking if not Signal(segment.signal).holds_words}
        if not wanted:
            return rows, 0, None
        assert lacking[0].asset is not None
        try:
            with self._places.of(lacking[0].asset).fetch(lacking[0].asset) as path:
                decoded = list(self._decoded(decoders, path, wanted))
        except (MediaError, StoreError) as error:
            return rows, len(wanted), str(error)
        problem = None
        if len(decoded) < len(wanted):
            problem = f"{lacking[0].asset.path}: has changed since it was indexed"
        return rows + decoded, len(wanted) - len(decoded), problem

    def _decoded(self, decoders: DecoderPool, path: Path, wanted: dict[Key, int]) -> Iterator[Row]:
        request = DecodeRequest(
            path=path,
            limits=limits_of(self._settings),
            image_inputs={self._record.id: self._space.image_input},
            want_sound_track=any(Signal(signal).input is Input.WAVEFORM for signal, *_ in wanted),
            want_text=False,
        )
        drafts = (item for item in self._segmenter.segment(decoders.decode(request)) if isinstance(item, SegmentDraft))
        for batch in _in_batches(draft for draft in drafts if _key(draft) in wanted):
            for draft, vectors in zip(
                batch, embed({self._record.id: self._space}, batch[0].signal, batch), strict=True
            ):
                if self._record.id in vectors:
                    yield wanted[_key(draft)], vectors[self._record.id]

    def _write(self, rows: Sequence[Row]) -> None:
        if rows:
            with self._database.write() as connection:
                embeddings.add_embeddings(connection, self._record.id, rows)


def _key(segment: SegmentRecord | SegmentDraft) -> Key:
    return (str(segment.signal), _rounded(segment.start_seconds), _rounded(segment.end_seconds), segment.page)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _in_batches(drafts: Iterable[SegmentDraft]) -> Iterator[list[SegmentDraft]]:
    """Batches of one signal, of its encoder's batch size, so that a film is never in memory as a whole."""
    batch: list[SegmentDraft] = []
    for draft in drafts:
        if batch and (draft.signal is not batch[0].signal or len(batch) >= draft.signal.batch_size):
            yield batch
            batch = []
        batch.append(draft)
    if batch:
        yield batch
