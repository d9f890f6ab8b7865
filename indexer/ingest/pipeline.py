"""Decode, encode and write at the same time, with little in between.

Three stages joined by bounded queues: several threads that decode and segment (each with a child
process), one that encodes batches across assets, one that writes batches of finished assets. An error of
one asset ends the work on that asset only; an error of the pipeline itself ends the pipeline, and `failure`
says why. Knows no catalogue and no queue of work: outcomes go to the writer it was given.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from indexer.decoding.completeness import Completeness
from indexer.decoding.decoder import Items, limits_of
from indexer.decoding.items import DecodeRequest, Limits, Note, SegmentDraft
from indexer.failures import sort_error
from indexer.ingest.embedder import Batch, Batcher, Spaces, embed, image_inputs
from indexer.ingest.intake import Decode, Intake
from indexer.ingest.task import (
    MediaCounter,
    Outcome,
    StageSeconds,
    Task,
    Ticket,
    named,
    result_of,
    segment_of,
    spaces_of,
)
from indexer.segmenting.segmenter import MakerFactory, Segmenter
from indexer.sources.stores.scratch import scratch_of
from search.catalog.records import AssetRecord
from search.errors import (
    LanguageModelError,
    MachineError,
    MediaError,
    MedleyError,
    PermanentMediaError,
    SpaceError,
    TransientMediaError,
)
from search.results import Kind
from search.runtime import tracing
from search.settings import Settings

WAITING_DRAFTS = 64  # between decoding and encoding: two batches of pictures, 13 MB
WAITING_OUTCOMES = 64
_INTERRUPT_SECONDS = 0.2  # between two attempts to end decoders that were asked to stop
WRITTEN_TOGETHER = 64  # assets in one transaction
_IDLE_SECONDS = 0.05  # after this long without anything new: encode and write what there is


class _Stopped(Exception):
    """The pipeline is being stopped; the asset goes back to the queue."""


Write = Callable[[Sequence[Outcome]], None]


class Stages(Protocol):
    """Whatever turns claimed assets into outcomes, here or on other machines."""

    @property
    def failure(self) -> BaseException | None:
        """What ended it before its time."""

    @property
    def capacity(self) -> int:
        """So many assets in flight keep every stage busy."""

    def submit(self, asset: AssetRecord) -> None:
        """Take a claimed asset; its outcome reaches the writer unless the stages are stopped first."""

    def in_flight(self) -> dict[int, int]:
        """The claim number, by asset id, of what has no outcome written yet."""

    def wait(self, below: int, seconds: float) -> bool:
        """Wait until fewer than `below` assets are in flight or it has failed; False when time ran out."""

    def seconds(self) -> StageSeconds:
        """How long each stage has been busy."""

    def stop(self) -> dict[int, int]:
        """End soon: what is encoded gets written, the rest is given up. Returns the claims given up."""


@dataclass(frozen=True)
class Work:
    """What the stages do, given by the pipeline's owner."""

    intake: Intake
    decode: Callable[[DecodeRequest], Items]
    segmenter: Segmenter
    reading: Segmenter  # of text alone, for assets that are searchable already
    write: Write
    interrupt: Callable[[], None]  # end the decoding that is going on, now
    limits: Limits
    want_sound_track: bool
    want_text: bool

    @classmethod
    def of(
        cls,
        settings: Settings,
        intake: Intake,
        decode: Callable[[DecodeRequest], Items],
        makers: Sequence[MakerFactory],
        reading: Sequence[MakerFactory],
        write: Write,
        interrupt: Callable[[], None] = lambda: None,
    ) -> Work:
        """As the settings say. `makers` make every segment but text in images, which `reading` makes later."""

        def interrupt_all() -> None:
            interrupt()
            scratch_of(settings).interrupt()

        return cls(
            intake=intake,
            decode=decode,
            segmenter=Segmenter(makers),
            reading=Segmenter(reading),
            write=write,
            interrupt=interrupt_all,
            limits=limits_of(settings),
            want_sound_track=settings.speech or settings.sound,
            want_text=bool(reading),
        )


