"""How many of a query's words a passage holds: what a cosine over a whole passage blurs.

"when does the train leave" is far from half a minute of a voicemail that says so, by any sentence encoder;
but both of its words are there. Full text knows that too, by BM25: yet in a library of some passages no
word is rare, and BM25 is nearly zero.

Knows strings only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from search.words import folded, is_unspaced, stem

_ALIKE = 2  # first letters that a word shares with its stem: only such words of a text are worth stemming
_WORD = re.compile(r"\w+")


class TermCoverage:
    """One query's words, to be looked for in many texts."""

    def __init__(self, terms: Sequence[str]) -> None:
        plain = dict.fromkeys(map(folded, terms))
        self._inside = [term for term in plain if is_unspaced(term)]
        # A term such as "3.14" or "don't" is several words to a text.
        words = {term: [stem(word) for word in _WORD.findall(term)] for term in plain if term not in self._inside}
        self._stems = list(dict.fromkeys(tuple(stems) for stems in words.values()))
        starts = {re.escape(alternative[:_ALIKE]) for stems in self._stems for alternative in stems}
        self._alike = re.compile(rf"\b(?:{'|'.join(sorted(starts))})\w*") if starts else None
        self._known: dict[str, float] = {}  # meaning and words often find the same passage

    def of(self, text: str | None) -> float:
        """The share of the words that `text` holds, 0 to 1; 0 without words."""
        if not text or not (self._inside or self._stems):
            return 0.0
        share = self._known.get(text)
        if share is None:
            plain = folded(text)
            held = sum(term in plain for term in self._inside)
            if self._alike:
                # Most texts hold none of them, and finding that out should cost next to nothing.
                stems = {stem(word) for word in self._alike.findall(plain)}
                held += sum(bool(alternatives) and stems.issuperset(alternatives) for alternatives in self._stems)
            share = self._known[text] = held / (len(self._inside) + len(self._stems))
        return share
