"""Pages and memos that a search brings beside the one that answers: alike in words, and without the answer.

An answer is read from a dozen passages, of which one answers at most. Knows statements and questions; knows no layout,
no model and no library.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct

from search.language.lexical import content
from training.reading.templates import Asked

_REMEMBERED = 1500  # pages and memos made last, and questions about them
_LIKELIEST = 3  # by the words that they share with the question: one of these was brought
_LOOKED_AT = 12


class Source(Struct, frozen=True):
    """A page or memo that lessons were made of."""

    statements: tuple[str, ...]
    kinds: frozenset[str]  # templates that tell what it tells
    words: frozenset[str] = frozenset()
    any_rows: bool = False  # a form: it may have rows that pages of other kinds have


class Elsewhere:
    """Remembers what was made last, and brings questions together with other sources than their own."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._sources: deque[Source] = deque(maxlen=_REMEMBERED)
        self._asked: deque[tuple[Asked, Source]] = deque(maxlen=_REMEMBERED)

    def remember(
        self, asked: Sequence[Asked], statements: Sequence[str], kinds: Sequence[str], any_rows: bool = False
    ) -> None:
        """A source with questions that it answers; those that make sense anywhere are not asked elsewhere."""
        source = Source(tuple(statements), frozenset(kinds), content(" ".join(statements)), any_rows)
        self._sources.append(source)
        self._asked.extend((question, source) for question in asked if not question.anywhere)

    def brought(self, many: int) -> Iterator[tuple[str, tuple[str, ...]]]:
        """At most that many questions, each with the statements of a source that holds many of its words."""
        for row in self._random.permutation(len(self._asked))[:many]:
            asked, own = self._asked[row]
            wanted = content(asked.text)
            shuffled = [self._sources[i] for i in self._random.permutation(len(self._sources))]
            likely = sorted(shuffled, key=lambda source: -len(wanted & source.words))[:_LOOKED_AT]
            others = [source for source in likely if is_elsewhere(asked, own, source)][:_LIKELIEST]
            if others:
                yield asked.text, others[int(self._random.integers(len(others)))].statements

    def asked_of_others(self, source: Source, many: int) -> list[str]:
        """At most that many questions of other sources that this one does not answer, though it holds their names."""
        held = named(" ".join(source.statements))
        texts: list[str] = []
        for row in self._random.permutation(len(self._asked)):
            if len(texts) == many:
                break
            asked, own = self._asked[row]
            if named(asked.text) <= held and is_elsewhere(asked, own, source):
                texts.append(asked.text)
        return texts


def is_elsewhere(asked: Asked, own: Source, other: Source) -> bool:
    """Is what answers the question in its own source surely nowhere in the other one?"""
    told = " ".join(other.statements)
    if other is own or asked.answer in told:
        return False
    return bool(named(asked.text) - named(told)) or not (own.kinds & other.kinds or own.any_rows or other.any_rows)


def named(text: str) -> set[str]:
    """Its words with a capital, but for the first and "I"."""
    return {word.strip("?.,:'s") for word in text.split()[1:] if word[:1].isupper()} - {"I"}