class Pipeline:
    """The three stages, running from `start` until `close` or `stop`.

    `submit` may be called by one thread only, the figures of progress by any.
    """

    def __init__(self, work: Work, spaces: Callable[[], Spaces], decoding_threads: int, capacity: int) -> None:
        self._work = work
        self.capacity = capacity
        self._spaces = spaces
        self._inbox: queue.SimpleQueue[AssetRecord | None] = queue.SimpleQueue()
        self._drafts: queue.Queue[tuple[Ticket, SegmentDraft] | None] = queue.Queue(WAITING_DRAFTS)
        self._outcomes: queue.Queue[Outcome | None] = queue.Queue(WAITING_OUTCOMES)
        self._lock = threading.Condition()
        self._in_flight: dict[int, AssetRecord] = {}
        self._traces: dict[int, tracing.Trace] = {}  # by asset, of those in flight
        self._stop = threading.Event()
        self._seconds = dict.fromkeys(("decode", "encode", "write"), 0.0)
        self.failure: BaseException | None = None
        self._decoding = [self._thread(self._decode_all, f"decode-{i}") for i in range(decoding_threads)]
        self._encoding = self._thread(self._encode_all, "encode")
        self._writing = self._thread(self._write_all, "write")
        for thread in (*self._decoding, self._encoding, self._writing):
            thread.start()

    def submit(self, asset: AssetRecord) -> None:
        """Take a claimed asset; its outcome reaches the writer unless the pipeline is stopped first."""
        with self._lock:
            self._in_flight[asset.id] = asset
            self._traces[asset.id] = tracing.begin("index asset", size_bytes=asset.size_bytes, attempt=asset.attempts)
        self._inbox.put(asset)

    def in_flight(self) -> dict[int, int]:
        """The claim number, by asset id, of what has no outcome written yet."""
        with self._lock:
            return {asset.id: asset.claim_number for asset in self._in_flight.values()}

    def wait(self, below: int, seconds: float) -> bool:
        """Wait until fewer than `below` assets are in flight or the pipeline has failed; False when time ran out."""
        with self._lock:
            return self._lock.wait_for(lambda: len(self._in_flight) < below or self.failure is not None, seconds)

    def seconds(self) -> StageSeconds:
        """How long each stage has been busy."""
        with self._lock:
            return StageSeconds(**self._seconds)

    def close(self) -> None:
        """Finish what was submitted, then end."""
        self._end(lambda: None)

    def stop(self) -> dict[int, int]:
        """End soon: what is encoded gets written, the rest is given up. Returns the claims given up."""
        self._stop.set()
        self._end(self._work.interrupt)
        return self.in_flight()

    def _end(self, interrupt: Callable[[], None]) -> None:
        for _ in self._decoding:
            self._inbox.put(None)
        for thread in self._decoding:
            while thread.is_alive():
                interrupt()  # again and again: a decoder may have been starting the first time
                thread.join(_INTERRUPT_SECONDS)
        for waiting, thread in ((self._drafts, self._encoding), (self._outcomes, self._writing)):
            with suppress(_Stopped):
                self._put(waiting, None)
            thread.join()

    def _decode_all(self) -> None:
        while (asset := self._inbox.get()) is not None:
            if self._stop.is_set():
                continue
            with suppress(_Stopped), self._busy("decode"), self._traces.get(asset.id, tracing.OFF).span("decode"):
                try:
                    self._receive(asset)
                except (_Stopped, SpaceError, LanguageModelError):
                    raise
                except Exception as error:  # noqa: BLE001 - one file must not end the worker
                    if self._stop.is_set():
                        raise _Stopped from None
                    self._settle(Outcome(asset, named(sort_error(error), asset)))

    def _receive(self, asset: AssetRecord) -> None:
        spaces = self._spaces()
        verdict = self._work.intake.receive(asset, spaces)
        if isinstance(verdict, Decode):
            with closing(verdict):
                self._decode(Task(asset, verdict.content_hash, spaces), verdict.path)
        else:
            self._settle(Outcome(asset, verdict))

    def _decode(self, task: Task, path: Path) -> None:
        only_reading = task.asset.only_reading
        inputs = {} if only_reading else image_inputs(task.spaces)
        request = DecodeRequest(
            path,
            self._work.limits,
            inputs,
            want_sound_track=self._work.want_sound_track and not only_reading,
            want_text=self._work.want_text,
            text_now=only_reading,
        )
        segmenter = self._work.reading if only_reading else self._work.segmenter
        try:
            # Closed at once, so that the child of a file given up half-way is free (and dead) before the next.
            with closing(self._work.decode(request)) as items:
                seen, completeness = MediaCounter(items), Completeness(request)
                for made in segmenter.segment(completeness.watch(seen)):
                    if self._stop.is_set():
                        raise _Stopped
                    if isinstance(made, Note):
                        completeness.add(made)
                    elif isinstance(made, SegmentDraft):
                        self._take(task, made)
            self._work.intake.check_unchanged(task.asset)
            task.unread = seen.unread
            task.account = account = completeness.finish()
            is_document = account is not None and account.facts.kind is Kind.DOCUMENT  # words may be all it has
            if account is None or (seen.media == 0 and not is_document and (inputs or request.want_sound_track)):
                raise PermanentMediaError("holds no picture and no sound")
        except _Stopped:
            raise
        except BaseException as error:
            with self._lock:
                task.over = True  # its drafts need no vectors any more
            if isinstance(error, MediaError):
                raise named(error, task.asset, path) from None
            raise
        self._advance(task, decoded=True)

    def _take(self, task: Task, draft: SegmentDraft) -> None:
        task.languages.add(draft)
        with self._lock:
            task.segments.append(None)
            task.waiting += 1
            ticket = Ticket(task, len(task.segments) - 1)
        self._put(self._drafts, (ticket, draft))

    def _encode_all(self) -> None:
        batcher: Batcher[Ticket] = Batcher(time.monotonic)
        open_ = True
        while open_:
            try:
                entry = self._drafts.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                self._check()
                batches = batcher.flush()
            else:
                batches = batcher.flush() if entry is None else batcher.add(*entry)
                open_ = entry is not None
            for batch in batches:
                self._encode(batch)

    def _encode(self, batch: Batch[Ticket]) -> None:
        pairs = [(t, d) for t, d in zip(batch.tickets, batch.drafts, strict=True) if not t.task.over]
        if not pairs:
            return
        began_ns = tracing.now_ns()
        with self._busy("encode"):
            try:
                vectors = embed(spaces_of(pairs), batch.signal, [draft for _, draft in pairs])
            except MedleyError:
                raise  # the space is at fault, and would be for every file
            except Exception as error:  # noqa: BLE001 - what breaks on one item must not lose the batch
                if len(pairs) == 1:
                    self._give_up(pairs[0][0].task, error)
                    return
                vectors = None
        if vectors is None:  # find the one that does it
            for ticket, draft in pairs:
                self._encode(Batch(batch.signal, [ticket], [draft]))
            return
        for asset_id in {ticket.task.asset.id for ticket, _ in pairs}:
            self._traces.get(asset_id, tracing.OFF).add("encode", began_ns, signal=batch.signal, batch=len(pairs))
        for (ticket, draft), by_space in zip(pairs, vectors, strict=True):
            ticket.task.segments[ticket.row] = segment_of(draft, by_space)
            self._advance(ticket.task, encoded=1)

    def _give_up(self, task: Task, error: Exception) -> None:
        with self._lock:
            first, task.over = not task.over, True
        if first:
            sorted_error = sort_error(error)
            what = " ".join(str(error).split())[:300] or type(error).__name__
            kind = MachineError if isinstance(sorted_error, MachineError) else TransientMediaError
            self._settle(Outcome(task.asset, kind(f"{task.asset.path}: can't be embedded: {what}")))

    def _advance(self, task: Task, encoded: int = 0, decoded: bool = False) -> None:
        """Count a finished step; the last step of an asset sends its outcome."""
        with self._lock:
            task.waiting -= encoded
            task.decoded |= decoded
            if task.over or not task.decoded or task.waiting:
                return
            task.over = True
        self._settle(Outcome(task.asset, result_of(task)))

    def _settle(self, outcome: Outcome) -> None:
        self._put(self._outcomes, outcome)

    def _write_all(self) -> None:
        open_ = True
        while open_:
            batch: list[Outcome] = []
            with suppress(queue.Empty):
                while len(batch) < WRITTEN_TOGETHER and (outcome := self._outcomes.get(timeout=_IDLE_SECONDS)):
                    batch.append(outcome)
                open_ = len(batch) == WRITTEN_TOGETHER
            if not batch:
                self._check()
            if batch:
                began_ns = tracing.now_ns()
                with self._busy("write"):
                    self._work.write(batch)
                with self._lock:
                    for outcome in batch:
                        self._in_flight.pop(outcome.asset.id, None)
                        trace = self._traces.pop(outcome.asset.id, tracing.OFF)
                        trace.add("write", began_ns, batch=len(batch))
                        trace.end(type(outcome.result).__name__)
                    self._lock.notify_all()

    def _check(self) -> None:
        """Raise _Stopped once another thread has failed: nothing may be sent any more, not even the end."""
        if self.failure is not None:
            raise _Stopped

    def _put(self, waiting: queue.Queue[Any], entry: object) -> None:
        while self.failure is None:
            with suppress(queue.Full):
                waiting.put(entry, timeout=0.2)
                return
        raise _Stopped  # the reader may be gone

    def _thread(self, target: Callable[[], None], name: str) -> threading.Thread:
        return threading.Thread(target=self._guarded, args=(target,), name=f"medley-{name}", daemon=True)

    def _guarded(self, target: Callable[[], None]) -> None:
        try:
            target()
        except _Stopped:
            return
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits for this one
            with self._lock:
                self.failure = self.failure or error
                self._lock.notify_all()
            self._stop.set()

    @contextmanager
    def _busy(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._seconds[stage] += time.perf_counter() - started
