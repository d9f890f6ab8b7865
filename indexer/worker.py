"""A worker: claims assets, keeps their leases, feeds the pipeline, hands back what it could not finish.

The composition root of indexing. Any number of workers may run, on any number of machines, against one
catalogue; each dies without harm.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from indexer.decoder import Items, limits_of
from indexer.embedder import Spaces
from indexer.intake import Intake
from indexer.items import DecodeRequest
from indexer.pipeline import Pipeline, Work
from indexer.recorder import Recorder, Tally
from indexer.segmenter import MakerFactory, PictureMaker, Segmenter
from indexer.task import StageSeconds
from search.catalog import assets, queue
from search.catalog.database import Database
from search.catalog.records import AssetRecord, Counts
from search.errors import CatalogError
from search.settings import Settings

_TRUSTED_ATTEMPTS = 2  # an asset that was begun more often may be what killed its workers
_POLL_SECONDS = 0.5  # between looks into an empty queue
_BUSY_POLL_SECONDS = 0.1
_COUNTS_SECONDS = 1.0  # between counts of a whole catalogue for progress
_IDLE_PATIENCE_SECONDS = 120.0  # a worker that ends when idle waits so long for retries, not for offline mounts


@dataclass(frozen=True)
class Progress:
    """How far a worker has come."""

    counts: Counts  # of the whole catalogue
    tally: Tally  # of this worker
    stages: StageSeconds
    in_flight: int
    seconds: float  # since the worker began


class ProgressListener(Protocol):
    """Is told how far a worker has come, about twice a second and at the end."""

    def __call__(self, progress: Progress, /) -> None:
        """Called from the worker's own thread; must be quick."""


@dataclass(frozen=True)
class Chosen:
    """What becomes of claimed assets."""

    take: Sequence[AssetRecord] = ()
    back: Sequence[AssetRecord] = ()  # handed back, for later
    given_up: Sequence[AssetRecord] = ()
    alone: bool = False  # nothing else may be worked on beside it


def choose(claimed: Sequence[AssetRecord], max_attempts: int, *, busy: bool) -> Chosen:
    """Take all, unless one is suspected of killing its workers: then that one by itself, or nothing yet.

    A worker that dies takes everything it has claimed with it. Worked on alone, the one file that did it
    is found out, and the others are not blamed with it.
    """
    given_up = [asset for asset in claimed if asset.attempts > max_attempts]
    living = [asset for asset in claimed if asset.attempts <= max_attempts]
    suspects = [asset for asset in living if asset.attempts > _TRUSTED_ATTEMPTS]
    if not suspects:
        return Chosen(take=living, given_up=given_up)
    if busy:
        return Chosen(back=living, given_up=given_up)
    back = [asset for asset in living if asset is not suspects[0]]
    return Chosen(take=suspects[:1], back=back, given_up=given_up, alone=True)


