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
from search.language.answerer import LEAST_RIGHT
from search.language.looking import UNMEASURED, Chances, Looker
from search.language.question_planning import QuestionPlan, plan_question
from search.multimodal.colours import COLOURS, chances, surest
from search.multimodal.look_questions import Look, look_for
from search.multimodal.model import Impression
from search.multimodal.vision import Senses
from search.results import Hit, Kind
from search.signals import Signal
from search.spaces.inputs import ImageInput, Picture, Waveform
from search.testing import WordSpace


class Eyes:
    """Says which colour a picture has most of."""

    image_input = ImageInput(side=16, fit="squash")

    identity = Chances.load().adapter

    def __init__(self, sure: float = -0.1, *, ready: bool = True, problem: str = "") -> None:
        self.sure = sure
        self.ready = ready
        self._problem = problem
        self.begun = 0  # preparations
        self.asked: list[str] = []

    def prepare_soon(self) -> str:
        self.begun += 1
        return self._problem

    def captions(self, pictures: Sequence[Picture]) -> list[list[str]]:
        return [["A blue picture.", "A green picture."]] * len(pictures)

    def answers(self, question: str, pictures: Sequence[Picture]) -> list[Impression]:
        self.asked.append(question)
        names = [("Red.", "Green.", "Blue.")[int(picture.mean((0, 1)).argmax())] for picture in pictures]
        return [Impression(name, self.sure) for name in names]

    def likelihoods(self, question: str, answers: Sequence[str], pictures: Sequence[Picture]) -> Float32Array:
        self.asked.append(question)
        names = [("Red.", "Green.", "Blue.")[int(picture.mean((0, 1)).argmax())] for picture in pictures]
        return np.array([[-2 * self.sure * (answer == name) for answer in answers] for name in names], np.float32)

    def fits(self, caption: str, pictures: Sequence[Picture]) -> Float32Array:
        self.asked.append(caption)
        names = [("red", "green", "blue")[int(picture.mean((0, 1)).argmax())] for picture in pictures]
        return np.array([float(name in caption) for name in names], np.float32)


def files(asset_id: int, seconds: float | None, side: int, page: int | None = None) -> bytes:
    if asset_id == 404:
        raise TransientMediaError("is on a disk that is not there")
    data = io.BytesIO()
    Image.new("RGB", (side, side), ("red", "green", "blue")[asset_id % 3]).save(data, "PNG")
    return data.getvalue()


class Ears:
    """Says whether a sound is loud, and how long it is."""

    identity = Chances.load().sounds

    def captions(self, sounds: Sequence[Waveform]) -> list[list[str]]:
        return [["A bang."]] * len(sounds)

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


def with_words(hit: Hit, signal: Signal, words: str = "BEWARE", relevance: float = 0.9) -> Hit:
    """The hit with words that match better than what it shows."""
    moment = msgspec.structs.replace(
        hit.moments[0],
        segment_id=900,
        signal=signal,
        text=words,
        start_seconds=7.0,
        end_seconds=9.0,
        relevance=relevance,
    )
    return msgspec.structs.replace(hit, relevance=relevance, moments=(moment, *hit.moments))


def film(path: str, asset_id: int, relevance: float = 0.8) -> Hit:
    hit = pictured(path, asset_id, relevance)
    moment = msgspec.structs.replace(hit.moments[0], signal=Signal.FRAME, start_seconds=12.0, end_seconds=15.0)
    return msgspec.structs.replace(hit, asset=msgspec.structs.replace(hit.asset, kind=Kind.VIDEO), moments=(moment,))


def look(question: str) -> Look:
    found = look_for(question)
    assert found
    return found


def given(question: str) -> QuestionPlan:
    """A question about sources that the caller points at."""
    return msgspec.structs.replace(plan_question(question), given=True)


