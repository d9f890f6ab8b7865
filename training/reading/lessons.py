"""What the reader learns from: a question, the statements of one page or memo, and which of them answers, if any.

Near misses are half of the lesson: the same question of another page of the same kind, of the page without the
answer, and of what a search brings beside it. Pages go through the same reading order as the library's. Knows no model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from search.language.lexical import sentences
from search.language.reading.reading_order import WrittenLine, units
from training.reading import captions, layouts, near_misses
from training.reading.elsewhere import Elsewhere, named
from training.reading.forms import make_form
from training.reading.layouts import Page
from training.reading.templates import ENGLISH, Asked, Document, Spoken, make_document, make_spoken
from training.reading.vocabulary import Vocabulary

NOWHERE = -1
_JITTER = 0.15  # of a line's height: recognised boxes are not exact
_CAPITALS_LOST = 0.15  # share of the lessons without capitals, as careless people write
_CAPTIONS_TOGETHER = 6
_FOREIGN = 0.2  # share of the pages that are asked about in other languages
_WITH_BUTTONS = 0.3  # share of the pages
_UNRECOGNISED = 0.15  # share of the pages of which some lines were not read
_LINES_LOST = (1, 4)
_ELSEWHERE = 0.18  # share of the lessons in which a search brought another page or memo than the one that answers
_BUTTONS = (
    "Back",
    "Edit",
    "Share",
    "Save as PDF",
    "Add to calendar",
    "Show more",
    "Terms and conditions apply.",
    "Thank you for your visit!",
    "Need help? Contact us",
    "Page 1 of 2",
    "Print this page",
    "Please keep this document.",
    "Cancel",
    "All rights reserved",
    "See you soon!",
    "www.example.com",
    "Scan the code at the entrance",
    "Made with care",
)
_MENTIONED = (
    "What did she say about the {}?",
    "What is said about the {}?",
    "When does he mention the {}?",
    "What do they say about {}?",
    "When does the speaker talk about {}?",
)
_LABELLED = ("What is the {}?", "What does it say about the {}?", "What is written next to {}?", "Which {} is it?")


class Lesson(Struct, frozen=True):
    """`right`: index of the statement that answers, or NOWHERE."""

    question: str
    statements: tuple[str, ...]
    right: int


class Teacher:
    """Makes lessons without end from templates and captions."""

    def __init__(
        self,
        documents: dict[str, dict[str, Any]],
        statements: dict[str, dict[str, Any]],
        words: Vocabulary,
        sentences: Sequence[str],
        random: np.random.Generator,
        attributes: Mapping[str, Any] | None = None,
        own_words: Mapping[str, Any] | None = None,
    ) -> None:
        """`attributes`: of forms. `own_words`: documents asked about in people's own words. Without, none are made."""
        self._documents = {name: document for name, document in documents.items() if document.get("style") != "chat"}
        self._own_words = own_words or {}
        self._statements, self._words, self._captions, self._random = statements, words, sentences, random
        self._attributes = attributes or {}
        self._elsewhere = Elsewhere(random)

    def lessons(self, count: int) -> list[Lesson]:
        """About `count`, in no order."""
        made: list[Lesson] = []
        makers = [self._of_document, self._of_own_words, self._of_form, self._of_memo, self._of_chat, self._of_captions]
        shares = np.array((0.13, 0.52 * bool(self._own_words), 0.09 * bool(self._attributes), 0.17, 0.045, 0.045))
        while len(made) < (1 - _ELSEWHERE) * count:
            make = makers[self._random.choice(len(makers), p=shares / shares.sum())]
            made += [self._careless(lesson) for lesson in make()]
        brought = self._elsewhere.brought(count - len(made))
        made += [self._careless(Lesson(question, statements, NOWHERE)) for question, statements in brought]
        return [made[i] for i in self._random.permutation(len(made))]

    def of_pages(self, count: int) -> list[Lesson]:
        """About `count` about documents alone, to measure with."""
        made: list[Lesson] = []
        while len(made) < count:
            made += self._of_page(self._documents)
        return made

    def _of_document(self) -> Iterator[Lesson]:
        yield from self._of_page(self._documents)

    def _of_own_words(self) -> Iterator[Lesson]:
        yield from self._of_page(self._own_words)

    def _of_page(self, documents: Mapping[str, Any]) -> Iterator[Lesson]:
        name = str(self._random.choice(list(documents)))
        document, other = (make_document(name, documents[name], self._words) for _ in range(2))
        statements = self._statements_of(layouts.lay_out(document, self._random))
        yield from self._asked(document.asked, other.asked, statements, document.title)
        self._elsewhere.remember(self._some(document.asked, 2), statements, (name,))
        yield from self._labelled(document, statements)
        for asked in self._some([asked for asked in self._memo(1).asked if not asked.anywhere], 1):
            yield Lesson(asked.text, tuple(statements), NOWHERE)
        misses = near_misses.absent(document, documents[name], self._random)
        misses += near_misses.other_keys(document, self._words.lists, self._random)
        yield from self._missed(misses, statements, 2)

    def _of_form(self) -> Iterator[Lesson]:
        form, other = (make_form(self._attributes, self._words, self._random) for _ in range(2))
        statements = self._statements_of(layouts.lay_out(form.document, self._random))
        yield from self._asked(form.document.asked, other.document.asked, statements, form.document.title)
        self._elsewhere.remember(self._some(form.document.asked, 2), statements, ("form",), any_rows=True)
        yield from self._missed(form.lacking, statements, 2)

    def _missed(self, texts: Sequence[str], statements: Sequence[str], most: int) -> Iterator[Lesson]:
        for text in self._some(texts, most):
            yield Lesson(text, tuple(statements), NOWHERE)

    def _of_chat(self) -> Iterator[Lesson]:
        memo, other = self._memo(3), self._memo(3)
        page = layouts.chat(memo, self._words.value("first"), self._random)
        yield from self._of_spoken(memo, other, self._statements_of(page))

    def _of_memo(self) -> Iterator[Lesson]:
        memo, other = self._memo(int(self._random.integers(2, 6))), self._memo(2)
        yield from self._of_spoken(memo, other, memo.sentences)
        yield from self._mentions(memo)

    def _of_spoken(self, memo: Spoken, other: Spoken, statements: Sequence[str]) -> Iterator[Lesson]:
        yield from self._asked(memo.asked, other.asked, statements)
        self._elsewhere.remember(self._some(memo.asked, 2), statements, self._told_by(memo))
        lists = self._words.lists
        for misses in (
            near_misses.other_subjects(memo, lists, self._random),
            near_misses.swapped_subjects(memo, lists),
            near_misses.other_facts(memo, self._statements, lists),
        ):
            yield from self._missed(list(misses), statements, 1)

    def _told_by(self, memo: Spoken) -> tuple[str, ...]:
        """The templates that tell what it tells."""
        also = {told for name in memo.templates for told in self._statements[name].get("also", ())}
        return (*memo.templates, *sorted(also))

    def _memo(self, many: int) -> Spoken:
        names = [str(name) for name in self._random.choice(list(self._statements), many, replace=False)]
        return make_spoken(names, self._statements, self._words, self._random)

    def _asked(
        self, own: Sequence[Asked], strange: Sequence[Asked], statements: Sequence[str], title: str = ""
    ) -> Iterator[Lesson]:
        """Five questions that the page answers, two that it no longer does, and one that another page answers."""
        own, strange = self._in_a_language(own), self._in_a_language(strange)
        for asked in self._some(own, 5):
            held = answering(asked, statements)
            if len(held) <= 1:  # None where its line was not read.
                yield Lesson(asked.text, tuple(statements), held[0] if held else NOWHERE)
        for asked in self._some(own, 2):
            held = answering(asked, statements)
            left = tuple(text for i, text in enumerate(statements) if i not in held)
            if len(held) <= 1 < len(left):
                yield Lesson(asked.text, left, NOWHERE)
        told = " ".join(statements)
        for asked in self._some(strange, 1):
            # The other page may be called the same: then its question is answered here, too.
            same = asked.answer in told or any(asked.text == mine.text for mine in own)
            if not (same or asked.anywhere) and (not title or named(asked.text) - named(told)):
                yield Lesson(asked.text, tuple(statements), NOWHERE)

    def _in_a_language(self, asked: Sequence[Asked]) -> list[Asked]:
        """Those in English, and sometimes the others: then the question's names and what it asks for must do."""
        foreign = self._random.random() < _FOREIGN
        return [question for question in asked if (question.language != ENGLISH) == foreign] or list(asked)

    def _mentions(self, spoken: Spoken) -> Iterator[Lesson]:
        """A question about what is said about something gets the sentence that mentions it."""
        for row in self._some([row for row, subject in enumerate(spoken.subjects) if subject], 1):
            subject = spoken.subjects[row]
            if sum(subject in sentence for sentence in spoken.sentences) == 1:
                asked = str(self._random.choice(_MENTIONED)).format(subject)
                yield Lesson(asked, spoken.sentences, row)

    def _labelled(self, document: Document, statements: Sequence[str]) -> Iterator[Lesson]:
        """The value that the page gives for a label."""
        for cells in self._some([cells for cells in document.rows if len(cells) == 2], 1):
            held = [i for i, text in enumerate(statements) if all(cell in text for cell in cells)]
            if len(held) == 1 and not any(letter.isdigit() for letter in cells[0]):
                asked = str(self._random.choice(_LABELLED)).format(cells[0].lower())
                yield Lesson(asked, tuple(statements), held[0])

    def _of_captions(self) -> Iterator[Lesson]:
        chosen = [self._captions[i] for i in self._random.integers(0, len(self._captions), _CAPTIONS_TOGETHER)]
        asked = [(text, i) for i, caption in enumerate(chosen) for text in captions.questions(caption)]
        for text, right in self._some(asked, 2):
            if not any(text == other and right != i for other, i in asked):
                missing = self._random.random() < 0.3
                left = [caption for i, caption in enumerate(chosen) if not missing or i != right]
                yield Lesson(text, tuple(left), NOWHERE if missing else right)

    def _statements_of(self, page: Page) -> list[str]:
        lines = []
        lost = int(self._random.integers(*_LINES_LOST)) if self._random.random() < _UNRECOGNISED else 0
        unread = set(self._random.permutation(len(page.lines))[:lost].tolist())
        for number, line in enumerate(page.lines):
            if number in unread:
                continue
            left, top, right, bottom = layouts.box_of(line, page)
            off = self._random.uniform(-_JITTER, _JITTER, 2) * (bottom - top)
            lines.append(WrittenLine(line.text, (left, float(top + off[0]), right, float(bottom + off[1]))))
        if self._random.random() < _WITH_BUTTONS:
            lines += self._buttons(max(line.box[3] for line in lines))
        return [unit.reading for unit in units(lines)]

    def _buttons(self, bottom: float) -> Iterator[WrittenLine]:
        """What stands below the words of most screenshots, and answers nothing."""
        for number, text in enumerate(self._some(_BUTTONS, int(self._random.integers(1, 4)))):
            top = bottom + 0.08 * (number + 1)
            yield WrittenLine(text, (0.1, top, 0.1 + 0.012 * len(text), top + 0.025))

    def _some(self, things: Sequence[Any], most: int) -> list[Any]:
        return [things[i] for i in self._random.permutation(len(things))[:most]]

    def _careless(self, lesson: Lesson) -> Lesson:
        if self._random.random() >= _CAPITALS_LOST:
            return lesson
        return msgspec.structs.replace(lesson, question=lesson.question.lower().rstrip("?"))


def answering(asked: Asked, statements: Sequence[str]) -> list[int]:
    """The statements that hold the answer, or a sentence of it; of several those with its label."""
    held = [i for i, text in enumerate(statements) if asked.answer in text]
    if not held:  # "Damaged? Refuse it": what asks is read apart
        told = [part for part in sentences(asked.answer) if not part.endswith("?")]
        held = [i for i, text in enumerate(statements) if any(part in text for part in told)]
    return [i for i in held if asked.label in statements[i]] or held if len(held) > 1 else held
