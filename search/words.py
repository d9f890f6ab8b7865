"""Words in every script, as queries, passages and full text are compared by.

Chinese, Japanese, Korean, Thai, Lao, Khmer, Burmese and Tibetan write words without spaces, or join particles to them,
so a word's letters stand inside a longer run. Here such a run is cut letter by letter for the index, where a run of
letters is then found as a phrase is, and into short overlapping pieces for queries, as Lucene's CJK analyzer does.

Knows strings only. It lies at the ground: it imports nothing of Medley.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

import snowballstemmer

# Scripts whose words are not told apart by spaces: ranges of code points that Python's and PostgreSQL's regular
# expressions both understand between brackets.
_SYLLABLES_AND_SIGNS = (
    r"\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"  # Chinese
    r"\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Japanese
    r"\u3105-\u312f\u31a0-\u31bf\ua000-\ua48c"  # Bopomofo, Yi
    r"\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3"  # Korean
)
_LETTERS_AND_MARKS = (
    r"\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ecd\u0edc-\u0edf"  # Thai, Lao
    r"\u0f40-\u0fbc\u1000-\u103f\u1050-\u108f\u1780-\u17d3"  # Tibetan, Burmese, Khmer
)
UNSPACED = _SYLLABLES_AND_SIGNS + _LETTERS_AND_MARKS
# Stands where a run is cut. No letter of any text, one character long, and a space to both databases' parsers.
SEPARATOR = "\x1f"
# How many signs of a run are looked for together: most Chinese words have two, most Thai ones four letters or more.
_SYLLABLES_TOGETHER, _LETTERS_TOGETHER = 2, 4

_UNSPACED_SIGN = re.compile(f"[{UNSPACED}]")
_RUN = re.compile(f"(?P<syllables>[{_SYLLABLES_AND_SIGNS}]+)|(?P<letters>[{_LETTERS_AND_MARKS}]+)|[^{UNSPACED}]+")
_VARIATION_SELECTORS = re.compile("[\ufe00-\ufe0f]")


def separated(text: str) -> str:
    """The text with every sign of a script without spaces cut off from its neighbours; other text as it is."""
    if text.isascii():
        return text
    text = _VARIATION_SELECTORS.sub(SEPARATOR, text)
    if not _UNSPACED_SIGN.search(text):
        return text
    # Composed, so that Korean from a file name, which is spelled in parts, meets Korean that is typed.
    return _UNSPACED_SIGN.sub(rf"{SEPARATOR}\g<0>{SEPARATOR}", unicodedata.normalize("NFC", text))


def is_unspaced(word: str) -> bool:
    """Whether a word holds signs of a script without spaces."""
    return not word.isascii() and _UNSPACED_SIGN.search(word) is not None


def pieces(word: str) -> Iterator[str]:
    """A word as it is looked for: itself, or overlapping pieces of its runs without spaces.

    "図書館" gives "図書" and "書館": a text with both has the word, and "図書館で" is still found by
    most of its pieces.
    """
    if not is_unspaced(word):
        yield word
        return
    for run in _RUN.finditer(unicodedata.normalize("NFC", word)):
        length = _SYLLABLES_TOGETHER if run["syllables"] else _LETTERS_TOGETHER if run["letters"] else len(run.group())
        for start in range(max(1, len(run.group()) - length + 1)):
            yield run.group()[start : start + length]


def folded(text: str) -> str:
    """Without case and accents."""
    lowered = text.casefold()
    if lowered.isascii():
        return lowered
    plain = (sign for sign in unicodedata.normalize("NFD", lowered) if not "\u0300" <= sign <= "\u036f")
    return unicodedata.normalize("NFC", "".join(plain))


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """The Snowball stem of an English word in lower case; words of other languages mostly stay as they are."""
    return str(_STEMMER.stemWord(word))


_STEMMER = snowballstemmer.stemmer("english")
