"""Words that name a time, such as "in December 2022" or "last summer", become filters of the query language.

Only words outside quotation marks and parentheses. What is found is told to the caller, so that people see it
and can take it back. English throughout; months with a year in six languages. Seasons are those of the northern
hemisphere, by calendar months. Knows the language's filters by their spelling only; today comes from the caller.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import date, timedelta

from msgspec import Struct

from search.results import TimeWords


class Dated(Struct, frozen=True):
    """A query's text without the words that name times, and what those were."""

    text: str
    times: tuple[TimeWords, ...]

    @property
    def filtered(self) -> str:
        """The text followed by the filters, for the parser of the language."""
        return " ".join(part for part in (self.text, *(time.filter for time in self.times)) if part)


_MONTHS: dict[str, int] = {}
for _names in (
    "january february march april may june july august september october november december",
    "jan feb mar apr may jun jul aug sep oct nov dec",
    "januar februar märz april mai juni juli august september oktober november dezember",
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "januar februar marts april maj juni juli august september oktober november december",
):
    _MONTHS |= {name: number for number, name in enumerate(_names.split(), start=1)}
_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}  # first month of three
_NUMBERS = {"a": 1, "an": 1, "one": 1} | {
    word: number for number, word in enumerate(("two", "three", "four", "five", "six", "seven", "eight"), start=2)
}

_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_YEAR = r"(?:19|20)\d\d"
# A bare year is a date where cameras were digital; "the moon landing in 1969" is about something else.
_LATE_YEAR = r"(?:199\d|20\d\d)"
_MADE = r"(?:(?:taken|shot|recorded|filmed|made) )?"
_IN = rf"{_MADE}(?:(?:in|from|during|on|of|im|en|em|i|à|aus|vom) )?(?:the )?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th|\.)?"


def _iso(year: int, month: int, day: int | None = None) -> str:
    first = date(year, month, day or 1)  # raises ValueError where there is no such day
    return first.isoformat() if day else f"{first:%Y-%m}"


def _span(first: date, last: date) -> str:
    return f"after:{first.isoformat()} before:{last.isoformat()}"


def _season(name: str, year: int) -> str:
    first = _SEASONS[name.lower()]
    end_year, end = (year, first + 2) if first < 12 else (year + 1, 2)
    return _span(date(year, first, 1), date(end_year, end, monthrange(end_year, end)[1]))


def _month(year: int, month: int) -> str:
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    return f"date:{_iso(year, month)}"


def _on_day(match: re.Match[str], _today: date) -> str:
    return f"date:{_iso(int(match['year']), _MONTHS[match['month'].lower()], int(match['day']))}"


def _in_month(match: re.Match[str], _today: date) -> str:
    return _month(int(match["year"]), _MONTHS[match["month"].lower()])


def _in_season(match: re.Match[str], _today: date) -> str:
    return _season(match["season"], int(match["year"]))


def _near_season(match: re.Match[str], today: date) -> str:
    """The latest season that is over for "last summer"; this year's for "this summer"."""
    year, first = today.year, _SEASONS[match["season"].lower()]
    if match["which"].lower() != "this":
        over = date(year, first + 2, monthrange(year, first + 2)[1]) if first < 12 else date(year, 2, 28)
        year -= (today <= over) + (first == 12)
    elif first == 12 and today.month < 3:
        year -= 1
    return _season(match["season"], year)


def _near_month(match: re.Match[str], today: date) -> str:
    month = _MONTHS[match["month"].lower()]
    return _month(today.year - (month >= today.month), month)


def _near(match: re.Match[str], today: date) -> str:
    back = 0 if match["which"].lower() == "this" else 1
    unit = match["unit"].lower()
    if unit == "weekend":
        saturday = today - timedelta(days=(today.weekday() - 5) % 7)
        over = saturday + timedelta(days=1) < today
        saturday -= timedelta(days=7 * (back and not over))
        return _span(saturday, saturday + timedelta(days=1))
    return _unit(unit, back, today)


def _unit(unit: str, back: int, today: date) -> str:
    if unit == "year":
        return f"date:{today.year - back}"
    if unit == "month":
        return _month(today.year, today.month - back)
    if unit == "week":
        monday = today - timedelta(days=today.weekday() + 7 * back)
        return _span(monday, monday + timedelta(days=6))
    return f"date:{(today - timedelta(days=back)).isoformat()}"


def _ago(match: re.Match[str], today: date) -> str:
    count = match["count"].lower()
    return _unit(match["unit"].lower(), _NUMBERS.get(count) or int(count), today)


