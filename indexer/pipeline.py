"""Decode, encode and write at the same time, with little in between.

Three stages joined by bounded queues: several threads that decode and segment (each with a child
process), one that encodes batches across assets, one that writes batches of finished assets. Whatever
goes wrong with one asset ends that asset only; what goes wrong with the pipeline itself ends it, and
`failure` says why. Knows no catalogue and no queue of work: outcomes go to the writer it was given.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from indexer.decoder import Items
from indexer.embedder import Batch, Batcher, Spaces, embed, image_inputs
from indexer.failures import sort_error
from indexer.intake import Decode, Verdict, path_of
from indexer.items import (
    DecodeRequest,
    Facts,
    Limits,
    Note,
    SegmentDraft,
)
from indexer.segmenter import Segmenter
from indexer.task import MediaCounter, Outcome, StageSeconds, Task, Ticket, named, result_of, segment_of, spaces_of
from search.catalog.records import AssetRecord
from search.errors import (
    LanguageModelError,
    MedleyError,
    PermanentMediaError,
    SpaceError,
    TransientMediaError,
)

WAITING_DRAFTS = 64  # between decoding and encoding: two batches of pictures, 13 MB
WAITING_OUTCOMES = 64
WRITTEN_TOGETHER = 64  # assets in one transaction
_IDLE_SECONDS = 0.05  # nothing came for so long: encode and write what there is


class _Stopped(Exception):
    """The pipeline is being stopped; the asset goes back to the queue."""


@dataclass(frozen=True)
class Work:
    """What the stages do, given by whoever builds the pipeline."""

    receive: Callable[[AssetRecord, Spaces], Verdict]
    check_unchanged: Callable[[AssetRecord], None]
    decode: Callable[[DecodeRequest], Items]
    segmenter: Segmenter
    reading: Segmenter  # of text alone, for assets that are searchable already
    write: Callable[[Sequence[Outcome]], None]
    interrupt: Callable[[], None]  # end the decoding that is going on, now
    limits: Limits
    want_sound_track: bool
    want_text: bool


class Pipeline:
    """Runs from its start until `close` or `stop`. `submit` is for one thread; progress for any."""

    def __init__(self, work: Work, spaces: Callable[[], Spaces], decoding_threads: int) -> None:
        self._work = work
        self._spaces = spaces
        self._inbox: queue.SimpleQueue[AssetRecord | None] = queue.SimpleQueue()
        self._drafts: queue.Queue[tuple[Ticket, SegmentDraft] | None] = queue.Queue(WAITING_DRAFTS)
        self._outcomes: queue.Queue[Outcome | None] = queue.Queue(WAITING_OUTCOMES)
        self._lock = threading.Condition()
        self._in_flight: dict[int, AssetRecord] = {}
        self._stop = threading.Event()
        self._seconds = dict.fromkeys(("decode", "encode", "write"), 0.0)
        self.failure: BaseException | None = None
        self._decoding = [self._thread(self._decode_all, f"decode-{i}") for i in range(decoding_threads)]
        self._encoding = self._thread(self._encode_all, "encode")
        self._writing = self._thread(self._write_all, "write")
        for thread in (*self._decoding, self._encoding, self._writing):
            thread.start()

    def submit(self, asset: AssetRecord) -> None:
        """Take a claimed asset; its outcome will reach the writer unless the pipeline is stopped before."""
        with self._lock:
            self._in_flight[asset.id] = asset
        self._inbox.put(asset)

    def in_flight(self) -> list[int]:
        """Ids of the assets that have no outcome written yet."""
        with self._lock:
            return list(self._in_flight)

    def wait(self, below: int, seconds: float) -> bool:
        """Until fewer than `below` assets are in flight, or the pipeline failed; False when time ran out."""
        with self._lock:
            return self._lock.wait_for(lambda: len(self._in_flight) < below or self.failure is not None, seconds)

    def seconds(self) -> StageSeconds:
        """How busy the stages were."""
        with self._lock:
            return StageSeconds(**self._seconds)

    def close(self) -> None:
        """Finish what was submitted, then end."""
        for _ in self._decoding:
            self._inbox.put(None)
        for thread in self._decoding:
            thread.join()
        for waiting, thread in ((self._drafts, self._encoding), (self._outcomes, self._writing)):
            with suppress(_Stopped):
                self._put(waiting, None)
            thread.join()

    def stop(self) -> list[int]:
        """End soon: what is encoded gets written, the rest is given up. Returns the ids given up."""
        self._stop.set()
        self._work.interrupt()
        self.close()
        return self.in_flight()

    def _decode_all(self) -> None:
        while (asset := self._inbox.get()) is not None:
            if self._stop.is_set():
                continue
            with suppress(_Stopped), self._busy("decode"):
                try:
                    self._receive(asset)
                except (_Stopped, SpaceError, LanguageModelError):
                    raise
                except Exception as error:
                    if self._stop.is_set():
                        raise _Stopped from None
                    self._settle(Outcome(asset, named(sort_error(error), asset)))

    def _receive(self, asset: AssetRecord) -> None:
        spaces = self._spaces()
        verdict = self._work.receive(asset, spaces)
        if isinstance(verdict, Decode):
            self._decode(Task(asset, verdict.content_hash, spaces))
        else:
            self._settle(Outcome(asset, verdict))

    def _decode(self, task: Task) -> None:
        only_reading = task.asset.only_reading
        inputs = {} if only_reading else image_inputs(task.spaces)
        request = DecodeRequest(
            path_of(task.asset),
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
                seen = MediaCounter(items)
                for made in segmenter.segment(seen):
                    self._take(task, made)
            self._work.check_unchanged(task.asset)
            task.unread = seen.unread
            if task.facts is None or (seen.media == 0 and (inputs or request.want_sound_track)):
                raise PermanentMediaError("holds no picture and no sound")
        except _Stopped:
            raise
        except BaseException:
            with self._lock:
                task.over = True  # its drafts need no vectors any more
            raise
        self._advance(task, decoded=True)

    def _take(self, task: Task, made: Facts | Note | SegmentDraft) -> None:
        if self._stop.is_set():
            raise _Stopped
        if isinstance(made, Facts):
            task.facts = made
            task.notes += [made.note] if made.note else []
        elif isinstance(made, Note):
            task.notes.append(made.text)
        else:
            task.languages.add(made)
            with self._lock:
                task.segments.append(None)
                task.waiting += 1
                ticket = Ticket(task, len(task.segments) - 1)
            self._put(self._drafts, (ticket, made))

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
        with self._busy("encode"):
            try:
                vectors = embed(spaces_of(pairs), batch.signal, [draft for _, draft in pairs])
            except MedleyError:
                raise  # the space is at fault, and would be for every file
            except Exception as error:
                if len(pairs) == 1:
                    self._give_up(pairs[0][0].task, error)
                    return
                vectors = None
        if vectors is None:  # find the one that does it
            for ticket, draft in pairs:
                self._encode(Batch(batch.signal, [ticket], [draft]))
            return
        for (ticket, draft), found in zip(pairs, vectors, strict=True):
            ticket.task.segments[ticket.row] = segment_of(draft, found)
            self._advance(ticket.task, encoded=1)

    def _give_up(self, task: Task, error: Exception) -> None:
        with self._lock:
            first, task.over = not task.over, True
        if first:
            what = " ".join(str(error).split())[:300] or type(error).__name__
            self._settle(Outcome(task.asset, TransientMediaError(f"{task.asset.path}: can't be embedded: {what}")))

    def _advance(self, task: Task, encoded: int = 0, decoded: bool = False) -> None:
        """Count what is done; the last step of an asset, whoever takes it, sends its outcome."""
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
                with self._busy("write"):
                    self._work.write(batch)
                with self._lock:
                    for outcome in batch:
                        self._in_flight.pop(outcome.asset.id, None)
                    self._lock.notify_all()

    def _check(self) -> None:
        """Once another thread has failed nothing more may come, not even the end."""
        if self.failure is not None:
            raise _Stopped

    def _put(self, waiting: queue.Queue[Any], entry: object) -> None:
        while self.failure is None:
            with suppress(queue.Full):
                waiting.put(entry, timeout=0.2)
                return
        raise _Stopped  # nobody may be reading any more

    def _thread(self, target: Callable[[], None], name: str) -> threading.Thread:
        return threading.Thread(target=self._guarded, args=(target,), name=f"medley-{name}", daemon=True)

    def _guarded(self, target: Callable[[], None]) -> None:
        try:
            target()
        except _Stopped:
            return
        except BaseException as error:
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
