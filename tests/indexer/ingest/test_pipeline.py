"""The pipeline: stages overlap, memory stays bounded, failures stay with their asset, stops hand back."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from support.library import Library
from support.waiting import until

from indexer.decoding.decoder import DecoderPool, Items
from indexer.decoding.items import (
    Decoded,
    DecodedItem,
    DecodeRequest,
    Facts,
    Note,
    Part,
    PictureItem,
    Promised,
    SegmentDraft,
    SoundItem,
)
from indexer.ingest import pipeline as pipeline_module
from indexer.ingest.embedder import Batcher, embed
from indexer.ingest.intake import Later
from indexer.ingest.recorder import Quarantine, Recorder, Retry, retry_seconds
from indexer.ingest.suspects import choose
from indexer.ingest.task import Outcome
from indexer.ingest.worker import Progress
from indexer.segmenting.segmenter import PictureMaker
from search.catalog import queue
from search.catalog.database import Database
from search.catalog.records import AssetFacts, AssetRecord
from search.catalog.states import NoteKind
from search.errors import MachineError, PermanentMediaError, SpaceError, TransientMediaError, UnavailableError
from search.results import Kind
from search.runtime.room import has_room
from search.settings import Settings
from search.signals import Signal
from search.spaces.inputs import SAMPLE_RATE_HZ
from search.testing import WordSpace

MORE_THAN_ATTEMPTS = 5  # a file is quarantined at its fourth failure
LACKS = [
    MemoryError(),
    RuntimeError("can't start new thread"),
    OSError(errno.EMFILE, "Too many open files"),
]


@pytest.fixture
def library(settings: Settings, sqlite_url: str, tmp_path: Path) -> Iterator[Library]:
    database = Database.open(sqlite_url)
    with DecoderPool(settings, size=2) as pool:
        yield Library(database, settings, tmp_path / "media", pool)
    database.close()


def fill(library: Library, count: int) -> None:
    """Files that a fake decoder need not read."""
    for number in range(count):
        (library.root / f"{number}.jpg").write_bytes(f"file {number}".encode())
    library.scan()


def picture_items(request: DecodeRequest, frames: int = 1) -> Items:
    yield Facts(Kind.IMAGE, AssetFacts(width=8, height=8), Promised({Part.PICTURE: 1}))
    for number in range(frames):
        pictures = {space: np.full((8, 8, 3), number % 256, np.uint8) for space in request.image_inputs}
        yield PictureItem(Signal.IMAGE, pictures)


class SlowSpace(WordSpace):
    """Takes its time for a batch, and remembers its batches."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds
        self.batches: list[int] = []

    def embed(self, signal: Signal, items: Sequence[Any]) -> np.ndarray:
        self.batches.append(len(items))
        # Sleeping stands for computing, which a busy machine would make longer.
        time.sleep(self.seconds * len(items))
        return super().embed(signal, items)


def test_all_stages_are_busy_at_once(library: Library) -> None:
    """Decoding takes as long as encoding here; one after the other would take twice as long."""
    fill(library, 160)
    library.space = SlowSpace(0.02)

    def decode(request: DecodeRequest) -> Items:
        time.sleep(0.04)  # with two threads: 0.02 s a file
        yield from picture_items(request)

    library.decode = decode
    stages: list[Progress] = []
    began = time.monotonic()
    library.worker().run(threading.Event(), until_idle=True, listener=stages.append)
    seconds = time.monotonic() - began
    assert library.counts().indexed == 160
    busy = stages[-1].stages
    assert busy.encode >= 160 * 0.02
    assert seconds < 0.75 * (busy.decode / 2 + busy.encode) + 0.5


def test_batches_hold_segments_of_many_assets(library: Library) -> None:
    fill(library, 64)
    library.space = space = SlowSpace(0.002)
    library.decode = picture_items
    library.work()
    assert sum(space.batches) == 64
    assert max(space.batches) >= 16


