"""Images are captioned once everything else is done, and a library is whole without captions."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from PIL import Image
from support.library import Library

from indexer.decoding.decoder import DecoderPool, Items
from indexer.decoding.items import DecodeRequest
from indexer.ingest.caption_choice import CaptionChooser
from indexer.ingest.captioner import Captioner, likeliest
from indexer.ingest.worker import Worker
from search.catalog.database import Database
from search.errors import LanguageModelError, MachineError, TransientMediaError
from search.settings import Settings
from search.spaces.inputs import ImageInput, Picture


class ColourDescriber:
    """Names the colour that a picture has most of."""

    image_input = ImageInput(side=32, fit="squash")

    def __init__(self, problem: LanguageModelError | None = None) -> None:
        self.asked: list[int] = []
        self._problem = problem

    def captions(self, pictures: Sequence[Picture]) -> list[list[str]]:
        self.asked.append(len(pictures))
        if self._problem:
            raise self._problem
        assert all(picture.shape == (32, 32, 3) for picture in pictures)
        return [
            [f"All {('red', 'green', 'blue')[int(picture.mean((0, 1)).argmax())]}.", "A wall."] for picture in pictures
        ]


@pytest.fixture
def library(database: Database, settings: Settings, tmp_path: Path) -> Iterator[Library]:
    with DecoderPool(settings, size=2) as pool:
        yield Library(database, settings, tmp_path / "media", pool)


def work(library: Library, describer: ColourDescriber) -> None:
    library.scan()
    spaces = {library.space_id: library.space}
    worker = Worker.here(library.settings, library.database, lambda: spaces, library.pool.decode, describer=describer)
    worker.run(threading.Event(), until_idle=True)


def captions(library: Library) -> dict[bytes, str | None]:
    return {name: asset.caption for name, asset in library.all().items()}


def test_images_get_a_caption_when_they_are_searchable(library: Library) -> None:
    for colour in ("red", "green", "blue"):
        Image.new("RGB", (64, 48), colour).save(library.root / f"{colour}.png")
    describer = ColourDescriber()
    work(library, describer)
    assert captions(library) == {b"red.png": "All red.", b"green.png": "All green.", b"blue.png": "All blue."}
    assert describer.asked == [3]  # together, once
    work(library, describer)
    assert describer.asked == [3]


def test_a_copy_of_a_captioned_image_has_its_caption(library: Library) -> None:
    Image.new("RGB", (64, 48), "red").save(library.root / "one.png")
    describer = ColourDescriber()
    work(library, describer)
    (library.root / "two.png").write_bytes((library.root / "one.png").read_bytes())
    work(library, describer)
    assert captions(library) == {b"one.png": "All red.", b"two.png": "All red."}
    assert describer.asked == [1]


def test_without_a_model_everything_is_indexed_and_nothing_captioned(library: Library) -> None:
    Image.new("RGB", (64, 48), "red").save(library.root / "one.png")
    work(library, ColourDescriber(LanguageModelError("its weights are gone")))
    assert library.counts().indexed == 1
    assert captions(library) == {b"one.png": None}


def test_a_file_that_is_gone_is_tried_again_later(library: Library) -> None:
    path = library.root / "one.png"
    Image.new("RGB", (64, 48), "red").save(path)
    library.index()
    path.rename(path.with_suffix(".away"))
    describer = ColourDescriber()
    spaces = {library.space_id: library.space}
    worker = Worker.here(library.settings, library.database, lambda: spaces, library.pool.decode, describer=describer)
    worker.run(threading.Event(), until_idle=True)
    assert (captions(library), describer.asked) == ({b"one.png": None}, [])


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
    assert Captioner(library.settings, library.database, describer, decode, likeliest, "someone").caption_some() == 1
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
    chosen = choose(dict.fromkeys(by_name.values(), sentences))
    assert chosen == {by_name[b"red.png"]: "red", by_name[b"blue.png"]: "blue"}


def test_without_a_vector_of_the_picture_the_first_sentence_is_kept(library: Library) -> None:
    Image.new("RGB", (64, 48), "red").save(library.root / "one.png")
    library.index()
    (asset,) = library.all().values()
    choose = CaptionChooser(library.database, lambda: (library.space_id + 1, library.space))
    assert choose({asset.id: ["green", "red"], asset.id + 1: ["blue"]}) == {asset.id: "green", asset.id + 1: "blue"}
    assert choose({}) == {}
