"""Cuts words with times into passages of the length that suits a sentence encoder.

Pure functions. Cuts at pauses and at the ends of sentences, without overlap, and removes loops: what a
speech model repeats over and over was not said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from indexer.segmenting.transcriber import Word

# The sentence encoder was trained on about 128 tokens: 30 s of quick speech.
LONGEST_SECONDS = 30.0
LONGEST_CHARACTERS = 2000  # far more than anybody says in that time
ENOUGH_SECONDS = 10.0  # from here on the end of a sentence ends the passage
LONG_PAUSE_SECONDS = 2.5  # ends a passage however short it is: something else begins
PAUSE_SECONDS = 0.8  # counts as the end of a sentence
_SENTENCE_ENDS = ".?!…。？！"
_MAX_LOOP_WORDS = 12  # longest phrase that is looked for as a loop
_LOOP_REPEATS = 3  # people say things twice, rarely three times in a row without a pause


@dataclass(frozen=True)
class Passage:
    """Words that belong together."""

    words: tuple[Word, ...]

    @property
    def start_seconds(self) -> float:
        """Start of the first word."""
        return self.words[0].start_seconds

    @property
    def end_seconds(self) -> float:
        """End of the last word."""
        return self.words[-1].end_seconds

    @property
    def text(self) -> str:
        """The words as written."""
        return " ".join("".join(word.text for word in self.words).split())


def cut(words: Sequence[Word]) -> list[Passage]:
    """Passages of 10 to 30 s where the words allow it, in time order."""
    passages: list[Passage] = []
    current: list[Word] = []
    for word in words:
        if current and _ends_before(current, word):
            kept = _best_cut(current, word)
            passages.append(Passage(tuple(current[:kept])))
            current = current[kept:]
        current.append(word)
    if current:
        passages.append(Passage(tuple(current)))
    return passages


def _ends_before(current: list[Word], word: Word) -> bool:
    pause = word.start_seconds - current[-1].end_seconds
    if pause >= LONG_PAUSE_SECONDS or word.end_seconds - current[0].start_seconds > LONGEST_SECONDS:
        return True
    if sum(len(spoken.text) for spoken in current) + len(word.text) > LONGEST_CHARACTERS:
        return True
    long_enough = current[-1].end_seconds - current[0].start_seconds >= ENOUGH_SECONDS
    return long_enough and (_ends_sentence(current[-1]) or pause >= PAUSE_SECONDS)


def _best_cut(current: list[Word], word: Word) -> int:
    """How many words stay: all at a good place; where there is none, up to the longest pause."""
    pause = word.start_seconds - current[-1].end_seconds
    if pause >= PAUSE_SECONDS or _ends_sentence(current[-1]) or len(current) < 4:
        return len(current)
    half = len(current) // 2
    pauses = [(b.start_seconds - a.end_seconds, n) for n, (a, b) in enumerate(pairwise(current), 1)]
    ends = [n for n in range(half, len(current)) if _ends_sentence(current[n - 1])]
    return ends[-1] if ends else max(pauses[half - 1 :], key=lambda entry: entry[0])[1]


def _ends_sentence(word: Word) -> bool:
    return word.text.rstrip("\"'”’»)]").endswith(tuple(_SENTENCE_ENDS))


def without_loops(words: Sequence[Word]) -> list[Word]:
    """The words with every phrase that is repeated three times and more left standing once."""
    kept = list(words)
    plain = [_plain(word) for word in kept]
    at = 0
    while at < len(kept):
        removed = False
        for length in range(1, _MAX_LOOP_WORDS + 1):
            repeats = _repeats(plain, at, length)
            # A single word is repeated for emphasis ("no, no, no"); a model in a loop does not stop there.
            if repeats >= (_LOOP_REPEATS if length > 1 else 2 * _LOOP_REPEATS):
                del kept[at + length : at + repeats * length]
                del plain[at + length : at + repeats * length]
                removed = True
                break
        at += 0 if removed and len(kept) > at + 1 and _repeats(plain, at, 1) >= 2 * _LOOP_REPEATS else 1
    return kept


def _repeats(plain: Sequence[str], at: int, length: int) -> int:
    phrase = plain[at : at + length]
    count = 1
    while len(phrase) == length and plain[at + count * length : at + (count + 1) * length] == phrase:
        count += 1
    return count


def _plain(word: Word) -> str:
    return "".join(c for c in word.text.casefold() if c.isalnum())