def test_what_waits_between_the_stages_is_bounded(library: Library) -> None:
    """A film of 2,000 frames and an encoder that is slow: the decoder waits instead of filling the memory."""
    fill(library, 1)
    ahead = 0
    made = 0

    class Counting(SlowSpace):
        def embed(self, signal: Signal, items: Sequence[Any]) -> np.ndarray:
            nonlocal ahead
            result = super().embed(signal, items)
            ahead = max(ahead, made - sum(self.batches))
            return result

    def decode(request: DecodeRequest) -> Items:
        nonlocal made
        for item in picture_items(request, frames=2000):
            made += isinstance(item, PictureItem)
            yield item

    library.space = Counting(0.0001)
    library.decode = decode
    library.work()
    assert library.counts().segments == {"image": 2000}
    assert ahead <= pipeline_module.WAITING_DRAFTS + 2


def test_segments_keep_their_order_and_times(library: Library) -> None:
    fill(library, 1)

    def decode(request: DecodeRequest) -> Items:
        yield Facts(Kind.VIDEO, AssetFacts(duration_seconds=100.0), Promised({Part.PICTURE_TRACK: 1}))
        for second in range(100):
            pictures = {space: np.zeros((8, 8, 3), np.uint8) for space in request.image_inputs}
            yield PictureItem(Signal.FRAME, pictures, float(second), second + 1.0)

    library.decode = decode
    library.work()
    (asset,) = library.all().values()
    assert [segment.start_seconds for segment in library.segments(asset)] == [float(second) for second in range(100)]


def test_notes_and_languages_reach_the_asset(library: Library) -> None:
    fill(library, 1)

    class Speaker:
        def feed(self, item: DecodedItem) -> Iterable[SegmentDraft]:
            if isinstance(item, SoundItem):
                yield SegmentDraft(Signal.SPEECH, 0.0, 10.0, "guten Tag", {"language": "de"})
                yield SegmentDraft(Signal.SPEECH, 10.0, 12.0, "hello", {"language": "en"})

        def finish(self) -> Iterable[Note]:
            yield Note(NoteKind.WORDS, "3 seconds were not understood")

    def decode(request: DecodeRequest) -> Items:
        yield Facts(Kind.AUDIO, AssetFacts(duration_seconds=12.0), Promised({Part.SOUND_TRACK: 3}))
        yield Decoded(part=Part.SOUND_TRACK, count=2, share=0, why="silent")
        yield SoundItem(np.ones(12 * SAMPLE_RATE_HZ, np.float32), 0.0)
        yield Decoded(part=Part.SOUND_TRACK)

    library.makers = (PictureMaker, Speaker)
    library.decode = decode
    library.work()
    (asset,) = library.all().values()
    assert asset.language == "de"
    assert asset.note == "2 of 3 sound tracks left out (silent); 3 seconds were not understood"
    assert asset.note_kinds == "tracks,words"
    assert library.counts().noted_by_kind == {"tracks": 1, "words": 1}
    assert [segment.text for segment in library.segments(asset)] == ["guten Tag", "hello"]
    assert len(library.vectors(Signal.SPEECH)) == 2


