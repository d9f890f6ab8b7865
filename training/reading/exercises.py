"""What the pointer learns from: a page or memo with everything that is asked about it at once.

A page is read once for all of its questions, so a step teaches a dozen times as many as lessons of one question would.
Near misses are half of them, as in lessons. Knows no model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from training.reading import layouts, near_misses
from training.reading.elsewhere import Source, named
from training.reading.forms import make_form
from training.reading.lessons import NOWHERE, Lesson, Teacher, answering
from training.reading.templates import ENGLISH, Asked, Document, make_document

_SHARES = {"own words": 0.56, "document": 0.16, "form": 0.08, "memo": 0.15, "chat": 0.05}
_LINES_LEFT_OUT = 0.5  # share of the pages of which some answering lines are left out
_LEFT_OUT = (1, 4)
_ANSWERED, _STRANGE, _MISSED, _ELSEWHERE = 10, 2, 4, 2  # questions of each sort, at most
_LABELLED = 0.3  # share of the pages


class Exercise(Struct, frozen=True):
    """Statements, and questions each with the index of the statement that answers, or NOWHERE."""

    statements: tuple[str, ...]
    asked: tuple[tuple[str, int], ...]


class _Source(Struct, frozen=True):
    """A page or memo before it is asked about."""

    statements: Sequence[str]
    asked: Sequence[Asked]
    strange: Sequence[Asked]  # of another source of the kind
    missed: Sequence[str]
    kinds: tuple[str, ...]  # templates that tell what it tells
    document: Document | None = None
    any_rows: bool = False  # a form: it may have rows that pages of other kinds have


class PageTeacher(Teacher):
    """Makes exercises without end from the same templates."""

    def exercises(self, count: int) -> list[Exercise]:
        """`count` of them, in no order."""
        makers: Mapping[str, Callable[[], _Source]] = {
            "own words": lambda: self._page(self._own_words),
            "document": lambda: self._page(self._documents),
            "form": self._form,
            "memo": self._spoken,
            "chat": lambda: self._spoken(chat=True),
        }
        there = {"own words": bool(self._own_words), "form": bool(self._attributes)}
        shares = np.array([share * there.get(kind, True) for kind, share in _SHARES.items()])
        kinds = self._random.choice(list(_SHARES), count, p=shares / shares.sum())
        return [self._exercise(makers[kind]()) for kind in kinds]

    def _page(self, documents: Mapping[str, Any]) -> _Source:
        name = str(self._random.choice(list(documents)))
        page, other = (make_document(name, documents[name], self._words) for _ in range(2))
        missed = near_misses.absent(page, documents[name], self._random)
        missed += near_misses.other_keys(page, self._words.lists, self._random)
        statements = self._statements_of(layouts.lay_out(page, self._random))
        return _Source(statements, page.asked, other.asked, missed, (name,), page)

    def _form(self) -> _Source:
        form, other = (make_form(self._attributes, self._words, self._random) for _ in range(2))
        page = form.document
        statements = self._statements_of(layouts.lay_out(page, self._random))
        return _Source(statements, page.asked, other.document.asked, form.lacking, ("form",), page, any_rows=True)

    def _spoken(self, chat: bool = False) -> _Source:
        memo, other = self._memo(int(self._random.integers(2, 6))), self._memo(2)
        lists = self._words.lists
        missed = [
            text
            for texts in (
                near_misses.other_subjects(memo, lists, self._random),
                near_misses.swapped_subjects(memo, lists),
                near_misses.other_facts(memo, self._statements, lists),
            )
            for text in self._some(list(texts), 2)
        ]
        statements: Sequence[str] = memo.sentences
        if chat:
            statements = self._statements_of(layouts.chat(memo, self._words.value("first"), self._random))
        return _Source(statements, memo.asked, other.asked, missed, self._told_by(memo))

    def _exercise(self, source: _Source) -> Exercise:
        """Of half of the pages some of the lines that answer are left out: then their questions have no answer."""
        asked = self._some(self._in_a_language(source.asked), _ANSWERED)
        held = {question: answering(question, source.statements) for question in asked}
        out = self._left_out([rows[0] for rows in held.values() if len(rows) == 1], len(source.statements))
        kept = [row for row in range(len(source.statements)) if row not in out]
        pairs = [
            (question.text, kept.index(rows[0]) if rows and rows[0] not in out else NOWHERE)
            for question, rows in held.items()
            if len(rows) <= 1  # none where its line was not read
        ]
        pairs += [(text, NOWHERE) for text in self._missing(source)]
        if source.document and not out and self._random.random() < _LABELLED:
            pairs += [(lesson.question, lesson.right) for lesson in self._labelled(source.document, source.statements)]
        lessons = [self._careless(Lesson(text, (), right)) for text, right in pairs]
        return Exercise(
            tuple(source.statements[row] for row in kept), tuple((lesson.question, lesson.right) for lesson in lessons)
        )

    def _left_out(self, answering_rows: Sequence[int], many: int) -> set[int]:
        if self._random.random() >= _LINES_LEFT_OUT:
            return set()
        out = set(self._some(sorted(set(answering_rows)), int(self._random.integers(*_LEFT_OUT))))
        return out if len(out) < many - 1 else set()

    def _missing(self, source: _Source) -> list[str]:
        """Questions that nothing here answers: of another of the kind, of what such pages lack, of something else."""
        told = " ".join(source.statements)
        texts = []
        for other in self._some(source.strange, _STRANGE):
            # The other one may be called the same: then its question is answered here, too.
            same = other.answer in told or any(other.text == mine.text for mine in source.asked)
            if not (same or other.anywhere) and (source.document is None or named(other.text) - named(told)):
                texts.append(other.text)
        texts += self._some(list(source.missed), _MISSED)
        if source.document:
            texts += [other.text for other in self._some(self._memo(1).asked, 1) if not other.anywhere]
        texts += self._elsewhere.asked_of_others(
            Source(tuple(source.statements), frozenset(source.kinds), any_rows=source.any_rows), _ELSEWHERE
        )
        mine = [asked for asked in source.asked if asked.language == ENGLISH and not asked.anywhere]
        self._elsewhere.remember(self._some(mine, 1), source.statements, source.kinds, source.any_rows)
        return texts