def test_sounds_answer_what_can_be_heard() -> None:
    hits = [heard("bang.ogg", 1), heard("quiet.ogg", 2)]
    assert looker(Eyes(), Ears()).impressions(look("What can be heard?"), hits) == ["a bang", ""]
    assert looker(Eyes()).impressions(look("What can be heard?"), hits) == ["", ""]  # nothing was trained for sounds


def test_a_sound_that_can_not_be_had_is_passed_over() -> None:
    assert looker(Eyes(), Ears()).impressions(look("What can be heard?"), [heard("gone.ogg", 404)]) == [""]


def test_the_answer_names_the_time_and_cites_the_sound() -> None:
    asked = answerer(WordModel(), "words", looker(Eyes(), Ears()))
    answer = asked.answer(plan_question("What can be heard?"), [heard("bang.ogg", 1)], {})
    assert answer.answer == "Listening to bang.ogg at 0:02, the answer seems to be: a bang. [1]"
    assert [citation.path for citation in answer.citations] == ["bang.ogg"]


def test_pictures_answer_and_recordings_do_not() -> None:
    eyes = Eyes()
    hits = [spoken("a red dog", segment_id=2), pictured("a.jpg", 1), pictured("c.jpg", 5)]
    answer = answerer(WordModel(), "words", looker(eyes)).answer(plan_question("What colour car is it?"), hits, {})
    assert [citation.path for citation in answer.citations] == ["a.jpg", "c.jpg"]
    assert eyes.asked == ["What colour car is it?"]


@pytest.mark.parametrize(
    ("hit", "where"),
    [
        (with_words(pictured("dog.jpg", 1), Signal.TEXT), "dog.jpg"),
        (with_words(film("walk.mp4", 1), Signal.SPEECH), "walk.mp4 at 0:12"),
        (with_words(film("walk.mp4", 1), Signal.TEXT), "walk.mp4 at 0:12"),
    ],
)
def test_what_is_asked_of_eyes_is_looked_at_however_it_was_found(hit: Hit, where: str) -> None:
    """The best moment of a photo may be the words on it, that of a film what is said in it."""
    answer = answerer(WordModel(), "words", looker(Eyes())).answer(plan_question("What colour is the dog?"), [hit], {})
    assert answer.answer == f"Looking at {where}, the answer seems to be: green. [1]"
    assert answer.citations[0].segment_id == hit.moments[1].segment_id


def test_a_photo_that_only_its_words_found_is_looked_at() -> None:
    found = with_words(pictured("shop.jpg", 1), Signal.TEXT, "OPEN")
    found = msgspec.structs.replace(found, moments=found.moments[:1])
    answer = answerer(WordModel(), "words", looker(Eyes())).answer(
        plan_question("What colour is the sign?"), [found], {}
    )
    assert "green" in answer.answer


def test_a_recording_of_somebody_is_listened_to_where_it_sounds() -> None:
    hit = with_words(heard("bang.ogg", 1), Signal.SPEECH)
    asked = answerer(WordModel(), "words", looker(Eyes(), Ears()))
    assert (
        "at 0:02, the answer seems to be: a bang" in asked.answer(plan_question("What can be heard?"), [hit], {}).answer
    )


def test_a_film_is_not_looked_at_for_what_is_said_in_it() -> None:
    """Its words match, and hardly what it shows."""
    eyes = Eyes()
    hit = with_words(film("talk.mp4", 1, relevance=0.05), Signal.SPEECH)
    asked = answerer(WordModel(), "words", looker(eyes))
    assert not asked.answer(plan_question("What colour is the dog?"), [hit], {}).found
    assert eyes.asked == []


