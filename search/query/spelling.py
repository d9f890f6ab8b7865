"""Words that may be meant: typing errors, and names that speech recognition spelled by their sound.

Pure strings. What is known is handed in: the words of a language by how common they are, and the library's own words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from search.words import folded, is_unspaced, stem

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_LONG = 7  # letters from which a word may hold two errors
# In shorter words letters are swapped, doubled or left out; another letter makes another word ("Hund", "hand").
_SHORT = 6
_ALONE = 5  # words of fewer letters are corrected only beside words that are known: "dgo on the gras"
_LEAST = 3
# Small words that tell that a query is not in English, none of which is an English word.
_SMALL_WORDS = (
    "der dem den das ein eine einem einen einer und oder aber im beim zum mit auf ist sind nicht kein keine "
    "keinen ohne von zu aus bei nach vor le les du une dans sur avec sans qui est pas chez sous el los las una "
    "con por del que pero para il gli nel della che senza na se ve je ze bez een het niet voor zonder og att och "
    "som utan uden w z jest um uma os em sem com"
)
_OF_OTHER_LANGUAGES = frozenset(_SMALL_WORDS.split())
_ENDINGS = ("s", "es", "d", "ed", "r", "er", "ers", "ing", "'s", "’s")
_SOUNDED_LEAST = 4  # letters of a name that may have been heard otherwise
# Words more common than this are not names: "dog" never stands for something that sounds like it.
_COMMON = 6000
_MOST_COMMON = 500  # and no name is written as these are
_VOWELS = str.maketrans("", "", "aeiouyhw")
_SOUNDS = (("ph", "f"), ("ck", "k"), ("qu", "k"), ("sch", "s"), ("sh", "s"), ("th", "t"), ("dt", "t"), ("tz", "s"))
_LETTERS = str.maketrans("cqvzxjbdg", "kkfsksptk")  # voiced as voiceless: what ears confuse


class Reason(StrEnum):
    """Why another word may be meant."""

    SPELLING = "spelling"
    SOUND = "sound"


class Suggestion(Struct, frozen=True):
    """A word of a query, and the one that may be meant."""

    word: str
    suggestion: str
    reason: Reason


class Known(Struct, frozen=True):
    """What words there are."""

    common: Mapping[str, int]  # of the language, folded, by rank: 0 is the most common
    library: frozenset[str]  # spoken, seen or named in the library, folded
    rare: Callable[[], Container[str]] = frozenset  # more words of the language, in lower case; slow the first time
    abroad: Callable[[], Container[str]] = frozenset  # words of other languages, likewise

    def holds(self, word: str) -> bool:
        """Whether the word is known, as it is or without an English ending."""
        if word in self.common or word in self.library or stem(word) in self.common:
            return True
        if any(word.endswith(ending) and word.removesuffix(ending) in self.common for ending in _ENDINGS):
            return True
        return word in self.rare()  # never what is meant instead: rare words lie near every slip


def suggestions(text: str, known: Known) -> list[Suggestion]:
    """At most one suggestion for each word of a query that is unknown, or that may be a misheard name."""
    words = list(dict.fromkeys(match.group() for match in _WORD.finditer(text)))
    plain = {word: folded(word) for word in words if not is_unspaced(word)}
    unknown = [word for word in plain if not known.holds(plain[word])]
    if _OF_OTHER_LANGUAGES & set(plain.values()):
        unknown = []  # the words that are known here are English ones
    alone = len(unknown) == len(words)
    if not alone and 2 * len(unknown) > len(words) and all(word.lower() in known.abroad() for word in unknown):
        unknown = []  # "strand", an English word too, among German ones
    # "gras" beside English words is an error; "Mädchen" or "chien" alone is not English.
    unknown = [word for word in unknown if word.isascii() and not (alone and word.lower() in known.abroad())]
    least = _ALONE if alone else _LEAST
    suggested = []
    for word, key in plain.items():
        # A name that the library spells otherwise comes before a word of the language that looks like it.
        named = word[:1].isupper()
        meant = _misheard(key, known, named)
        if meant and (named or word not in unknown or meant not in known.common):
            suggested.append(Suggestion(word, meant, Reason.SOUND))
        elif word in unknown and len(word) >= least and (meant := _respelled(key, known)):
            suggested.append(Suggestion(word, meant, Reason.SPELLING))
    return suggested


def corrected(text: str, suggestions: Sequence[Suggestion]) -> str:
    """The text with words replaced by what may be meant."""
    meant = {suggestion.word: suggestion.suggestion for suggestion in suggestions}
    return _WORD.sub(lambda match: meant.get(match.group(), match.group()), text)


def _respelled(word: str, known: Known) -> str | None:
    """The nearest known word; of equally near ones the library's own, then the most common."""
    most = 2 if len(word) >= _LONG else 1
    near = [
        (errors, other)
        for other, errors in _near(word, (*known.library, *known.common), most)
        # Few people get the first letter wrong, unless they swap the first two.
        if (other[0] == word[0] or other[:2] == word[1::-1]) and (len(word) >= _SHORT or _slipped(word, other))
    ]

    def cost(candidate: tuple[int, str]) -> tuple[int, int, bool, int]:
        errors, other = candidate
        # Letters are swapped or left out rather than added.
        slip = 0 if sorted(other) == sorted(word) else 1 if len(other) > len(word) else 2
        return errors, slip, other not in known.library, known.common.get(other, len(known.common))

    return min(near, key=cost)[1] if near else None