class TestFailures:
    def test_stay_with_their_asset(self, library: Library) -> None:
        fill(library, 20)

        def decode(request: DecodeRequest) -> Items:
            yield from picture_items(request, frames=3)
            if request.path.name == "7.jpg":
                raise PermanentMediaError("broken in the middle")

        library.decode = decode
        library.work()
        assets = library.all()
        assert assets[b"7.jpg"].status == "quarantined"
        assert assets[b"7.jpg"].error == f"{library.root}/7.jpg: broken in the middle"
        assert library.counts().indexed == 19
        assert library.counts().segments == {"image": 57}  # none of the broken one's

    def test_an_item_that_an_encoder_can_not_take_is_found_in_its_batch(self, library: Library) -> None:
        fill(library, 40)

        class Picky(WordSpace):
            def embed(self, signal: Signal, items: Sequence[Any]) -> np.ndarray:
                if any(item.max() == 13 for item in items):
                    raise RuntimeError("CUDA error: unlucky")
                return super().embed(signal, items)

        def decode(request: DecodeRequest) -> Items:
            number = int(request.path.stem)
            yield Facts(Kind.IMAGE, AssetFacts(), Promised({Part.PICTURE: 1}))
            yield PictureItem(
                Signal.IMAGE, {space: np.full((8, 8, 3), number % 256, np.uint8) for space in request.image_inputs}
            )

        library.space = Picky()
        library.decode = decode
        library.work()
        assets = library.all()
        assert library.counts().indexed == 39
        assert "can't be embedded: CUDA error: unlucky" in (assets[b"13.jpg"].error or "")

    def test_a_space_that_fails_stops_the_worker_and_blames_no_file(self, library: Library) -> None:
        fill(library, 5)

        class Broken(WordSpace):
            def embed(self, signal: Signal, items: Sequence[Any]) -> np.ndarray:
                raise SpaceError("the weights are gone")

        library.space = Broken()
        library.decode = picture_items
        with pytest.raises(SpaceError, match="the weights are gone"):
            library.work()
        counts = library.counts()
        assert (counts.pending, counts.quarantined, counts.working) == (5, 0, 0)
        assert {asset.attempts for asset in library.all().values()} == {0}

    @pytest.mark.parametrize("error", LACKS)
    def test_a_machine_without_memory_for_an_encoder_blames_no_file(self, library: Library, error: Exception) -> None:
        fill(library, 3)
        calls = itertools.count()

        class Starved(WordSpace):
            def embed(self, signal: Signal, items: Sequence[Any]) -> np.ndarray:
                if next(calls) < 4 * MORE_THAN_ATTEMPTS:  # one batch, then each of three
                    raise error
                return super().embed(signal, items)

        library.space = Starved()
        library.decode = picture_items
        assert library.work().quarantined == 0
        assert library.counts().indexed == 3

    @pytest.mark.parametrize("error", [*LACKS, UnavailableError("a decoder process did not start")])
    def test_a_machine_that_cannot_decode_now_blames_no_file(self, library: Library, error: Exception) -> None:
        fill(library, 1)
        calls = itertools.count()

        def decode(request: DecodeRequest) -> Items:
            if next(calls) < MORE_THAN_ATTEMPTS:
                raise error
            yield from picture_items(request)

        library.decode = decode
        assert library.work().quarantined == 0
        assert library.counts().indexed == 1

    @pytest.mark.parametrize("error", LACKS)
    def test_a_machine_without_memory_for_what_is_said_or_written_blames_no_file(
        self, library: Library, error: Exception
    ) -> None:
        fill(library, 1)
        calls = itertools.count()

        class Starved(PictureMaker):
            def finish(self) -> Iterable[SegmentDraft]:
                if next(calls) < MORE_THAN_ATTEMPTS:
                    raise error
                return ()

        library.makers = (Starved,)
        library.decode = picture_items
        assert library.work().quarantined == 0
        assert library.counts().indexed == 1

    def test_a_file_with_nothing_in_it_is_no_success(self, library: Library) -> None:
        fill(library, 1)
        library.decode = _only_facts
        library.work()
        (asset,) = library.all().values()
        assert "holds no picture and no sound" in (asset.error or "")

    def test_vectors_that_are_not_numbers_are_left_out(self) -> None:
        class Dizzy(WordSpace):
            def embed(self, signal: Signal, items: Sequence[Any]) -> np.ndarray:
                vectors = super().embed(signal, items)
                vectors[0, 0] = np.nan
                return vectors

        drafts = [SegmentDraft(Signal.TEXT, None, None, text) for text in ("one", "two")]
        first, second = embed({1: Dizzy()}, Signal.TEXT, drafts)
        assert first == {}
        assert 1 in second


