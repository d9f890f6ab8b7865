"""How many of a query's words a passage holds: what a cosine over a whole passage blurs.

"when does the train leave" is far from half a minute of a voicemail that says so, by any sentence encoder;
but both of its words are there. Full text knows that too, by BM25: yet in a library of some passages no
word is rare, and BM25 is nearly zero.

Knows strings only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_ENDINGS = ("ings", "ing", "ies", "ied", "es", "ed", "s", "e", "y")
_ANY_ENDING = r"(?:'?s|es|e|ed|ing|ings|y|ies|ied|ly)?"
_SHORTEST_STEM = 3  # letters


class Coverage:
    """One query's words, to be looked for in many texts."""

    def __init__(self, terms: Sequence[str]) -> None:
        stems = dict.fromkeys(stem(term.casefold()) for term in terms)
        self._words = [(one, re.compile(rf"\b{re.escape(one)}{_ANY_ENDING}\b")) for one in stems]
        self._known: dict[str, float] = {}  # meaning and words often find the same passage

    def of(self, text: str | None) -> float:
        """The share of the words that `text` holds, 0 to 1; 0 without words."""
        if not text or not self._words:
            return 0.0
        share = self._known.get(text)
        if share is None:
            lowered = text.casefold()
            # Most texts hold none of them, and finding that out should cost next to nothing.
            held = sum(one in lowered and pattern.search(lowered) is not None for one, pattern in self._words)
            share = self._known[text] = held / len(self._words)
        return share


def stem(word: str) -> str:
    """Without its English ending; words of other languages mostly stay as they are."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            return word[: -len(ending)]
    return word
