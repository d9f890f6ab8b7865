"""Questions and lines in German, French and Spanish, word by word in English: the reader knows only English.

No translation: words keep their order, and what the list lacks (names above all) stays as it is. Pure text; knows no
model and no source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path

from search.language.lexical import EMPTY, language, plain, stem

_FILE = Path(__file__).with_suffix(".txt")
_LANGUAGES = ("de", "fr", "es")
_ENGLISH = "en"
_LONGEST = 5  # words looked up together
_TELLING = 4  # letters of a word that tells a language
_TELLING_CHARACTERS = 2000  # of a passage
_LEAST_KNOWN = 2  # of a language's words, in a passage that is in it
_LONGEST_COMPOUND = 40  # letters
_SHORTEST_PART = 4  # letters of a German compound's parts
_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_JOINTS = ("", "s", "n", "en", "es")  # letters between the parts of a German compound


@lru_cache(maxsize=64)
def in_english(question: str) -> str:
    """The question's gloss; a question in English, or in a language that the list lacks, as it is."""
    spoken = language(question)
    if spoken not in _LANGUAGES:
        return question
    words = _WORD.findall(question.replace("’", "'"))
    return " ".join(_glossed(words, _lists()[spoken], german=spoken == "de")) + "?"


def with_gloss(words: str, passage: str) -> str:
    """A line of a passage with what its words mean behind it: "Gesamtbetrag 871,20 EUR (total)"."""
    written = written_in(passage[:_TELLING_CHARACTERS])
    if written == _ENGLISH:
        return words
    found = _WORD.findall(words.replace("’", "'"))
    own = set(found)
    glosses = [gloss for gloss in _glossed(found, _lists()[written], german=written == "de") if gloss not in own]
    return f"{words} ({' '.join(glosses)})" if glosses else words


@lru_cache(maxsize=64)
def written_in(passage: str) -> str:
    """`de`, `fr` or `es` where more words of a passage are known in it than in English; `en` otherwise.

    Papers have few of the small words by which a question's language is told.
    """
    words = {plain(word) for word in _WORD.findall(passage) if len(word) >= _TELLING}
    english = {word for word in words if word in EMPTY or stem(word) in _english()}
    counts = {name: sum(word in known for word in words - english) for name, known in _lists().items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] >= max(_LEAST_KNOWN, len(english) + 1) else _ENGLISH


def _glossed(words: list[str], known: Mapping[str, str], german: bool) -> Iterator[str]:
    at = 0
    while at < len(words):
        for many in range(min(_LONGEST, len(words) - at), 0, -1):
            run = words[at : at + many]
            # But for German nouns, a capital inside a sentence means a name.
            named = any(word[0].isupper() for word in run[0 if at else 1 :]) and not german
            if not named and (gloss := _look_up("_".join(map(plain, run)), known, german)):
                yield gloss
                break
        else:
            yield words[at]
            many = 1
        at += many


def _look_up(word: str, known: Mapping[str, str], german: bool) -> str:
    if word in known:
        return known[word]
    if "'" in word and "_" not in word:
        # "l'hotel", "kostet's": what stands with the apostrophe says little.
        return known.get(word.split("'", 1)[0 if german else 1], "")
    return next(_parts(word, known), "") if german and "_" not in word else ""


def _parts(word: str, known: Mapping[str, str]) -> Iterator[str]:
    """Both parts of a compound such as "Zimmernummer", where both are known."""
    if len(word) > _LONGEST_COMPOUND:
        return
    for cut in range(len(word) - _SHORTEST_PART, _SHORTEST_PART - 1, -1):
        first, last = word[:cut], word[cut:]
        for joint in _JOINTS:
            part = first.removesuffix(joint)
            if last in known and part in known and len(part) >= _SHORTEST_PART:
                yield f"{known[part]} {known[last]}"


@cache
def _english() -> frozenset[str]:
    """Stems of the words that stand for those of other languages."""
    return frozenset(stem(word) for known in _lists().values() for gloss in known.values() for word in gloss.split())


@cache
def _lists() -> dict[str, dict[str, str]]:
    lists: dict[str, dict[str, str]] = {name: {} for name in _LANGUAGES}
    for line in _FILE.read_text("utf-8").splitlines():
        if "=" not in line or line.startswith("#"):
            continue
        english, foreign = line.split(" = ")
        for name, words in zip(_LANGUAGES, foreign.split("|"), strict=True):
            for word in words.split():
                lists[name].setdefault(word, english)
    return lists