@pytest.mark.parametrize("given", [False, True])
def test_an_answer_says_when_it_could_not_look_yet(given: bool) -> None:
    eyes = Eyes(ready=False)
    asked = answerer(WordModel(), "words", looker(eyes))
    plan = msgspec.structs.replace(plan_question("What colour is the dog's collar?"), given=given)
    answer = asked.answer(plan, [pictured("dog.jpg", 1), pictured("cat.jpg", 2)], {})
    assert answer.answer == (
        "dog.jpg may show it; the model that could tell is still being prepared, ask again in a minute. [1] "
        "cat.jpg may show it. [2]"
    )
    assert (eyes.asked, eyes.begun) == ([], 1)  # nobody waits for the conversion, and it has begun


def test_an_answer_says_why_it_can_never_look() -> None:
    asked = answerer(WordModel(), "words", looker(Eyes(ready=False, problem="x.gguf is missing: run `medley setup`")))
    answer = asked.answer(given("What colour is the dog's collar?"), [pictured("dog.jpg", 1)], {})
    assert answer.answer == (
        "dog.jpg may show it; the model that could tell can't be prepared: x.gguf is missing: run `medley setup`, or "
        "set MEDLEY_VISION=false. [1]"
    )


def test_what_is_known_from_indexing_is_told_before_the_model_is_prepared() -> None:
    hit = pictured("dog.jpg", 1)
    known = msgspec.structs.replace(hit, asset=msgspec.structs.replace(hit.asset, caption="A dog on a beach."))
    asked = answerer(WordModel(), "words", looker(Eyes(ready=False)))
    assert "it seems to show: a dog on a beach" in asked.answer(given("What is this?"), [known], {}).answer


def test_a_question_in_another_language_is_put_to_the_model_in_english() -> None:
    eyes = Eyes()
    asked = answerer(WordModel(), "words", looker(eyes))
    answer = asked.answer(plan_question("Welche Farbe hat das Halsband des Hundes?"), [pictured("dog.jpg", 1)], {})
    assert "the answer seems to be: green" in answer.answer
    assert eyes.asked == ["What colour is the collar?"]


@pytest.mark.parametrize(
    "question", ["Is the dog wet?", "What breed is it?", "Who is with it?", "What animal is that?"]
)
def test_what_words_do_not_answer_is_looked_for_in_what_is_given(question: str) -> None:
    eyes = Eyes()
    asked = answerer(WordModel(), "words", looker(eyes, Ears()))
    assert "seems to be: green" in asked.answer(given(question), [pictured("dog.jpg", 1)], {}).answer
    assert eyes.asked == [question]
    assert not asked.answer(plan_question(question), [pictured("dog.jpg", 1, relevance=0.5)], {}).found


@pytest.mark.parametrize(
    ("question", "hit", "chance"),
    [
        ("What colour is the dog?", pictured("dog.jpg", 1, relevance=0.9), Chances.load().colour),
        ("Is the dog wet?", pictured("dog.jpg", 1, relevance=1.0), Chances.load().yes_no),
        ("What can be heard?", heard("bang.ogg", 1), Chances.load().heard),
    ],
)
def test_a_look_supports_as_much_as_looks_of_its_kind_are_right(question: str, hit: Hit, chance: float) -> None:
    """Also of a picture that the caller points at, which is surely the one that is meant."""
    answer = answerer(WordModel(), "words", looker(Eyes(), Ears())).answer(given(question), [hit], {})
    assert answer.citations[0].support == pytest.approx(chance * hit.relevance, abs=1e-4)
    assert answer.citations[0].support < 0.9


@pytest.mark.parametrize(
    ("question", "hit"),
    [("What is there?", pictured("dog.jpg", 1)), ("What can be heard?", heard("bang.ogg", 1))],
)
def test_what_was_measured_of_the_shipped_adapters_is_said_of_no_other(question: str, hit: Hit) -> None:
    eyes, ears = Eyes(), Ears()
    eyes.identity = ears.identity = "somebody's"
    answer = answerer(WordModel(), "words", looker(eyes, ears)).answer(given(question), [hit], {})
    assert answer.citations[0].support == pytest.approx(UNMEASURED * hit.relevance, abs=1e-4)


