"""Days of the week as questions and lines name them: "on Sunday", "Sun 9:00 - 18:00", "Mo - Fr", "de lunes a viernes".

In English, German, French and Spanish. Pure text; knows no model and no question.
"""

from __future__ import annotations

import re

_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_DAYS = (
    r"mon(?:days?)?|montags?|lundis?|lunes",
    r"tues?(?:days?)?|dienstags?|mardis?|martes",
    r"wed(?:nesdays?)?|mittwochs?|mercredis?|mi[eé]rcoles",
    r"thu(?:rs?)?(?:days?)?|donnerstags?|jeudis?|jueves",
    r"fri(?:days?)?|freitags?|vendredis?|viernes",
    r"sat(?:urdays?)?|samstags?|sonnabends?|samedis?|s[aá]bados?",
    r"sun(?:days?)?|sonntags?|dimanches?|domingos?",
)
# Of other languages, and words as well: days only where another one follows, "Mo - Fr".
_SHORT = ("mo|lun", "di|mar", "mi|mer|mi[eé]", "do|jeu|jue", "fr|ven|vie", "sa|sam|s[aá]b", "so|dim|dom")
ANY_DAY = "|".join(_DAYS)
_ANY_SHORT = "|".join(_SHORT)
_TO = r"\.?,? ?(?:-|–|—|to|till|until|through|bis|a|al|au|hasta) ?"
_BETWEEN = re.compile(
    rf"\b({ANY_DAY}){_TO}\b({ANY_DAY})\b\.?|\b({_ANY_SHORT})\.? ?(?:-|–|—|bis) ?\b({_ANY_SHORT})\b\.?", re.IGNORECASE
)
# "Sat" and "Sun" are words as well, and "mon" is French: alone they name a day only before a time or another day.
_AMBIGUOUS = (
    r"(?:mon|sat|sun)(?=[.,:]? *(?:\d|-|–|—|to\b|closed\b|geschlossen\b|ferm|$)"
    rf"|[ ,:&/+]+(?:{ANY_DAY})\b)"
)
_ONE = re.compile(rf"\b(?:{_AMBIGUOUS}|(?!(?:mon|sat|sun)\b)(?:{ANY_DAY}))\b\.?", re.IGNORECASE)
_NUMBERED = tuple(
    re.compile(rf"(?:{full}|{short})\.?", re.IGNORECASE) for full, short in zip(_DAYS, _SHORT, strict=True)
)
_ON = tuple(re.compile(rf"\b(?:on|am|le|el) (?:{words})\b") for words in _DAYS)


def spelled_out(words: str) -> str:
    """Its days in full, in English, and those between two as well: "Mon - Wed" as "Monday, Tuesday, Wednesday"."""
    spans = _BETWEEN.sub(lambda match: ", ".join(_NAMES[day] for day in _between(match)), words)
    return _ONE.sub(lambda match: _NAMES[_number(match[0])], spans)


def days_told(words: str) -> frozenset[int]:
    """The days that words tell of, 0 for Monday, with those between two."""
    spelled = spelled_out(words)
    return frozenset(day for day, name in enumerate(_NAMES) if name in spelled)


def days_asked(question: str) -> frozenset[int]:
    """The days that a question in lower case asks about ("on Sunday"), 0 for Monday."""
    return frozenset(day for day, rule in enumerate(_ON) if rule.search(question))


def _between(match: re.Match[str]) -> list[int]:
    first, last = (_number(day) for day in match.groups() if day)
    return [(first + step) % len(_NAMES) for step in range((last - first) % len(_NAMES) + 1)]


def _number(word: str) -> int:
    return next(day for day, rule in enumerate(_NUMBERED) if rule.fullmatch(word))
