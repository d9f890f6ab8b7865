"""Images and sounds are captioned once everything else is done, and a library is whole without captions."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image, ImageDraw
from sqlalchemy import select, update
from support.library import Library
from support.media import tone, write_wav
from support.processes import environment
from support.waiting import until

from indexer.decoding.decoder import DecoderPool, Items
from indexer.decoding.items import DecodeRequest, PictureItem, SegmentDraft, SoundItem
from indexer.indexer import Indexer
from indexer.ingest import captioner as captioner_module
from indexer.ingest.caption_choice import CaptionChooser
from indexer.ingest.captioner import PAGE_LETTERS, Captioner, described, likeliest
from indexer.ingest.worker import Worker
from indexer.segmenting.segmenter import PictureMaker
from indexer.segmenting.sound import SoundSegmenter
from indexer.sources.scan import scan_source
from search.catalog import assets, sources
from search.catalog.database import Database
from search.catalog.models import asset as asset_table
from search.catalog.segments import segments_of_assets
from search.errors import LanguageModelError, MachineError, SpaceError, TransientMediaError
from search.multimodal.vision import fitting_adapter
from search.settings import Settings
from search.signals import Signal
from search.spaces.inputs import ImageInput, Picture, Waveform


class Killed(BaseException):
    """Ends a worker as a kill for want of memory does."""


def niceness() -> int:
    """Of this thread, on Linux."""
    return os.getpriority(os.PRIO_PROCESS, 0)


class ColourDescriber:
    """Names the colour that a picture has most of."""

    image_input = ImageInput(side=32, fit="squash")

    def __init__(self, problem: BaseException | None = None, of: str = "") -> None:
        """`problem` is raised for a picture `of` this colour, or for any."""
        self.asked: list[int] = []
        self.niceness: list[int] = []
        self._problem = problem
        self._of = of

    def captions(self, pictures: Sequence[Picture]) -> list[list[str]]:
        self.asked.append(len(pictures))
        self.niceness.append(niceness())
        colours = [("red", "green", "blue")[int(picture.mean((0, 1)).argmax())] for picture in pictures]
        if self._problem and (not self._of or self._of in colours):
            raise self._problem
        assert all(picture.shape == (32, 32, 3) for picture in pictures)
        return [[f"All {colour}.", "A wall."] for colour in colours]


class PitchDescriber:
    """Names the strongest frequency of a sound."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def captions(self, sounds: Sequence[Waveform]) -> list[list[str]]:
        self.asked.append(len(sounds))
        return [[f"A tone of {np.abs(np.fft.rfft(sound)).argmax() * 16000 / len(sound):.0f} Hz."] for sound in sounds]


@dataclass(frozen=True)
class Heads:
    """The senses of a model of these tests."""

    vision: ColourDescriber
    hearing: PitchDescriber | None = None


class Listener:
    """Takes any sound that is low for speech."""

    def feed(self, item: object) -> Iterator[SegmentDraft]:
        if isinstance(item, SoundItem) and np.abs(np.diff(item.waveform)).max() < 0.2:
            yield SegmentDraft(Signal.SPEECH, 0.0, 1.0, text="a low voice")

    def finish(self) -> Iterator[SegmentDraft]:
        return iter(())


@pytest.fixture
def library(database: Database, settings: Settings, tmp_path: Path) -> Iterator[Library]:
    with DecoderPool(settings, size=2) as pool:
        yield Library(database, settings, tmp_path / "media", pool)


def work(library: Library, describer: ColourDescriber, hearing: PitchDescriber | None = None) -> None:
    library.scan()
    spaces = {library.space_id: library.space}
    worker = Worker.here(
        library.settings,
        library.database,
        lambda: spaces,
        library.pool.decode,
        library.makers,
        senses=Heads(describer, hearing),
    )
    worker.run(threading.Event(), until_idle=True)


def captioner(
    library: Library,
    owner: str,
    describer: ColourDescriber | None = None,
    decode: Callable[[DecodeRequest], Items] | None = None,
    free: Callable[[], int | None] = lambda: None,
) -> Captioner:
    senses = Heads(describer or ColourDescriber())
    return Captioner(
        library.settings, library.database, senses, decode or library.pool.decode, likeliest, owner, free=free
    )


def captions(library: Library) -> dict[bytes, str | None]:
    return {name: asset.caption for name, asset in library.all().items()}


