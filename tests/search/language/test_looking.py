"""Questions that only a look at the picture, or listening to the sound, answers."""

from __future__ import annotations

import io
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from PIL import Image
from support.language_world import WordModel, answerer, pictured, spoken

from search.arrays import Float32Array
from search.errors import TransientMediaError
from search.language.looking import Looker, sense_asked
from search.language.question_planning import plan_question
from search.multimodal.colours import COLOURS, chances, coloured, surest
from search.multimodal.model import Impression
from search.multimodal.vision import Senses
from search.results import Hit
from search.signals import Sense, Signal
from search.spaces.inputs import ImageInput, Picture, Waveform
from search.testing import WordSpace


class Eyes:
    """Says which colour a picture has most of."""

    image_input = ImageInput(side=16, fit="squash")

    def __init__(self, sure: float = -0.1, *, ready: bool = True) -> None:
        self.sure = sure
        self.ready = ready
        self.asked: list[str] = []

    def answers(self, question: str, pictures: Sequence[Picture]) -> list[Impression]:
        self.asked.append(question)
        names = [("Red.", "Green.", "Blue.")[int(picture.mean((0, 1)).argmax())] for picture in pictures]
        return [Impression(name, self.sure) for name in names]

    def likelihoods(self, question: str, answers: Sequence[str], pictures: Sequence[Picture]) -> Float32Array:
        self.asked.append(question)
        names = [("Red.", "Green.", "Blue.")[int(picture.mean((0, 1)).argmax())] for picture in pictures]
        return np.array([[-2 * self.sure * (answer == name) for answer in answers] for name in names], np.float32)


def files(asset_id: int, seconds: float | None, side: int, page: int | None = None) -> bytes:
    if asset_id == 404:
        raise TransientMediaError("is on a disk that is not there")
    data = io.BytesIO()
    Image.new("RGB", (side, side), ("red", "green", "blue")[asset_id % 3]).save(data, "PNG")
    return data.getvalue()


class Ears:
    """Says whether a sound is loud, and how long it is."""

    def answers(self, question: str, sounds: Sequence[Waveform]) -> list[Impression]:
        return [Impression(f"{'A bang' if np.abs(sound).max() > 0.5 else 'Nothing'}.", -0.1) for sound in sounds]


def sounds(asset_id: int, start: float, end: float) -> Waveform:
    if asset_id == 404:
        raise TransientMediaError("is on a disk that is not there")
    return np.full(int((end - start) * 16000), 0.9 if asset_id % 2 else 0.0, np.float32)


def looker(eyes: Eyes, ears: Ears | None = None) -> Looker:
    senses = Senses(eyes, ears)  # type: ignore[arg-type]  # all of a model's senses that is asked
    return Looker(senses, WordSpace(), files, sounds)


def heard(path: str, asset_id: int) -> Hit:
    hit = pictured(path, asset_id)
    moment = msgspec.structs.replace(hit.moments[0], signal=Signal.SOUND, start_seconds=2.0, end_seconds=4.5)
    return msgspec.structs.replace(hit, moments=(moment,))


@pytest.mark.parametrize(
    ("question", "looks"),
    [
        ("What colour is the dog's collar?", True),
        ("what color are the curtains", True),
        ("What is the man doing?", True),
        ("What is she wearing?", True),
        ("How many dogs are in the picture?", True),
        ("Is there a boat in the photo?", True),
        ("Is there a photo of a boat?", False),
        ("Are there pictures of boats in the library?", False),
        ("What did she say about the bridge?", False),
        ("When was the photo taken?", False),
        ("How many photos are there?", False),
    ],
)
def test_some_questions_need_a_look(question: str, looks: bool) -> None:
    assert (sense_asked(question) is Sense.SEEN) is looks


@pytest.mark.parametrize(
    ("question", "listens"),
    [
        ("What can be heard?", True),
        ("What animal can be heard?", True),
        ("What could you hear?", True),
        ("What is making that noise?", True),
        ("What does it sound like?", True),
        ("Did you hear about the bridge?", False),
        ("Is there a recording of rain?", False),
        ("Can you hear a siren?", False),
        ("Is there a siren in it?", False),
        ("What animal is in the photo?", False),
        ("What did she say about the siren?", False),
    ],
)
def test_some_questions_need_to_be_listened_to(question: str, listens: bool) -> None:
    assert (sense_asked(question) is Sense.HEARD) is listens


def test_sounds_answer_what_can_be_heard() -> None:
    hits = [heard("bang.ogg", 1), pictured("a.jpg", 3), heard("quiet.ogg", 2)]
    assert looker(Eyes(), Ears()).impressions("What can be heard?", hits) == ["a bang", "", ""]
    assert looker(Eyes()).impressions("What can be heard?", hits) == ["", "", ""]  # nothing was trained for sounds


def test_a_sound_that_can_not_be_had_is_passed_over() -> None:
    assert looker(Eyes(), Ears()).impressions("What can be heard?", [heard("gone.ogg", 404)]) == [""]