def _day_word(match: re.Match[str], today: date) -> str:
    return _unit("day", 0 if match["word"].lower() in ("today", "tonight") else 1, today)


def _in_year(match: re.Match[str], _today: date) -> str:
    return f"date:{match['year']}"


def _since(match: re.Match[str], _today: date) -> str:
    year = int(match["year"])
    word = match["word"].lower()
    return {"since": f"after:{year}", "after": f"after:{year + 1}", "before": f"before:{year - 1}"}.get(
        word, f"before:{year}"
    )


def _between(match: re.Match[str], _today: date) -> str:
    first, last = sorted((int(match["first"]), int(match["last"])))
    return f"after:{first} before:{last}"


def _decade(match: re.Match[str], _today: date) -> str:
    digits = match["decade"]
    first = int(digits) if len(digits) == 4 else 1900 + int(digits)
    return f"after:{first} before:{first + 9}"


_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], date], str]], ...] = tuple(
    (re.compile(rf"(?<![\w:\"'-]){pattern}(?![\w:'-])", re.IGNORECASE), meaning)
    for pattern, meaning in (
        (rf"{_IN}{_DAY} (?:of )?(?P<month>{_MONTH}),? (?P<year>{_YEAR})", _on_day),
        (rf"{_IN}(?P<month>{_MONTH}) {_DAY},? (?P<year>{_YEAR})", _on_day),
        (rf"(?<!\d ){_IN}(?P<month>{_MONTH}),? (?:of |de )?(?P<year>{_YEAR})", _in_month),
        (rf"{_IN}(?P<season>{'|'.join(_SEASONS)}) (?:of )?(?P<year>{_YEAR})", _in_season),
        (rf"{_IN}(?P<which>last|this|past) (?P<season>{'|'.join(_SEASONS)})", _near_season),
        (rf"{_IN}(?P<which>last|this|past) (?P<unit>weekend|week|month|year)", _near),
        (rf"{_IN}last (?P<month>{_MONTH})(?! of)", _near_month),
        (rf"{_MADE}(?P<count>\d{{1,3}}|{'|'.join(_NUMBERS)}) (?P<unit>day|week|month|year)s? ago", _ago),
        (rf"{_MADE}(?:from )?(?P<word>today|tonight|yesterday|last night)", _day_word),
        (rf"{_MADE}(?:between|from) (?P<first>{_LATE_YEAR}) (?:and|to|until) (?P<last>{_LATE_YEAR})", _between),
        (rf"{_MADE}(?:in|from|during) the (?P<decade>(?:19|20)\d0|[5-9]0)'?s", _decade),
        (rf"{_MADE}(?P<word>since|after|before|until) (?P<year>{_LATE_YEAR})", _since),
        (rf"{_MADE}(?:in|from|during|im|en) (?P<year>{_LATE_YEAR})", _in_year),
    )
)
_KINDS = (
    (re.compile(r"(?:(?:all|my|our|the) )*(?:photo(?:graph)?|picture|image)s?", re.IGNORECASE), "kind:image"),
    (re.compile(r"(?:(?:all|my|our|the) )*(?:video|film|movie|clip)s?", re.IGNORECASE), "kind:video"),
    (re.compile(r"(?:(?:all|my|our|the) )*(?:(?:sound )?recording|voice memo)s?", re.IGNORECASE), "kind:audio"),
)
_QUOTED = re.compile(r'"[^"]*"?|[“„«][^”“»"]*[”“»"]?|\([^)]*\)?')


def dates_in(text: str, today: date) -> Dated:
    """Take the words that name times out of a query's text. Words that name no possible day stay."""
    times: list[TimeWords] = []
    pieces = [
        piece if _QUOTED.fullmatch(piece) else _without_times(piece, today, times)
        for piece in re.split(f"({_QUOTED.pattern})", text)
    ]
    if not times:
        return Dated(text, ())
    rest = " ".join("".join(pieces).split()).strip(" ,;")
    for kind, condition in _KINDS:
        if kind.fullmatch(rest):
            return Dated("", (*times, TimeWords(rest, condition)))
    return Dated(rest, tuple(times))


def _without_times(text: str, today: date, times: list[TimeWords]) -> str:
    for pattern, meaning in _RULES:

        def replaced(match: re.Match[str], meaning: Callable[[re.Match[str], date], str] = meaning) -> str:
            try:
                times.append(TimeWords(match[0], meaning(match, today)))
            except (ValueError, OverflowError):
                return match[0]
            return " "

        text = pattern.sub(replaced, text)
    return text