class Worker:
    """One worker process's share of the work. `run` may be called again after it ended."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        spaces: Callable[[], Spaces],
        decode: Callable[[DecodeRequest], Items],
        makers: Sequence[MakerFactory] = (PictureMaker,),
        *,
        reading: Sequence[MakerFactory] = (),
        concurrency: int | None = None,
        interrupt: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`makers` make every segment but text in images, which `reading` makes on a second visit.

        `interrupt` ends whatever `decode` is doing, so that a stop need not wait for a film.
        """
        self._settings = settings
        self._database = database
        self._spaces = spaces
        self._clock = clock
        self._concurrency = concurrency or settings.decode_processes or os.cpu_count() or 1
        # At most 64 characters, and never the same twice: a restarted worker must not own its last life's leases.
        self.owner = f"{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(6)}"
        # While one batch is encoded the next is decoded and the one before is written.
        self._full = 2 * settings.batch_assets + 1
        self._alone: int | None = None  # an asset beside which nothing else may be worked on
        self._recorder = Recorder(database, settings, self.owner, clock)
        intake = Intake(database, settings, clock)
        self._work = Work(
            receive=intake.receive,
            check_unchanged=intake.check_unchanged,
            decode=decode,
            segmenter=Segmenter(makers),
            reading=Segmenter(reading),
            write=self._recorder.write,
            interrupt=interrupt,
            limits=limits_of(settings),
            want_sound_track=settings.speech or settings.sound,
            want_text=bool(reading),
        )

    def run(self, stop: threading.Event, until_idle: bool = False, listener: ProgressListener | None = None) -> Tally:
        """Work until `stop` is set, or until nothing is pending; then hand back what is not finished.

        Raises MedleyError when a space or the catalogue fails: no file is blamed for that.
        """
        pipeline = Pipeline(self._work, self._spaces, self._concurrency)
        meter = _Meter(self._database, self._recorder, pipeline, listener)
        renewer = _Renewer(self._database, self._settings, self.owner, pipeline, self._clock)
        try:
            while not stop.is_set() and pipeline.failure is None:
                pipeline.wait(below=self._full, seconds=_POLL_SECONDS)
                claimed = self._claim(pipeline)
                meter.tell()
                if not claimed and until_idle and self._is_idle(pipeline):
                    break
                if not claimed:
                    stop.wait(_POLL_SECONDS if not pipeline.in_flight() else _BUSY_POLL_SECONDS)
        finally:
            self._hand_back(pipeline)
            renewer.stop()
        meter.tell(last=True)
        if pipeline.failure is not None:
            raise pipeline.failure
        return self._recorder.tally

    def _claim(self, pipeline: Pipeline) -> bool:
        """Fill the pipeline; False when there was nothing to take."""
        in_flight = pipeline.in_flight()
        if len(in_flight) >= self._full or self._alone in in_flight or pipeline.failure is not None:
            return True
        with self._database.write() as connection:
            lease = self._settings.lease_seconds
            claimed = queue.claim(connection, self.owner, self._settings.batch_assets, lease, self._clock())
            chosen = choose(claimed, self._settings.max_attempts, busy=bool(in_flight))
            queue.release(connection, self.owner, [asset.id for asset in chosen.back])
            for asset in chosen.given_up:
                reason = f"whoever worked on it died, {asset.attempts - 1} times; see the setting max_attempts"
                queue.give_up(connection, self.owner, asset, f"{asset.path}: {reason}")
        self._alone = chosen.take[0].id if chosen.alone else None
        for asset in chosen.take:
            pipeline.submit(asset)
        return bool(chosen.take or chosen.given_up)

    def _is_idle(self, pipeline: Pipeline) -> bool:
        if pipeline.in_flight():
            return False
        with self._database.read() as connection:
            due = queue.next_due(connection)
        return due is None or due > self._clock() + _IDLE_PATIENCE_SECONDS

    def _hand_back(self, pipeline: Pipeline) -> None:
        given_up = pipeline.stop()
        if given_up:
            with suppress(CatalogError), self._database.write() as connection:  # else the leases run out
                queue.release(connection, self.owner, given_up)


class _Meter:
    """Tells the listener, without counting a large catalogue all the time."""

    def __init__(
        self, database: Database, recorder: Recorder, pipeline: Pipeline, listener: ProgressListener | None
    ) -> None:
        self._database, self._recorder, self._pipeline, self._listener = database, recorder, pipeline, listener
        self._began = time.monotonic()
        self._counted = -_COUNTS_SECONDS
        self._counts = Counts()

    def tell(self, last: bool = False) -> None:
        if self._listener is None:
            return
        now = time.monotonic()
        if last or now - self._counted >= _COUNTS_SECONDS:
            with self._database.read() as connection:
                self._counts = assets.counts(connection)
            self._counted = now
        tally = dataclasses.replace(self._recorder.tally)
        in_flight = len(self._pipeline.in_flight())
        self._listener(Progress(self._counts, tally, self._pipeline.seconds(), in_flight, now - self._began))


class _Renewer:
    """Renews the leases of what is in the pipeline, from a thread of its own: decoding a film takes hours."""

    def __init__(
        self, database: Database, settings: Settings, owner: str, pipeline: Pipeline, clock: Callable[[], float]
    ) -> None:
        self._database, self._owner, self._pipeline, self._clock = database, owner, pipeline, clock
        self._lease_seconds = settings.lease_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew_all, name="medley-leases", daemon=True)
        self._thread.start()

    def _renew_all(self) -> None:
        while not self._ended.wait(self._lease_seconds / 3):
            ids = self._pipeline.in_flight()
            # A catalogue that is busy now may answer the next time, before the lease is over.
            with suppress(CatalogError), self._database.write() as connection:
                queue.renew(connection, self._owner, ids, self._lease_seconds, self._clock())

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()
