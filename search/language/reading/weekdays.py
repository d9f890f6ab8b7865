"""Days of the week as questions and lines name them: "on Sunday", "Sun 9:00 - 18:00", "Mo - Fr", "de lunes a viernes".

In English, German, French and Spanish. Pure text; knows no model and no question.
"""

from __future__ import annotations

import re
import unicodedata

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
ANY_DAY = "|".join(_DAYS)
# Of other languages, and words as well: days only with a capital where another one follows, "Mo - Fr".
_SHORT = ("Mo|Lun", "Di|Mar", "Mi|Mer|Mi[eé]", "Do|Jeu|Jue", "Fr|Ven|Vie", "Sa|Sam|S[aá]b", "So|Dim|Dom")
ANY_SHORT = "|".join(_SHORT)
SHORT_LOWER = "lun|mar|mer|mie|mié|jeu|jue|ven|vie|sam|sab|sáb|dim|dom"  # days only with a stop behind them
_DASH = "[-–—‐‑]"
_TO = rf"\.?,? *(?:{_DASH}|(?:to|thru|till|until|through|bis|a|à|al|au|hasta)\b) *"
_BETWEEN = re.compile(
    rf"\b({ANY_DAY})\b{_TO}({ANY_DAY})\b\.?|\b((?-i:{ANY_SHORT}))\.? ?(?:{_DASH}|bis) ?((?-i:{ANY_SHORT}))\b\.?",
    re.IGNORECASE,
)
# A short one alone is a day where a line begins with it and goes on with hours, or with being closed: "Mo geschlossen".
_ALONE = re.compile(
    rf"^(\W*)((?-i:{ANY_SHORT}))\b\.?(?=[,:]? *(?:\d{{1,2}}[:h]\d\d|\d{{1,2}} ?{_DASH} ?\d{{1,2}} ?(?:uhr|h)\b"
    r"|geschlossen|ruhetag|zu\b|ferm|cerrad|closed))",
    re.IGNORECASE,
)
# Words as well ("sat", "the sun", French "mon"): days only with a capital, before a time or where another day is named.
_ALSO_WORDS = "(?-i:Mon|Sat|Sun|Wed|MON|SAT|SUN|WED)"
_SURELY = rf"(?!(?:mon|sat|sun|wed)\b)(?:{ANY_DAY})"
_NEXT = rf"\.?(?:[ ,:&/+]+|,? (?:and|und|et|y|or|oder) )(?:{ANY_DAY})\b"
_BEFORE_TIME = rf"[.,:]? *(?:\d|{_DASH}(?= *(?:\d|$)|  *\w)|to\b|closed\b|geschlossen\b|ferm)"
_SURE = re.compile(
    rf"\b{_SURELY}\b|\b{_ALSO_WORDS}\b(?={_BEFORE_TIME}|{_NEXT})|^\W*(?:mon|sat|sun|wed)\W*$", re.IGNORECASE
)
_ANY = re.compile(rf"\b(?:{_ALSO_WORDS}|{_SURELY})\b\.?|(?<!\w)(?:mon|sat|sun|wed)(?=\W*$)\.?", re.IGNORECASE)
_NUMBERED = tuple(
    re.compile(rf"(?:{full}|{short})\.?", re.IGNORECASE) for full, short in zip(_DAYS, _SHORT, strict=True)
)
_ON = tuple(re.compile(rf"\b(?:on|am|le|el) (?:{words})\b") for words in _DAYS)
_BUT = re.compile(r"\b(?:but|except|ausser|außer|sauf|salvo|excepto)\b", re.IGNORECASE)


def spelled_out(words: str) -> str:
    """Its days in full, in English, and those between two as well: "Mon - Wed" as "Monday, Tuesday, Wednesday"."""
    plain = " ".join(unicodedata.normalize("NFKC", words).split())
    spans = _BETWEEN.sub(lambda match: ", ".join(_NAMES[day] for day in _between(match)), plain)
    spans = _ALONE.sub(lambda match: match[1] + _NAMES[_number(match[2])], spans)
    return _ANY.sub(lambda match: _NAMES[_number(match[0])], spans) if _SURE.search(spans) else words


def days_told(words: str) -> frozenset[int]:
    """The days that words tell of, 0 for Monday, with those between two; none where they tell of all but some."""
    spelled = "" if _BUT.search(words) else spelled_out(words)
    return frozenset(day for day, name in enumerate(_NAMES) if name in spelled)


def days_asked(question: str) -> frozenset[int]:
    """The days that a question in lower case asks about ("on Sunday"), 0 for Monday."""
    return frozenset(day for day, rule in enumerate(_ON) if rule.search(question))


def _between(match: re.Match[str]) -> list[int]:
    first, last = (_number(day) for day in match.groups() if day)
    return [(first + step) % len(_NAMES) for step in range((last - first) % len(_NAMES) + 1)]


def _number(word: str) -> int:
    return next(day for day, rule in enumerate(_NUMBERED) if rule.fullmatch(word))
