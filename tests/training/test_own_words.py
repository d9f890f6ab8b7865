"""Lessons in people's own words: every kind can be made, and what is held out is not taught."""

from __future__ import annotations

import re

import numpy as np
import pytest

from training.reading import templates
from training.reading.lessons import NOWHERE, Teacher, answering
from training.reading.near_misses import absent
from training.reading.vocabulary import FOLDER, Vocabulary, taught_words

PAGES = templates.read_templates(templates.own_words_files()[0])
SAID = templates.read_templates(templates.own_words_files()[1])
HELD_OUT = templates.read_templates(FOLDER / "validation_own_words.toml")


@pytest.fixture
def words() -> Vocabulary:
    return Vocabulary(taught_words(), np.random.default_rng(0))


def test_every_kind_is_filled_and_no_mark_is_left(words: Vocabulary) -> None:
    for name, template in (PAGES | HELD_OUT).items():
        page = templates.make_document(name, template, words)
        assert page.asked, name
        for asked in page.asked:
            assert asked.answer in " ".join(page.rows[asked.row]), name
            assert not re.search(r"[{}<>|*]", asked.text), (name, asked.text)
    for name in SAID:
        said = templates.make_spoken([name], SAID, words, words.random)
        assert all(asked.answer in said.sentences[asked.row] for asked in said.asked), name


@pytest.mark.parametrize(
    ("question", "read"),
    [
        ("Which seat?", ("Which seat?", "en", False)),
        ("*Which seat?", ("Which seat?", "en", True)),
        ("de|Welcher Platz?", ("Welcher Platz?", "de", False)),
        ("*fr|Quelle place ?", ("Quelle place ?", "fr", True)),
        ("es|*¿Qué asiento?", ("¿Qué asiento?", "es", True)),
    ],
)
def test_marks_are_read(question: str, read: tuple[str, str, bool]) -> None:
    assert templates.unmarked(question) == read


def test_what_pages_lack_is_asked_without_marks(words: Vocabulary) -> None:
    for name, template in PAGES.items():
        page = templates.make_document(name, template, words)
        assert not any(re.search(r"[{}<>|*]", text) for text in absent(page, template, words.random)), name


def test_questions_call_things_only_by_names_that_the_page_holds(words: Vocabulary) -> None:
    template = {
        "title": "Prescription|For {first}",
        "rows": [
            ["Keep", "cool|dry", "Where does {first} keep it?"],
            ["Of", "{city}|{town}", "What is of {city}?", "de|Was ist {building_de}?"],
        ],
        "absent": ["How old is {first}?", "Who lives in {city}?"],
    }
    for _ in range(40):
        page = templates.make_document("made", template, words)
        assert page.title.startswith("For "), "of its titles the one that names whom is asked about"
        name, place = page.title.removeprefix("For "), page.rows[1][1]
        asked = {f"Where does {name} keep it?"}
        missing = {f"How old is {name}?"}
        if "city" in page.slots:
            asked |= {f"What is of {place}?"}
            missing |= {f"Who lives in {place}?"}
        assert {question.text for question in page.asked} == asked
        assert set(absent(page, template, words.random)) == missing


def test_what_is_held_out_is_not_taught() -> None:
    assert not set(HELD_OUT) & set(PAGES)


def test_lessons_say_where_the_answer_is(words: Vocabulary) -> None:
    teacher = Teacher(PAGES, SAID, words, ["a dog runs"] * 12, np.random.default_rng(1))
    lessons = teacher.of_pages(200)
    answered = [lesson for lesson in lessons if lesson.right != NOWHERE]
    assert 0.3 < len(answered) / len(lessons) < 0.7
    assert all(lesson.right < len(lesson.statements) for lesson in answered)


@pytest.mark.parametrize(
    ("answer", "held"),
    [
        ("Damaged? Refuse it", [2]),
        ("Refuse it", [2]),
        ("Call us. Or write.", [0, 3]),  # two lines: such questions are not asked
        ("Send it back", []),
    ],
)
def test_an_answer_of_several_sentences_is_found_where_they_are_read(answer: str, held: list[int]) -> None:
    assert (
        answering(templates.Asked("What do I do?", answer, 0), ["Call us.", "Damaged?", "Refuse it", "Or write."])
        == held
    )