def _slipped(word: str, other: str) -> bool:
    """Whether no letter was taken for another."""
    return len(word) != len(other) or sorted(word) == sorted(other)


def _misheard(word: str, known: Known, named: bool) -> str | None:
    """A word of the library that sounds like this one, which the library does not hold; `named`: written as a name."""
    # "Hund" is not how anybody hears "and", but "Rose" may be a name.
    least = _MOST_COMMON if named else _COMMON

    def is_common(candidate: str) -> bool:
        return known.common.get(candidate, least) < least or candidate in _OF_OTHER_LANGUAGES

    if len(word) < _SOUNDED_LEAST or word in known.library or (not named and is_common(word)):
        return None
    sound = sounded(word)
    alike = [
        (errors, other)
        for other, errors in _near(word, known.library, 2)
        if len(other) >= _LEAST and sounded(other) == sound and not is_common(other)
    ]
    return min(alike)[1] if alike else None


def _near(word: str, others: Iterable[str], most: int) -> Iterable[tuple[str, int]]:
    """Words with at most that many errors between."""
    letters = frozenset(word)
    for other in others:
        if abs(len(other) - len(word)) <= most and len(letters.symmetric_difference(other)) <= 2 * most:
            errors = errors_between(word, other, most)
            if errors <= most:
                yield other, errors


def errors_between(word: str, other: str, most: int) -> int:
    """Letters left out, added, exchanged or swapped (Damerau 1964); above `most`, how many more is open."""
    before: list[int] = []
    line = list(range(len(other) + 1))
    for row, letter in enumerate(word, start=1):
        older, before, line = before, line, [row] + [0] * len(other)
        for column, against in enumerate(other, start=1):
            errors = min(before[column] + 1, line[column - 1] + 1, before[column - 1] + (letter != against))
            if row > 1 and column > 1 and letter == other[column - 2] and word[row - 2] == against:
                errors = min(errors, older[column - 2] + 1)
            line[column] = errors
        if min(line) > most:
            return most + 1
    return line[-1]


def sounded(word: str) -> str:
    """A key that words of one sound share: consonants alone, those that ears confuse as one."""
    plain = re.sub(r"[^a-z]", "", folded(word))
    if not plain:
        return word
    for letters, sound in _SOUNDS:
        plain = plain.replace(letters, sound)
    consonants = plain.translate(_LETTERS).translate(_VOWELS)
    first = "a" if plain[0] in "aeiouyhw" else ""
    return first + re.sub(r"(.)\1+", r"\1", consonants)
