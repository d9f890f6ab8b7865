"""A worker: claims assets, keeps their leases, feeds the pipeline, hands back what it could not finish.

The composition root of indexing. Any number of workers may run, on any number of machines, against one
catalogue; a crash loses no work.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol, Self

from indexer.decoding.decoder import Items
from indexer.decoding.items import DecodeRequest
from indexer.ingest.captioner import Captioner, Choose, Describers, likeliest
from indexer.ingest.embedder import Spaces
from indexer.ingest.intake import Intake, NotHere
from indexer.ingest.ledger import CatalogueLedger
from indexer.ingest.pipeline import Pipeline, Stages, Work, Write
from indexer.ingest.recorder import Recorder, Tally
from indexer.ingest.suspects import choose
from indexer.ingest.task import Outcome, StageSeconds
from indexer.ingest.visibility import PassedBy, VisibleSources
from indexer.segmenting.segmenter import MakerFactory, PictureMaker
from search.catalog import assets, queue
from search.catalog.database import Database
from search.catalog.records import AssetRecord, Counts
from search.errors import CatalogError, LanguageModelError, SpaceError
from search.runtime.room import has_room
from search.settings import Settings

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.5  # between looks into an empty queue
_BUSY_POLL_SECONDS = 0.1
_COUNTS_SECONDS = 1.0  # between counts of a whole catalogue for progress
ROOM_BYTES = 512 * 1024**2  # a worker with less to spare may die of any file
_LEFT_SECONDS = 600.0  # until a worker without room looks again whether it has some
_IDLE_PATIENCE_SECONDS = 120.0  # a worker that ends when idle waits this long for retries, not for offline mounts


@dataclass(frozen=True)
class Progress:
    """The progress of a worker."""

    counts: Counts  # of the whole catalogue
    tally: Tally  # of this worker
    stages: StageSeconds
    in_flight: int
    seconds: float  # since the worker began


class ProgressListener(Protocol):
    """Receives a worker's progress, about twice a second and at the end."""

    def __call__(self, progress: Progress, /) -> None:
        """Called from the worker's own thread; must be quick."""


class OutcomeRecorder(Protocol):
    """Where outcomes go."""

    @property
    def tally(self) -> Tally:
        """What has been recorded so far."""

    def write(self, outcomes: Sequence[Outcome], /) -> None:
        """Record all of them, or none and raise CatalogError. Called by one thread."""


