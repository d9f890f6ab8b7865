"""What the reader learns to leave unanswered, and what unanswerable questions are made of."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from training.reading import forms, near_misses, templates
from training.reading.elsewhere import Elsewhere, Source, is_elsewhere
from training.reading.forms import make_form
from training.reading.lessons import NOWHERE, Teacher
from training.reading.templates import Asked, make_document, make_spoken
from training.reading.vocabulary import FOLDER, Vocabulary, taught_words

HELD_OUT = (
    FOLDER / "validation_documents.toml",
    Path(__file__).parents[2] / "benchmarks" / "answers_data" / "documents.toml",
)


def vocabulary(seed: int = 0) -> Vocabulary:
    return Vocabulary(taught_words(), np.random.default_rng(seed))


def test_a_form_lacks_the_rows_that_it_is_asked_about_in_vain() -> None:
    words = vocabulary()
    for _ in range(50):
        form = make_form(forms.read_attributes(), words, words.random)
        asked = {question.text for question in form.document.asked}
        assert form.lacking
        assert not asked & set(form.lacking)
        assert all(question.answer == form.document.rows[question.row][1] for question in form.document.asked)


def test_forms_teach_nothing_of_the_kinds_of_pages_that_are_kept_for_choosing_and_for_the_test() -> None:
    kept: set[str] = set()
    for file in HELD_OUT:
        for template in tomllib.loads(file.read_text("utf-8")).values():
            kept |= {question for row in template.get("rows", ()) for question in row[2:]}
            kept |= {label.lower() for row in template.get("rows", ()) for label in row[0].split("|") if label}
            kept |= set(template.get("absent", ()))
    rows = [row for name, held in forms.read_attributes().items() if name != "about" for row in held["rows"]]
    taught = {question for row in rows for question in row[1:]}
    taught |= {label.lower() for row in rows for label in row[0].split("|")}
    assert not taught & kept


def test_no_kind_of_page_or_memo_is_both_taught_and_kept() -> None:
    kept = [*HELD_OUT, *(file.with_name(file.name.replace("documents", "statements")) for file in HELD_OUT)]
    assert not set(templates.read_templates(*templates.more_files())) & set(templates.read_templates(*kept))
    assert not _texts(*templates.more_files()) & _texts(*kept)


def _texts(*files: Path) -> set[str]:
    """Labels, sentences and questions of all templates."""
    texts: set[str] = set()
    for template in templates.read_templates(*files).values():
        texts |= {*template.get("absent", ()), *template.get("say", ())}
        for label, _, *questions in template.get("rows", ()):
            texts |= {*(form.lower() for form in label.split("|") if form), *questions}
        for asked in template.get("ask", ()):
            texts |= {asked} if isinstance(asked, str) else set(asked)
    return texts


def test_every_page_and_memo_that_is_taught_can_be_filled() -> None:
    words = vocabulary()
    documents, statements = (templates.read_templates(file) for file in templates.more_files())
    for name, template in documents.items():
        document = make_document(name, template, words)
        filled = [document.title, *document.about, *(cell for row in document.rows for cell in row)]
        filled += [asked.text for asked in document.asked]
        assert not any(mark in text for text in filled for mark in "{}<>"), name
        assert all(asked.answer in document.rows[asked.row] for asked in document.asked)
    for name in statements:
        memo = make_spoken([name], statements, words, words.random)
        assert memo.asked
        assert all(asked.answer.lower() in memo.sentences[asked.row].lower() for asked in memo.asked), name


def test_another_key_of_a_table_is_none_of_its_own() -> None:
    words = vocabulary()
    template = templates.read_templates(templates.documents_file())["menu"]
    document = make_document("menu", template, words)
    asked = list(near_misses.other_keys(document, words.lists, words.random))
    assert asked
    assert not any(row[0] in text for text in asked for row in document.rows)


def test_another_fact_is_asked_of_a_subject_that_the_memo_names() -> None:
    words = vocabulary()
    statements = templates.read_templates(templates.statements_file())
    memo = make_spoken(["late", "meet"], statements, words, words.random)
    facts = list(near_misses.other_facts(memo, statements, words.lists))
    late, *_ = (subject for subject in memo.subjects if f"{subject} " in " ".join(memo.sentences))
    assert any(f" {late}" in text for text in facts)
    # "See you on Monday at the fountain" is the place that "meet" tells as well.
    assert not any(text.startswith("Where do we meet") for text in facts)


def test_what_is_told_of_one_is_asked_of_another_that_the_memo_names() -> None:
    words = vocabulary()
    statements = templates.read_templates(templates.statements_file())
    memo = make_spoken(["late", "allergy"], statements, words, words.random)
    late, allergic = (subject for subject in memo.subjects if subject)
    assert late != allergic
    asked = set(near_misses.swapped_subjects(memo, words.lists))
    assert {f"Why was {allergic} late?", f"What can {late} not eat?"} <= asked
    assert not asked & {question.text for question in memo.asked}


def test_what_a_search_brings_beside_the_answer_is_of_another_kind_or_lacks_a_name() -> None:
    own = Source(("Train to Bath", "Seat 12A"), frozenset({"train"}))
    other = Source(("Bus to Bath", "Seats 40"), frozenset({"bus"}))
    asked = Asked("Which seat do I have on the train to Bath?", "12A", 1)
    assert is_elsewhere(asked, own, other)
    assert not is_elsewhere(asked, own, own)
    assert not is_elsewhere(asked, own, replace(other, statements=("Bus to Bath", "Place 12A")))
    # Of the same kind, or a form, which may hold any row, it may answer, unless the question names what it lacks.
    for alike in (replace(other, kinds=own.kinds), replace(other, any_rows=True)):
        assert not is_elsewhere(asked, own, alike)
        assert is_elsewhere(replace(asked, text="Which seat do I have on the train to Thun?"), own, alike)


def test_a_question_comes_with_the_source_that_shares_most_words() -> None:
    elsewhere = Elsewhere(np.random.default_rng(0))
    elsewhere.remember([Asked("Who brings the kayak?", "Anna", 0)], ("Anna brings the kayak.",), ("bringer",))
    elsewhere.remember([], ("Bring your own kayak",), ("camp",))
    assert list(elsewhere.brought(3)) == [("Who brings the kayak?", ("Bring your own kayak",))]


def test_lessons_of_all_kinds_have_their_answer_among_the_statements_or_nowhere() -> None:
    random = np.random.default_rng(1)
    learnt = [templates.read_templates(file()) for file in (templates.documents_file, templates.statements_file)]
    captions = [f"a {animal} on the grass ." for animal in ("dog", "cat", "horse", "bird", "cow", "goat", "fox")]
    words = Vocabulary(taught_words(), random)
    teacher = Teacher(learnt[0], learnt[1], words, captions, random, forms.read_attributes())
    lessons = teacher.lessons(300)
    nowhere = sum(lesson.right == NOWHERE for lesson in lessons) / len(lessons)
    assert all(lesson.right < len(lesson.statements) for lesson in lessons)
    assert 0.5 < nowhere < 0.75
