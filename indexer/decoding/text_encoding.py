"""Text files in whatever encoding somebody's program wrote: what was written, or a reason, never garbage.

Knows chardet and how to doubt it (charset-normalizer failed on short Cyrillic, Chinese and Japanese subtitles, which
chardet gets right); knows nothing of subtitles.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from contextlib import suppress

import chardet

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WESTERN = "cp1252"
_CYRILLIC = ("cp1251", "koi8-r", "cp866", "mac-cyrillic", "iso8859-5", "koi8-u")
_COMMON_CYRILLIC = frozenset("абвгдеёжзийклмнопрстуфхцчшщъыьэюяіїєґАБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯІЇЄҐ")
_LOOKED_AT_BYTES = 64 * 1024
_MOST_MIXED = 0.1  # share of words that may hold letters of two alphabets
_MOST_SIGNS = 0.1  # share of what is not ASCII that may be no letter
_ALPHABETS = ("LATIN", "CYRILLIC", "GREEK", "HEBREW", "ARABIC", "THAI")
_PUNCTUATION = "«»“”„‘’‚–—…·¿¡♪♫ \u00ad。，！？、：；「」『』（）《》〈〉・ー"


class UnreadableTextError(Exception):
    """No encoding makes words of these bytes."""


def read_text(data: bytes) -> str:
    """The text. Raises UnreadableTextError."""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    if b"~{" in data and data.isascii():  # as Chinese was mailed: two letters a sign, between ~{ and ~}
        with suppress(UnicodeDecodeError):
            return data.decode("hz")
    if b"\0" not in data and b"\x1b$" not in data:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            if error.end >= len(data) - 3 and error.start > 0:  # cut within its last character
                return data[: error.start].decode("utf-8")
    if b"\x1b$" in data:  # escapes into two bytes a sign
        with suppress(UnicodeDecodeError):
            return data.decode("iso2022_kr" if b"\x1b$)C" in data else "iso2022_jp_2")
    if (mixed := _mostly_utf8(data)) is not None:
        return mixed
    told = chardet.detect(data[:_LOOKED_AT_BYTES])["encoding"]
    if told and _name(told) in _CYRILLIC:
        told = _likeliest_cyrillic(data, told)
    for guess in (told, _WESTERN):
        text = _decoded(data, guess)
        if text is not None and _is_plausible(text):
            return unicodedata.normalize("NFC", text)  # Vietnamese is written with marks apart
    raise UnreadableTextError("in no encoding that is known do its bytes make words")


def _mostly_utf8(data: bytes) -> str | None:
    """Files that somebody joined: each line in its own encoding, where most that need one are UTF-8."""
    rows = data.split(b"\n")
    foreign = [row for row in rows if not row.isascii()]
    if b"\0" in data or 2 * sum(_decoded(row, "utf-8") is not None for row in foreign) < max(2, len(foreign)):
        return None
    texts = [_decoded(row, "utf-8") or _decoded(row, _WESTERN) for row in rows]
    text = "\n".join(decoded or "" for decoded in texts)
    return text if None not in texts and _is_plausible(text) else None


def _name(encoding: str) -> str:
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        return ""


def _likeliest_cyrillic(data: bytes, told: str) -> str:
    """The Cyrillic encodings give the same bytes other letters: the one in which words are written as words are."""
    return max(
        (told, *_CYRILLIC), key=lambda encoding: _cyrillic_likelihood(_decoded(data[:_LOOKED_AT_BYTES], encoding))
    )


def _cyrillic_likelihood(text: str | None) -> float:
    """Of what is not ASCII, how much are letters of Russian and Ukrainian in the case in which words have them."""
    if text is None:
        return -1.0
    foreign = [character for character in text if character > "\x7f" and character not in _PUNCTUATION]
    common = sum(character in _COMMON_CYRILLIC for character in foreign)
    rare = sum("\u0400" <= character <= "\u052f" and character not in _COMMON_CYRILLIC for character in foreign)
    odd = len(re.findall(r"[а-яё][А-ЯЁ]", text))  # a capital within a word
    return (common + rare / 2 - odd) / max(1, len(foreign))


def _decoded(data: bytes, encoding: str | None) -> str | None:
    try:
        return data.decode(encoding) if encoding else None
    except (UnicodeDecodeError, LookupError):
        return None


def _is_plausible(text: str) -> bool:
    """Do words keep to one alphabet, and are they made of letters?"""
    foreign = [character for character in text if character > "\x7f" and character not in _PUNCTUATION]
    if any(unicodedata.category(character) in ("Cc", "Cn", "Co") for character in foreign):
        return False
    signs = sum(unicodedata.category(character)[0] not in "LM" for character in foreign)
    words = [word for word in re.findall(r"[^\W\d_]+", text) if not word.isascii()]
    mixed = sum(len(_alphabets(word)) > 1 for word in words)
    return signs <= _MOST_SIGNS * len(foreign) and mixed <= _MOST_MIXED * len(words)


def _alphabets(word: str) -> set[str]:
    names = (unicodedata.name(character, "").partition(" ")[0] for character in word)
    return {name for name in names if name in _ALPHABETS}