class Worker:
    """One worker process's share of the work. `run` may be called again after it ended."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        open_stages: Callable[[Write], Stages],
        *,
        recorder: OutcomeRecorder | None = None,
        batch_assets: int | None = None,
    ) -> None:
        """`open_stages` is called at each run; outcomes go to the catalogue unless there is another `recorder`."""
        self._settings = settings
        self._database = database
        self._open_stages = open_stages
        self._batch_assets = batch_assets or settings.batch_assets
        # At most 64 characters, and never the same twice: a restarted worker must not own its last life's leases.
        self.owner = f"{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(6)}"
        self._alone: int | None = None  # an asset beside which nothing else may be worked on
        self._recorder = recorder or Recorder(database, settings)
        self._visible = VisibleSources(database, settings)
        self._passed = PassedBy()
        self._captioner: Captioner | None = None

    @classmethod
    def here(
        cls,
        settings: Settings,
        database: Database,
        spaces: Callable[[], Spaces],
        decode: Callable[[DecodeRequest], Items],
        makers: Sequence[MakerFactory] = (PictureMaker,),
        *,
        reading: Sequence[MakerFactory] = (),
        senses: Describers | None = None,
        choose: Choose = likeliest,
        concurrency: int | None = None,
        interrupt: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """A worker whose stages run in this process.

        `makers` make every segment but text in images, which `reading` makes on a second visit. `senses` caption
        images and sounds once nothing else is to be done, and `choose` says which sentence is kept. `interrupt` ends
        running calls of `decode`, so that a stop need not wait for a film.
        """
        threads = concurrency or settings.decode_processes or os.cpu_count() or 1

        def pipeline(write: Write) -> Pipeline:
            ledger = CatalogueLedger(database, settings)
            intake = Intake(ledger, ledger.places, settings, clock)
            work = Work.of(settings, intake, decode, makers, reading, write, interrupt)
            # While one batch is encoded the next is decoded and the one before is written.
            return Pipeline(work, spaces, threads, capacity=2 * settings.batch_assets + 1)

        worker = cls(settings, database, pipeline)
        if senses is not None:
            worker._captioner = Captioner(settings, database, senses, decode, choose, worker.owner)
        return worker

    def run(self, stop: threading.Event, until_idle: bool = False, listener: ProgressListener | None = None) -> Tally:
        """Work until `stop` is set, or until nothing is pending; then hand back what is not finished.

        Raises MedleyError when a space or the catalogue fails, which no file is blamed for.
        """
        pipeline = self._open_stages(self._write)
        meter = _Meter(self._database, self._recorder, pipeline, listener)
        patiently = self._database.patiently
        caption_some = partial(self._caption_some, stop)
        renewer = _Renewer(self._database, self._settings, lambda: self._held(pipeline))
        try:
            while not stop.is_set() and pipeline.failure is None:
                pipeline.wait(below=pipeline.capacity, seconds=_POLL_SECONDS)
                claimed = patiently(lambda: self._claim(pipeline), stop.is_set)
                patiently(meter.tell, stop.is_set)
                if not claimed and not pipeline.in_flight() and patiently(caption_some, stop.is_set):
                    continue
                if not claimed and until_idle and patiently(lambda: self._is_idle(pipeline), stop.is_set):
                    break
                if not claimed:
                    stop.wait(_POLL_SECONDS if not pipeline.in_flight() else _BUSY_POLL_SECONDS)
        finally:
            self._hand_back(pipeline)
            renewer.stop()
        patiently(lambda: meter.tell(last=True), stop.is_set)
        if pipeline.failure is not None:
            raise pipeline.failure
        return self._recorder.tally

    def _write(self, outcomes: Sequence[Outcome]) -> None:
        # Noted first: once they are written, they can be claimed again.
        for outcome in outcomes:
            if isinstance(outcome.result, NotHere):
                self._passed.note(outcome.asset.id, outcome.result.wait_seconds)
        self._recorder.write(outcomes)

    def _held(self, pipeline: Stages) -> queue.Claims:
        captioner = self._captioner
        return {**pipeline.in_flight(), **(captioner.claims if captioner else {})}

    def _caption_some(self, stop: threading.Event) -> bool:
        """Whether there were images or sounds without a caption."""
        if self._captioner is None:
            return False
        try:
            return self._captioner.caption_some(stop.is_set) > 0
        except CatalogError:
            raise
        except Exception as error:  # noqa: BLE001 - of models: a GPU without memory, a weight that is missing
            # A library is whole without captions: what is indexed stays indexed.
            known = isinstance(error, LanguageModelError | SpaceError)
            _log.warning("no captions are made: %s", error if known else f"{type(error).__name__}: {error}")
            captioner, self._captioner = self._captioner, None
            captioner.hand_back()
            return False

    def _claim(self, pipeline: Stages) -> bool:
        """Fill the pipeline; False when there was nothing to claim."""
        in_flight = pipeline.in_flight()
        if len(in_flight) >= pipeline.capacity or self._alone in in_flight or pipeline.failure is not None:
            return True
        visible = self._visible.sources()
        with self._database.write() as connection:
            lease = self._settings.lease_seconds
            claimed = queue.claim(
                connection,
                self.owner,
                self._batch_assets,
                lease,
                sources=visible,
                holding=in_flight,
                passing=self._passed.now(),
            )
            room = has_room(ROOM_BYTES)
            chosen = choose(claimed, self._settings.max_attempts, busy=bool(in_flight), has_room=room)
            queue.release(connection, queue.claims_of(chosen.back))
            if chosen.alone:
                queue.mark_alone(connection, chosen.take[0])
            for asset in chosen.given_up:
                reason = f"{asset.deaths} workers died while they worked on nothing else; see the setting max_attempts"
                queue.give_up(connection, asset, f"{asset.path}: {reason}")
        if not room:
            self._leave(chosen.back)
        self._alone = chosen.take[0].id if chosen.alone else None
        for asset in chosen.take:
            pipeline.submit(asset)
        return bool(chosen.take or chosen.given_up)

    def _leave(self, suspects: Sequence[AssetRecord]) -> None:
        for asset in suspects:
            self._passed.note(asset.id, _LEFT_SECONDS)
            _log.warning(
                "%s is left to workers with more memory: others died while they worked on it, and this one has less "
                "than %d MB of address space left (ulimit -v)",
                asset.path,
                ROOM_BYTES // 1024**2,
            )

    def _is_idle(self, pipeline: Stages) -> bool:
        if pipeline.in_flight():
            return False
        with self._database.read() as connection:
            wait = queue.seconds_until_due(connection, self._visible.sources(), self._passed.now())
        return wait is None or wait > _IDLE_PATIENCE_SECONDS

    def _hand_back(self, pipeline: Stages) -> None:
        given_up = pipeline.stop()
        with suppress(CatalogError):  # else the leases run out
            if self._captioner:
                self._captioner.hand_back()
            if given_up:
                with self._database.write() as connection:
                    queue.release(connection, given_up)


class _Meter:
    """Tells the listener, without counting a large catalogue all the time."""

    def __init__(
        self, database: Database, recorder: OutcomeRecorder, pipeline: Stages, listener: ProgressListener | None
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
    """Renews the leases of what is being worked on, from a thread of its own: decoding a film takes hours."""

    def __init__(self, database: Database, settings: Settings, held: Callable[[], queue.Claims]) -> None:
        self._database, self._held = database, held
        self._lease_seconds = settings.lease_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew_all, name="medley-leases", daemon=True)
        self._thread.start()

    def _renew_all(self) -> None:
        while not self._ended.wait(self._lease_seconds / 3):
            claims = self._held()
            # A catalogue that is busy now may answer the next time, before the lease is over.
            with suppress(CatalogError), self._database.write() as connection:
                queue.renew(connection, claims, self._lease_seconds)

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()