def test_what_words_answer_is_not_looked_for() -> None:
    eyes = Eyes()
    hit = with_words(pictured("dog.jpg", 1), Signal.TEXT, "The dog is called Rex.")
    answer = answerer(WordModel(), "words", looker(eyes)).answer(given("What is the dog called?"), [hit], {})
    assert "Rex" in answer.answer
    assert eyes.asked == []


@pytest.mark.parametrize(
    "question",
    ["How much does it cost?", "When was it taken?", "What does it say?", "Why is the dog wet?", "How long is it?"],
)
def test_what_can_not_be_seen_is_not_looked_for(question: str) -> None:
    eyes = Eyes()
    hit = pictured("dog.jpg", 1)
    hit = msgspec.structs.replace(hit, asset=msgspec.structs.replace(hit.asset, captured_at=None))
    assert not answerer(WordModel(), "words", looker(eyes)).answer(given(question), [hit], {}).found
    assert eyes.asked == []


@pytest.mark.parametrize(
    "question",
    ["Do I need a visa?", "Is a deposit required?", "Who signed it?", "What is the notice period?", "Describe it"],
)
def test_what_the_words_of_something_given_do_not_answer_is_not_guessed_from_its_picture(question: str) -> None:
    eyes = Eyes()
    page = pictured("lease.pdf", 1, relevance=1.0)
    page = msgspec.structs.replace(
        page,
        asset=msgspec.structs.replace(page.asset, kind=Kind.DOCUMENT, pages=3),
        moments=(msgspec.structs.replace(page.moments[0], signal=Signal.PAGE, page=1),),
    )
    scan = with_words(pictured("receipt.jpg", 2, relevance=1.0), Signal.TEXT, "Kitchen roll 3.40", relevance=1.0)
    film = with_words(pictured("trip.mp4", 3, relevance=1.0), Signal.SPEECH, "So we went home", relevance=1.0)
    for looks in (looker(eyes), None):
        asked = answerer(WordModel(), "words", looks)
        assert not asked.answer(given(question), [page, scan, film], {}).found
    assert eyes.asked == []


def test_what_is_plainly_seen_is_looked_for_in_something_given_that_holds_words_too() -> None:
    hit = with_words(pictured("shop.jpg", 1), Signal.TEXT, "OPEN")
    answer = answerer(WordModel(), "words", looker(Eyes())).answer(given("What colour is the door?"), [hit], {})
    assert "seems to be: green" in answer.answer


def test_of_several_that_are_given_those_without_words_are_looked_at() -> None:
    hits = [with_words(pictured("receipt.jpg", 2), Signal.TEXT, "Kitchen roll 3.40"), pictured("dog.jpg", 1)]
    answer = answerer(WordModel(), "words", looker(Eyes())).answer(given("Is the dog wet?"), hits, {})
    assert [citation.path for citation in answer.citations] == ["dog.jpg"]


@pytest.mark.parametrize("ready", [False, True])
def test_what_such_looks_mostly_get_wrong_is_not_said(ready: bool) -> None:
    eyes = Eyes(ready=ready)
    asked = answerer(WordModel(), "words", looker(eyes))
    assert Chances.load().doing < LEAST_RIGHT
    answer = asked.answer(plan_question("What is the man doing?"), [pictured("a.jpg", 1, relevance=0.5)], {})
    assert answer.answer == "a.jpg may show it. [1]"
    assert not asked.answer(given("What is the man doing?"), [pictured("a.jpg", 1)], {}).found
    assert eyes.asked == []


def test_nothing_is_said_of_something_given_that_a_look_did_not_tell() -> None:
    asked = answerer(WordModel(), "words", looker(Eyes(sure=-3.0)))
    assert not asked.answer(given("What breed is it?"), [pictured("dog.jpg", 1)], {}).found