def _only_facts(_: DecodeRequest) -> Items:
    yield Facts(Kind.VIDEO, AssetFacts(), Promised({Part.PICTURE_TRACK: 1}))


class TestStopping:
    def test_hands_back_what_is_not_finished(self, library: Library) -> None:
        fill(library, 10)
        stop, begun = threading.Event(), threading.Event()

        def decode(request: DecodeRequest) -> Items:
            yield Facts(Kind.IMAGE, AssetFacts(), Promised({Part.PICTURE: 1}))
            for item in picture_items(request, frames=10_000):
                begun.set()
                stop.wait(10)
                yield item

        library.decode = decode
        worker = threading.Thread(target=lambda: library.worker().run(stop))
        worker.start()
        assert begun.wait(10)
        stop.set()
        worker.join(10)
        assert not worker.is_alive()
        assert library.counts().pending == 10
        assert {(asset.attempts, asset.lease_owner) for asset in library.all().values()} == {(0, None)}

    def test_does_not_wait_for_a_decoder_that_is_stuck(self, library: Library) -> None:
        fill(library, 1)
        endless = library.root / "endless.pipe"  # a pipe that nobody writes to: whoever opens it waits
        os.mkfifo(endless)
        stop, asked = threading.Event(), threading.Event()

        def decode(request: DecodeRequest) -> Items:
            asked.set()
            yield from library.pool.decode(dataclasses.replace(request, path=endless))

        library.decode = decode
        worker = library.worker()
        thread = threading.Thread(target=lambda: worker.run(stop))
        thread.start()
        assert asked.wait(30)
        stop.set()
        thread.join(10)
        assert not thread.is_alive()
        assert library.counts().pending == 1

    def test_leases_are_kept_while_a_film_is_decoded(self, library: Library) -> None:
        fill(library, 1)
        library.settings = msgspec.structs.replace(library.settings, lease_seconds=0.6)
        stolen: list[AssetRecord] = []

        def is_past(moment: float) -> bool:
            return time.time() > moment

        def decode(request: DecodeRequest) -> Items:
            for item in picture_items(request, frames=4):
                ends = library.all()[b"0.jpg"].lease_expires_at
                assert ends is not None
                until(partial(is_past, ends))  # it would be over now, had nobody renewed it
                with library.database.write() as connection:
                    stolen.extend(queue.claim(connection, "thief", 10, 60))
                yield item

        library.decode = decode
        library.work()
        assert not stolen
        assert library.counts().indexed == 1

    def test_a_lost_lease_writes_nothing(self, library: Library) -> None:
        fill(library, 1)

        stop, once = threading.Event(), threading.Event()

        def decode(request: DecodeRequest) -> Items:
            if once.is_set():
                stop.set()  # its first outcome is behind it
            once.set()
            yield from picture_items(request)
            library.root.joinpath("0.jpg").write_bytes(b"changed while it was decoded")
            library.scan()

        library.decode = decode
        library.worker().run(stop)
        assert library.counts().segments == {}


