"""What a segment says, statement by statement, with the position of each: its box in the picture, its words' times.

Text seen is read in reading order; speech sentence by sentence. Knows how segments keep their details; knows no
question and no model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import msgspec
from msgspec import Struct

from search.language.lexical import is_question, sentences
from search.language.reading.reading_order import Box, Unit, WrittenLine, units
from search.results import Moment
from search.signals import Signal


class Statement(Struct, frozen=True, kw_only=True):
    """Words that may answer by themselves."""

    words: str  # as they are quoted
    reading: str  # with the headings of their table, for readers that must understand them
    question: str = ""  # that stands before it
    box: Box | None = None  # left, top, right, bottom in parts of the picture
    start_seconds: float | None = None
    end_seconds: float | None = None
    word_starts: tuple[float, ...] = ()  # in seconds, of each of the words between spaces; () where not known
    lines: tuple[int, int] | None = None  # of a text file, first and last


_LINE_STEP = 1.25  # heights of a line from one to the next


def statements(moment: Moment, details: bytes | None) -> list[Statement]:
    """The statements of a moment with words. `details`: of its segment, as the catalogue keeps them."""
    known: dict[str, Any] = msgspec.json.decode(details) if details else {}
    if moment.signal is Signal.TEXT and known.get("lines"):
        lines = [WrittenLine(line["text"], tuple(line["box"])) for line in known["lines"]]
        return _behind_questions([_seen(unit, moment) for unit in units(lines)])
    if moment.lines is not None and moment.text:
        return _behind_questions([_written(unit, moment) for unit in units(list(_placed(moment.text)))])
    return _behind_questions(list(_said(moment, known.get("words", []))))


def _behind_questions(statements: Sequence[Statement]) -> list[Statement]:
    """What follows a question is read with it: "Under the pot." tells nothing without "Where is the key?"."""
    before = (None, *statements[:-1])
    return [
        msgspec.structs.replace(held, question=asked.words)
        if asked is not None and is_question(asked.words) and not is_question(held.words)
        else held
        for asked, held in zip(before, statements, strict=True)
    ]


def _seen(unit: Unit, moment: Moment) -> Statement:
    left, top, right, bottom = unit.box
    return Statement(
        words=unit.words,
        reading=unit.reading,
        box=(round(left, 4), round(top, 4), round(right, 4), round(bottom, 4)),
        start_seconds=moment.start_seconds,
        end_seconds=moment.end_seconds,
    )


def _placed(text: str) -> Iterator[WrittenLine]:
    """The lines of a text file as if on a page of letters that are half as wide as high: what follows is paragraphs."""
    for number, line in enumerate(text.split("\n")):
        if words := line.strip():
            indent = len(line) - len(line.lstrip())
            yield WrittenLine(
                words, (indent / 2, number * _LINE_STEP, (indent + len(words)) / 2, number * _LINE_STEP + 1)
            )


def _written(unit: Unit, moment: Moment) -> Statement:
    """A statement of a text file, with the number of its lines."""
    assert moment.lines is not None
    first, last = (moment.lines[0] + int(edge / _LINE_STEP) for edge in (unit.box[1], unit.box[3]))
    return Statement(words=unit.words, reading=unit.reading, lines=(first, last))


def _said(moment: Moment, words: list[tuple[float, float, str]]) -> Iterator[Statement]:
    """Sentences with when each of their words begins, where the words' times are known."""
    letters = _letters(words)
    at = 0
    for sentence in sentences(moment.text or ""):
        counts = [sum(letter.isalnum() for letter in word) for word in sentence.split()]
        timed = letters[at : at + sum(counts)]
        at += sum(counts)
        firsts = [min(before, len(timed) - 1) for before in accumulate(counts[:-1], initial=0)] if timed else []
        yield Statement(
            words=sentence,
            reading=sentence,
            start_seconds=timed[0][0] if timed else moment.start_seconds,
            end_seconds=timed[-1][1] if timed else moment.end_seconds,
            word_starts=tuple(timed[first][0] for first in firsts),
        )


def _letters(words: list[tuple[float, float, str]]) -> list[tuple[float, float]]:
    """The times of the word that each letter belongs to: words are joined and trimmed on their way into text."""
    return [(start, end) for start, end, word in words for letter in word if letter.isalnum()]
