"""Questions that only a look at the picture answers."""

from __future__ import annotations

import io
from collections.abc import Sequence

import msgspec
import pytest
from PIL import Image
from support.language_world import WordModel, answerer, pictured, spoken

from search.errors import TransientMediaError
from search.language.looking import Looker, asks_to_look
from search.language.question_planning import plan_question
from search.multimodal.model import Impression
from search.signals import Signal
from search.spaces.inputs import ImageInput, Picture


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


def files(asset_id: int, seconds: float | None, side: int, page: int | None = None) -> bytes:
    if asset_id == 404:
        raise TransientMediaError("is on a disk that is not there")
    data = io.BytesIO()
    Image.new("RGB", (side, side), ("red", "green", "blue")[asset_id % 3]).save(data, "PNG")
    return data.getvalue()


def looker(eyes: Eyes) -> Looker:
    return Looker(eyes, files)  # type: ignore[arg-type]  # all of a vision model that is asked


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
    assert asks_to_look(question) is looks


def test_pictures_answer_and_recordings_do_not() -> None:
    eyes = Eyes()
    hits = [pictured("a.jpg", 1), spoken("a red dog", segment_id=2), pictured("c.jpg", 5)]
    assert looker(eyes).impressions("What colour is it?", hits) == ["green", "", "blue"]
    assert looker(eyes).impressions("What did he say?", hits) == ["", "", ""]
    assert eyes.asked == ["What colour is it?"]


def test_a_model_that_is_not_sure_says_nothing() -> None:
    assert looker(Eyes(sure=-3.0)).impressions("What colour is it?", [pictured("a.jpg", 1)]) == [""]


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