def test_images_get_a_caption_when_they_are_searchable(library: Library) -> None:
    for colour in ("red", "green", "blue"):
        Image.new("RGB", (64, 48), colour).save(library.root / f"{colour}.png")
    describer = ColourDescriber()
    work(library, describer)
    assert captions(library) == {b"red.png": "All red.", b"green.png": "All green.", b"blue.png": "All blue."}
    assert describer.asked == [2, 1]  # few together, and each once
    work(library, describer)
    assert describer.asked == [2, 1]


@pytest.mark.parametrize(("free", "asked"), [(100 * 1024**2, []), (8 * 1024**3, [1]), (None, [1])])
def test_no_captions_are_made_where_memory_is_short(
    library: Library, free: int | None, asked: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    Image.new("RGB", (64, 48), "red").save(library.root / "one.png")
    library.index()
    describer = ColourDescriber()
    caplog.set_level(logging.INFO)
    captioning = captioner(library, "me", describer, free=lambda: free)
    assert [captioning.caption_some(), captioning.caption_some()] == [len(asked), 0]
    assert caplog.text.count("no captions are made until 2048 MB of memory are free") == (not asked)
    assert describer.asked == asked


def test_a_copy_of_a_captioned_image_has_its_caption(library: Library) -> None:
    Image.new("RGB", (64, 48), "red").save(library.root / "one.png")
    describer = ColourDescriber()
    work(library, describer)
    (library.root / "two.png").write_bytes((library.root / "one.png").read_bytes())
    work(library, describer)
    assert captions(library) == {b"one.png": "All red.", b"two.png": "All red."}
    assert describer.asked == [1]


def test_sounds_get_a_caption_unless_somebody_speaks(library: Library) -> None:
    library.makers = (PictureMaker, SoundSegmenter, Listener)
    write_wav(library.root / "high.wav", tone(4.0, 1500.0))
    write_wav(library.root / "voice.wav", tone(4.0, 200.0))
    write_wav(library.root / "quiet.wav", np.zeros(4 * 16000, np.float32))
    Image.new("RGB", (64, 48), "red").save(library.root / "one.png")
    hearing = PitchDescriber()
    work(library, ColourDescriber(), hearing)
    told = {b"high.wav": "A tone of 1500 Hz.", b"voice.wav": "", b"quiet.wav": "", b"one.png": "All red."}
    assert captions(library) == told
    assert hearing.asked == [1]
    work(library, ColourDescriber(), hearing)
    assert hearing.asked == [1]  # what got none is not asked for again


class Reads:
    """Reads a page in what is blue, and a sign in what is red."""

    def feed(self, item: object) -> Iterator[SegmentDraft]:
        if isinstance(item, PictureItem):
            red, _, blue = np.asarray(next(iter(item.pictures.values()))).reshape(-1, 3).mean(axis=0)
            yield SegmentDraft(Signal.TEXT, None, None, text="a" * (PAGE_LETTERS - int(red > blue)))

    def finish(self) -> Iterator[SegmentDraft]:
        return iter(())


def test_pages_get_no_caption_and_photos_with_a_sign_do(library: Library) -> None:
    library.makers = (PictureMaker, Reads)
    Image.new("RGB", (64, 48), "blue").save(library.root / "page.png")
    Image.new("RGB", (64, 48), "red").save(library.root / "sign.png")
    work(library, ColourDescriber())
    assert captions(library) == {b"page.png": "", b"sign.png": "All red."}


def test_the_longest_stretch_is_what_is_described(library: Library) -> None:
    library.makers = (SoundSegmenter,)
    pause = np.zeros(3 * 16000, np.float32)
    write_wav(library.root / "two.wav", np.concatenate([tone(2.0, 800.0), pause, tone(6.0, 2400.0), pause]))
    work(library, ColourDescriber(), PitchDescriber())
    assert captions(library) == {b"two.wav": "A tone of 2400 Hz."}


def test_without_a_resampler_sounds_wait(library: Library) -> None:
    library.makers = (SoundSegmenter,)
    write_wav(library.root / "high.wav", tone(4.0, 1500.0))
    work(library, ColourDescriber())
    assert captions(library) == {b"high.wav": None}


@pytest.mark.parametrize(
    "problem", [LanguageModelError("its weights are gone"), RuntimeError("CUDA error"), MemoryError()]
)
def test_without_a_model_that_works_everything_is_indexed_and_nothing_captioned(
    library: Library, problem: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    Image.new("RGB", (64, 48), "red").save(library.root / "one.png")
    describer = ColourDescriber(problem)
    work(library, describer)
    assert library.counts().indexed == 1
    assert captions(library) == {b"one.png": None}
    assert "no captions are made: " in caplog.text
    assert describer.asked == [1]  # not by this worker again
    assert captioner(library, "another").caption_some() == 1  # at once: the lease was handed back
    assert captions(library) == {b"one.png": "All red."}


def test_a_picture_that_ends_its_workers_stays_without_words_and_takes_no_other_its_caption(library: Library) -> None:
    for colour in ("red", "green", "blue"):
        Image.new("RGB", (64, 48), colour).save(library.root / f"{colour}.png")
    library.index()
    deaths = 0
    for number in range(30):
        try:
            if not captioner(library, f"worker {number}", ColourDescriber(Killed(), "green")).caption_some():
                break
        except Killed:
            deaths += 1
            with library.database.write() as connection:  # its lease runs out
                held = asset_table.c.lease_owner.is_not(None)
                connection.execute(update(asset_table).where(held).values(lease_expires_at=0.0))
    assert captions(library) == {b"red.png": "All red.", b"green.png": "", b"blue.png": "All blue."}
    assert deaths <= 2 + library.settings.max_attempts


def test_a_stop_ends_captioning_before_the_model_is_asked_and_hands_the_claims_back(library: Library) -> None:
    Image.new("RGB", (64, 48), "red").save(library.root / "one.png")
    library.index()
    stop = threading.Event()

    def decode(request: DecodeRequest) -> Items:
        stop.set()
        return library.pool.decode(request)

    describer = ColourDescriber()
    Worker.here(library.settings, library.database, dict, decode, senses=Heads(describer)).run(stop)
    assert describer.asked == []
    assert captioner(library, "another").caption_some() == 1
    assert captions(library) == {b"one.png": "All red."}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere niceness is the whole process's")
def test_the_model_yields_to_everything_else_and_nothing_else_does(library: Library) -> None:
    Image.new("RGB", (64, 48), "red").save(library.root / "one.png")
    library.index()
    before = niceness()
    decoding: list[int] = []

    def decode(request: DecodeRequest) -> Items:
        decoding.append(niceness())
        return library.pool.decode(request)

    describer = ColourDescriber()
    captioner(library, "me", describer, decode).caption_some()
    assert describer.niceness == [min(before + 5, 19)]
    assert [*decoding, niceness()] == [before, before]


def test_the_lease_is_kept_while_a_slow_machine_captions(library: Library) -> None:
    Image.new("RGB", (64, 48), "red").save(library.root / "one.png")
    library.index()
    library.settings = msgspec.structs.replace(library.settings, lease_seconds=0.3)

    def lease() -> float | None:
        with library.database.read() as connection:
            return connection.scalar(select(asset_table.c.lease_expires_at))

    class Slow(ColourDescriber):
        def captions(self, pictures: Sequence[Picture]) -> list[list[str]]:
            first = lease()
            until(lambda: lease() != first)
            return super().captions(pictures)

    work(library, Slow())
    assert captions(library) == {b"one.png": "All red."}


def test_a_file_that_is_gone_is_tried_again_later(library: Library) -> None:
    path = library.root / "one.png"
    Image.new("RGB", (64, 48), "red").save(path)
    library.index()
    path.rename(path.with_suffix(".away"))
    describer = ColourDescriber()
    spaces = {library.space_id: library.space}
    worker = Worker.here(
        library.settings, library.database, lambda: spaces, library.pool.decode, senses=Heads(describer)
    )
    worker.run(threading.Event(), until_idle=True)
    assert (captions(library), describer.asked) == ({b"one.png": None}, [])


class BlindDescriber(ColourDescriber):
    """Its encoder can't be opened."""

    @property
    def image_input(self) -> ImageInput:  # type: ignore[override]
        raise SpaceError("its encoder is gone")


def test_without_an_encoder_no_picture_is_put_off(library: Library, caplog: pytest.LogCaptureFixture) -> None:
    """What no picture is to blame for is told once, and by nothing that stays with them."""
    for name in ("one", "two"):
        Image.new("RGB", (64, 48), "red").save(library.root / f"{name}.png")
    work(library, BlindDescriber())
    told = [record.getMessage() for record in caplog.records if "no captions are made" in record.getMessage()]
    assert told == ["no captions are made: its encoder is gone"]
    assert {(asset.caption, asset.attempts, asset.error) for asset in library.all().values()} == {(None, 0, None)}
    work(library, ColourDescriber())  # of another worker, at once
    assert captions(library) == {b"one.png": "All red.", b"two.png": "All red."}


def test_no_encoder_is_opened_where_no_picture_waits(library: Library) -> None:
    library.makers = (SoundSegmenter,)
    write_wav(library.root / "high.wav", tone(4.0, 1500.0))
    work(library, BlindDescriber(), PitchDescriber())
    assert captions(library) == {b"high.wav": "A tone of 1500 Hz."}


@pytest.mark.parametrize(("error", "attempts"), [(MachineError("no memory"), 0), (TransientMediaError("not now"), 1)])
def test_what_the_machine_lacks_takes_no_image_its_caption(
    library: Library, error: TransientMediaError, attempts: int
) -> None:
    Image.new("RGB", (64, 48), "red").save(library.root / "one.png")
    library.index()

    def decode(_request: DecodeRequest) -> Items:
        raise error
        yield

    describer = ColourDescriber()
    assert captioner(library, "someone", describer, decode).caption_some() == 1
    (asset,) = library.all().values()
    assert (asset.status, asset.caption, asset.attempts) == ("indexed", None, attempts)
    assert describer.asked == []


def test_of_several_sentences_the_one_nearest_to_the_picture_in_the_space_is_kept(library: Library) -> None:
    for colour in ("red", "blue"):
        Image.new("RGB", (64, 48), colour).save(library.root / f"{colour}.png")
    library.index()
    by_name = {name: asset.id for name, asset in library.all().items()}
    choose = CaptionChooser(library.database, lambda: (library.space_id, library.space))
    sentences = ["green", "blue", "red"]
    chosen = choose(dict.fromkeys(by_name.values(), sentences), Signal.IMAGE)
    assert chosen == {by_name[b"red.png"]: "red", by_name[b"blue.png"]: "blue"}


def test_of_a_sound_the_longest_stretch_is_compared(library: Library) -> None:
    library.makers = (SoundSegmenter,)
    pause = np.zeros(3 * 16000, np.float32)
    write_wav(library.root / "two.wav", np.concatenate([tone(2.0, 800.0), pause, tone(6.0, 2400.0), pause]))
    library.index()
    (asset,) = library.all().values()
    with library.database.read() as connection:
        stretches = segments_of_assets(connection, [asset.id])
    longest = described(stretches, Signal.SOUND)
    assert longest is not None
    assert len(stretches) > 1
    assert (longest.end_seconds or 0) - (longest.start_seconds or 0) > 5.0
    assert described(stretches, Signal.IMAGE) is None
    choose = CaptionChooser(library.database, lambda: (library.space_id, library.space))
    assert choose({asset.id: ["a wall", "a sound"]}, Signal.SOUND) == {asset.id: "a sound"}


def test_without_a_vector_of_the_picture_the_first_sentence_is_kept(library: Library) -> None:
    Image.new("RGB", (64, 48), "red").save(library.root / "one.png")
    library.index()
    (asset,) = library.all().values()
    choose = CaptionChooser(library.database, lambda: (library.space_id + 1, library.space))
    sentences = {asset.id: ["green", "red"], asset.id + 1: ["blue"]}
    assert choose(sentences, Signal.IMAGE) == {asset.id: "green", asset.id + 1: "blue"}
    assert choose({}, Signal.IMAGE) == {}


@pytest.mark.models
@pytest.mark.slow
def test_with_the_defaults_a_picture_gets_a_caption_by_the_shipped_adapter(
    database: Database, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(home)  # with the converted language model that tests share
    defaults = Settings.load(environment={}, home=home)
    assert defaults.vision
    assert fitting_adapter(defaults)
    monkeypatch.setattr(captioner_module, "LEAST_FREE_BYTES", 0)  # a machine that tests may have less to spare
    monkeypatch.setattr(os, "nice", lambda _: 0)  # beside other tests it would wait for minutes
    media = tmp_path / "media"
    media.mkdir()
    picture = Image.new("RGB", (320, 240), "skyblue")
    ImageDraw.Draw(picture).rectangle((0, 150, 320, 240), "forestgreen")
    picture.save(media / "meadow.png")
    quick = msgspec.structs.replace(defaults, speech=False, sound=False, ocr=False, settle_seconds=0.0)
    with database.write() as connection:
        source = sources.add_source(connection, str(media))
    scan_source(database, source, quick)
    with Indexer(quick, database) as indexer:
        indexer.worker().run(threading.Event(), until_idle=True)
    with database.read() as connection:
        (asset,) = assets.list_assets(connection, limit=10)
    assert len((asset.caption or "").split()) > 2