def test_the_answer_names_the_time_and_cites_the_sound() -> None:
    asked = answerer(WordModel(), "words", looker(Eyes(), Ears()))
    answer = asked.answer(plan_question("What can be heard?"), [heard("bang.ogg", 1)], {})
    assert answer.answer == "Listening to bang.ogg at 0:02, the answer seems to be: a bang. [1]"
    assert [citation.path for citation in answer.citations] == ["bang.ogg"]


def test_pictures_answer_and_recordings_do_not() -> None:
    eyes = Eyes()
    hits = [pictured("a.jpg", 1), spoken("a red dog", segment_id=2), pictured("c.jpg", 5)]
    assert looker(eyes).impressions("What colour is it?", hits) == ["green", "", "blue"]
    assert looker(eyes).impressions("What did he say?", hits) == ["", "", ""]
    assert eyes.asked == ["What colour is it?"]


def test_the_colour_of_a_thing_is_chosen_by_the_model_and_the_space() -> None:
    hits = [pictured("a.jpg", 1), pictured("b.jpg", 5)]
    asked = "What colour is the dog's collar in the picture?"
    assert looker(Eyes(sure=-3.0)).impressions(asked, hits) == ["green", "blue"]
    assert looker(Eyes(sure=0.0)).impressions(asked, [pictured("a.jpg", 404), pictured("b.jpg", 3)]) == ["", "red"]


def test_a_colour_that_neither_is_sure_of_is_not_named() -> None:
    """The model finds all likely, and the space holds no word of any."""
    near = np.stack([np.zeros(len(COLOURS)), np.eye(len(COLOURS))[3]])
    assert surest(chances(np.zeros((2, len(COLOURS))), near)) == ["", "red"]


@pytest.mark.parametrize(
    ("question", "thing"),
    [
        ("What colour is the dog's collar?", "collar"),
        ("what color are the curtains", "curtains"),
        ("Which colour was her old coat in the photo?", "old coat"),
        ("What colours does the flag have?", "flag"),
        ("What colour is it?", None),
        ("What is the man wearing?", None),
    ],
)
def test_the_thing_whose_colour_is_asked_for(question: str, thing: str | None) -> None:
    assert coloured(question) == thing


def test_a_model_that_is_not_sure_says_nothing() -> None:
    assert looker(Eyes(sure=-3.0)).impressions("What colour is it?", [pictured("a.jpg", 1)]) == [""]


def test_what_a_picture_shows_besides_is_no_answer_to_what_was_not_seen() -> None:
    hit = pictured("a.jpg", 1)
    hit = msgspec.structs.replace(hit, asset=msgspec.structs.replace(hit.asset, caption="A man on a bench."))
    asked = answerer(WordModel(), "words", looker(Eyes(sure=-3.0)))
    answer = asked.answer(plan_question("What is the man holding?"), [hit], {})
    assert "bench" not in answer.answer
    assert answer.answer == "a.jpg may show it. [1]"


def test_nobody_waits_for_a_model_that_is_being_converted() -> None:
    eyes = Eyes(ready=False)
    assert looker(eyes).impressions("What colour is it?", [pictured("a.jpg", 1)]) == [""]
    assert eyes.asked == []


def test_a_picture_that_can_not_be_had_is_passed_over() -> None:
    hits = [pictured("gone.jpg", 404), pictured("a.jpg", 3)]
    assert looker(Eyes()).impressions("What colour is it?", hits) == ["", "red"]


def test_the_answer_says_that_it_seems_so_and_cites_the_picture() -> None:
    asked = answerer(WordModel(), "words", looker(Eyes()))
    answer = asked.answer(plan_question("What colour is the dog's collar?"), [pictured("dog.jpg", 1)], {})
    assert answer.answer == "Looking at dog.jpg, the answer seems to be: green. [1]"
    assert [citation.path for citation in answer.citations] == ["dog.jpg"]


def test_a_caption_is_what_a_picture_seems_to_show() -> None:
    hit = pictured("dog.jpg", 1)
    asset = msgspec.structs.replace(hit.asset, caption="A dog runs on the beach.")
    asked = answerer(WordModel(), "words")
    answer = asked.answer(plan_question("Is there a photo of a dog?"), [msgspec.structs.replace(hit, asset=asset)], {})
    assert "it seems to show: a dog runs on the beach" in answer.answer


def test_what_can_only_be_seen_is_not_answered_by_a_sound() -> None:
    hit = pictured("bark.ogg", 1)
    moment = msgspec.structs.replace(hit.moments[0], signal=Signal.SOUND)
    sound = msgspec.structs.replace(hit, moments=(moment,))
    for eyes in (looker(Eyes()), None):
        asked = answerer(WordModel(), "words", eyes)
        assert not asked.answer(plan_question("What colour is the dog's collar?"), [sound], {}).found