class TestDecisions:
    @pytest.fixture
    def recorder(self, library: Library) -> Recorder:
        return Recorder(library.database, library.settings, jitter=lambda: 0.0)

    @pytest.fixture
    def asset(self, library: Library) -> AssetRecord:
        fill(library, 1)
        return next(iter(library.all().values()))

    def test_waits_double(self) -> None:
        assert [retry_seconds(attempts, 5.0, 0.0) for attempts in (1, 2, 3)] == [5.0, 10.0, 20.0]
        assert retry_seconds(1, 5.0, 0.999) < 6.3

    def test_transient_failures_are_tried_again_then_quarantined(self, recorder: Recorder, asset: AssetRecord) -> None:
        error = TransientMediaError("x: not now")
        first = msgspec.structs.replace(asset, attempts=1)
        last = msgspec.structs.replace(asset, attempts=4)
        assert recorder.decide(Outcome(first, error)) == Retry("x: not now", 0.05, counts=True)
        assert recorder.decide(Outcome(last, error)) == Quarantine("x: not now (tried 4 times)")

    def test_what_the_machine_lacks_never_counts_and_is_waited_for_longer_each_time(
        self, recorder: Recorder, asset: AssetRecord
    ) -> None:
        outcome = Outcome(msgspec.structs.replace(asset, attempts=9), MachineError("x: no memory"))
        waits = []
        for _ in range(40):
            decision = recorder.decide(outcome)
            assert isinstance(decision, Retry)
            assert not decision.counts
            waits.append(decision.wait_seconds)
            recorder.write([outcome])
        assert waits[:3] == [0.05, 0.1, 0.2]
        assert max(waits) == 3600.0
        recorder.write([Outcome(asset, Later(5.0, "young"))])
        assert recorder.decide(outcome) == Retry("x: no memory", 0.05, counts=False)

    def test_permanent_failures_are_quarantined_at_once(self, recorder: Recorder, asset: AssetRecord) -> None:
        first = msgspec.structs.replace(asset, attempts=1)
        assert recorder.decide(Outcome(first, PermanentMediaError("x: no"))) == Quarantine("x: no")

    def test_waiting_for_a_file_to_settle_is_no_failure(self, recorder: Recorder, asset: AssetRecord) -> None:
        late = msgspec.structs.replace(asset, attempts=9)
        assert recorder.decide(Outcome(late, Later(5.0, "young"))) == Retry("young", 5.0, counts=False)

    def test_what_may_kill_workers_is_worked_on_alone(self, asset: AssetRecord) -> None:
        fresh = msgspec.structs.replace(asset, id=1, attempts=1)
        suspect = msgspec.structs.replace(asset, id=2, takeovers=2)
        hopeless = msgspec.structs.replace(asset, id=3, takeovers=6, deaths=4)
        chosen = choose([fresh, suspect, hopeless], 4, busy=False)
        assert (list(chosen.take), list(chosen.back), list(chosen.given_up)) == ([suspect], [fresh], [hopeless])
        assert chosen.alone
        assert not choose([fresh, suspect], 4, busy=True).take
        assert list(choose([fresh], 4, busy=True).take) == [fresh]

    def test_a_worker_that_might_die_of_any_file_leaves_suspects_to_others(self, asset: AssetRecord) -> None:
        fresh = msgspec.structs.replace(asset, id=1, attempts=1)
        suspect = msgspec.structs.replace(asset, id=2, takeovers=2)
        chosen = choose([fresh, suspect], 4, busy=False, has_room=False)
        assert (list(chosen.take), list(chosen.back), chosen.alone) == ([fresh], [suspect], False)
        assert has_room(1)
        assert not has_room(2**47)


class TestBatcher:
    def test_a_batch_goes_when_it_is_full(self) -> None:
        batcher: Batcher[int] = Batcher(lambda: 0.0)
        batches = [batcher.add(number, SegmentDraft(Signal.IMAGE, None, None)) for number in range(33)]
        assert [len(due) for due in batches].count(1) == 1
        assert list(batches[31][0].tickets) == list(range(32))
        (rest,) = batcher.flush()
        assert list(rest.tickets) == [32]

    def test_a_rare_signal_does_not_wait_for_ever(self) -> None:
        now = 0.0
        batcher: Batcher[int] = Batcher(lambda: now, patience_seconds=1.0)
        assert not batcher.add(1, SegmentDraft(Signal.TEXT, None, None, "rare"))
        now = 0.5
        assert not batcher.add(2, SegmentDraft(Signal.IMAGE, None, None))
        now = 1.2
        (due,) = batcher.add(3, SegmentDraft(Signal.IMAGE, None, None))
        assert due.signal is Signal.TEXT