def test_what_there_is_to_see_is_told_by_a_caption() -> None:
    hit = pictured("dog.jpg", 1)
    asked = answerer(WordModel(), "words", looker(Eyes()))
    for question in ("What is this?", "Describe this picture", "Qu'est-ce que c'est ?", "Beschreibe das Bild"):
        told = asked.answer(given(question), [hit], {}).answer
        assert told == "Looking at dog.jpg, it seems to show: a green picture. [1]"
    known = msgspec.structs.replace(hit, asset=msgspec.structs.replace(hit.asset, caption="A dog on a beach."))
    told = asked.answer(given("What is this?"), [known], {}).answer
    assert told == "Looking at dog.jpg, it seems to show: a dog on a beach. [1]"


def test_what_there_is_to_hear_is_told_by_a_caption() -> None:
    asked = answerer(WordModel(), "words", looker(Eyes(), Ears()))
    told = asked.answer(given("What is this?"), [heard("bang.ogg", 1)], {}).answer
    assert told == "Listening to bang.ogg at 0:02, it sounds like: a bang. [1]"


def test_no_caption_describes_what_words_do() -> None:
    """Captions of pages and of speech are invented."""
    page = pictured("paper.pdf", 1)
    page = msgspec.structs.replace(page, asset=msgspec.structs.replace(page.asset, kind=Kind.DOCUMENT, pages=3))
    talk = with_words(heard("talk.ogg", 1), Signal.SPEECH)
    talk = msgspec.structs.replace(talk, asset=msgspec.structs.replace(talk.asset, kind=Kind.AUDIO))
    asked = answerer(WordModel(), "words", looker(Eyes(), Ears()))
    for hit in (page, talk):
        assert not asked.answer(given("What is this?"), [hit], {}).found


def test_the_colour_of_a_thing_is_chosen_by_the_model_and_the_space() -> None:
    hits = [pictured("a.jpg", 1), pictured("b.jpg", 5)]
    asked = look("What colour is the dog's collar in the picture?")
    assert looker(Eyes(sure=-3.0)).impressions(asked, hits) == ["green", "blue"]
    assert looker(Eyes(sure=0.0)).impressions(asked, [pictured("a.jpg", 404), pictured("b.jpg", 3)]) == ["", "red"]


def test_a_colour_that_neither_is_sure_of_is_not_named() -> None:
    """The model finds all likely, and the space holds no word of any."""
    near = np.stack([np.zeros(len(COLOURS)), np.eye(len(COLOURS))[3]])
    assert surest(chances(np.zeros((2, len(COLOURS))), near)) == ["", "red"]


def test_a_model_that_is_not_sure_says_nothing() -> None:
    assert looker(Eyes(sure=-3.0)).impressions(look("What colour is it?"), [pictured("a.jpg", 1)]) == [""]


def test_what_a_picture_shows_besides_is_no_answer_to_what_was_not_seen() -> None:
    hit = pictured("a.jpg", 1)
    hit = msgspec.structs.replace(hit, asset=msgspec.structs.replace(hit.asset, caption="A man on a bench."))
    asked = answerer(WordModel(), "words", looker(Eyes(sure=-3.0)))
    answer = asked.answer(plan_question("What is the man holding?"), [hit], {})
    assert "bench" not in answer.answer
    assert answer.answer == "a.jpg may show it. [1]"


def test_words_are_scored_as_a_caption_of_each_picture_that_can_be_had() -> None:
    eyes = Eyes()
    hits = [pictured("gone.jpg", 404), pictured("a.jpg", 3), pictured("b.jpg", 1)]
    assert looker(eyes).fits("something green", hits) == {1: 0.0, 2: 1.0}
    assert eyes.asked == ["Something green."]
    assert looker(eyes).fits("something green", hits[:1]) == {}


def test_a_picture_that_can_not_be_had_is_passed_over() -> None:
    hits = [pictured("gone.jpg", 404), pictured("a.jpg", 3)]
    assert looker(Eyes()).impressions(look("What colour is it?"), hits) == ["", "red"]


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
