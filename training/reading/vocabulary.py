"""Words and values that fill templates: {slots} are drawn once for a source, <slots> anew at each place.

Knows words.toml, more_words.toml and how prices, times and dates are written; knows no page and no question.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_ORDINALS = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
]
_SPOKEN = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
LANGUAGES = ("_de", "_fr", "_es")


def taught_words() -> dict[str, list[str]]:
    """All words that the reader learns with."""
    return read_words(FOLDER / "words.toml", FOLDER / "more_words.toml")


def read_words(*files: Path) -> dict[str, list[str]]:
    """Lists of words by name; underscores stand for spaces."""
    lists: dict[str, list[str]] = {}
    for file in files or (FOLDER / "words.toml",):
        for name, words in tomllib.loads(file.read_text("utf-8")).items():
            lists[name] = [word.replace("_", " ") for word in words.split()]
    return lists


class Vocabulary:
    """Draws words. With `apart`, what was drawn for a slot is not drawn for another source until all were."""

    def __init__(self, words: Mapping[str, list[str]], random: np.random.Generator, apart: bool = False) -> None:
        self.lists = words
        self.random = random
        self._apart = apart
        self._left: dict[str, list[int]] = {}

    def choose(self, text: str) -> str:
        """One of the alternatives of "A|B"."""
        return str(self.random.choice(text.split("|")))

    def fill(self, text: str, slots: dict[str, str]) -> str:
        """`text` with its slots filled; `slots` remembers what {slots} stand for."""
        text = re.sub(r"<(\w+)>", lambda match: self.value(match[1]), text)
        while "{" in text:
            text = re.sub(r"\{(\w+)\}", lambda match: self._slot(match[1], slots), text)
        return text

    def _slot(self, name: str, slots: dict[str, str]) -> str:
        if name not in slots:
            base = name[:-3]
            if name.endswith(LANGUAGES) and base in slots and slots[base] in self.lists.get(base, ()):
                slots[name] = self.lists[name][self.lists[base].index(slots[base])]
            else:
                slots[name] = self._draw(name) if name in self.lists else self.value(name)
        return slots[name]

    def _draw(self, name: str) -> str:
        words = self.lists[name]
        if not self._apart:
            return str(self.random.choice(words))
        if not self._left.get(name):
            self._left[name] = self.random.permutation(len(words)).tolist()
        return words[self._left[name].pop()]

    def value(self, name: str) -> str:
        """A word of the list `name`, or a value of the kind `name`."""
        if name in self.lists:
            return str(self.random.choice(self.lists[name]))
        return _VALUES[name](self)


def _amount(random: np.random.Generator, most: float = 400) -> str:
    return f"{random.uniform(1, most):.2f}"


def _price(words: Vocabulary) -> str:
    random = words.random
    amount = _amount(random, float(random.choice([30, 200, 1500])))
    form = random.choice(["CHF {}", "EUR {}", "€ {}", "${}", "£{}", "{} €", "USD {}", "{} CHF", "Fr. {}", "{} EUR"])
    return str(form).format(amount)


def _spoken_price(words: Vocabulary) -> str:
    random = words.random
    unit = random.choice(["francs", "euros", "dollars", "pounds"])
    return f"{random.integers(2, 90) * int(random.choice([1, 1, 5, 10]))} {unit}"


def _time(words: Vocabulary) -> str:
    random = words.random
    hour, minute = int(random.integers(6, 23)), int(random.choice([0, 5, 10, 15, 20, 24, 30, 32, 40, 45, 48, 55]))
    if random.random() < 0.3:
        return f"{(hour - 1) % 12 + 1}:{minute:02d} {'am' if hour < 12 else 'pm'}"
    return f"{hour:02d}:{minute:02d}"


def _spoken_time(words: Vocabulary) -> str:
    random = words.random
    hour = random.choice(_SPOKEN)
    forms = ["half past {}", "quarter past {}", "{} o'clock", "{} thirty", "quarter to {}", "{} in the evening"]
    return str(random.choice(forms)).format(hour)


def _date(words: Vocabulary) -> str:
    random = words.random
    day, month = int(random.integers(1, 29)), int(random.integers(0, 12))
    year, weekday = int(random.integers(2019, 2028)), words.value("weekday")
    forms = (
        f"{day} {_MONTHS[month]} {year}",
        f"{_MONTHS[month]} {day}, {year}",
        f"{day:02d}.{month + 1:02d}.{year}",
        f"{year}-{month + 1:02d}-{day:02d}",
        f"{weekday}, {day} {_MONTHS[month]}",
        f"{weekday[:3]} {day} {_MONTHS[month][:3]}",
        f"{day:02d}/{month + 1:02d}/{year}",
    )
    return str(random.choice(forms))


def _letters(random: np.random.Generator, count: int) -> str:
    return "".join(random.choice(list("ABCDEFGHJKLMNPRSTUVWXYZ"), count))


def _digits(random: np.random.Generator, count: int) -> str:
    return "".join(random.choice(list("0123456789"), count))


def _person(words: Vocabulary) -> str:
    return f"{words.value('first')} {words.value('last')}"


def _password(words: Vocabulary) -> str:
    random = words.random
    word = words.value("pet").lower()
    return f"{word}{random.choice(['-', '_', ''])}{words.value('sky').split()[0]}{_digits(random, 2)}"


def _email(words: Vocabulary) -> str:
    random = words.random
    return f"{words.value('first')}.{words.value('last')}@example.{random.choice(['com', 'org', 'net'])}".lower()


_VALUES: Mapping[str, Callable[[Vocabulary], str]] = {
    "price": _price,
    "amount": lambda words: _amount(words.random, 60),
    "spokenprice": _spoken_price,
    "time": _time,
    "spokentime": _spoken_time,
    "date": _date,
    "saiddate": lambda words: f"the {words.random.choice(_ORDINALS)} of {words.random.choice(_MONTHS)}",
    "year": lambda words: str(words.random.integers(1905, 2015)),
    "person": _person,
    "email": _email,
    "password": _password,
    "ssid": lambda words: f"{words.value('place').split()[0]}-{words.random.choice(['Guest', '5G', 'Free'])}",
    "phone": lambda words: (
        f"+{words.random.integers(30, 99)} {_digits(words.random, 2)} {_digits(words.random, 3)} "
        f"{_digits(words.random, 2)} {_digits(words.random, 2)}"
    ),
    "code": lambda words: f"{_letters(words.random, 2)}{_digits(words.random, 4)}{_letters(words.random, 1)}",
    "pin": lambda words: _digits(words.random, 4),
    "iban": lambda words: (
        f"CH{_digits(words.random, 2)} {_digits(words.random, 4)} {_digits(words.random, 4)} {_digits(words.random, 4)}"
    ),
    "flight": lambda words: f"{_letters(words.random, 2)} {_digits(words.random, 3)}",
    "gate": lambda words: f"{_letters(words.random, 1)}{words.random.integers(1, 60)}",
    "seat": lambda words: f"{words.random.integers(1, 90)}{words.random.choice(list('ABCDEF'))}",
    "version": lambda words: (
        f"{words.random.integers(1, 19)}.{words.random.integers(0, 9)}.{words.random.integers(0, 9)}"
    ),
    "storage": lambda words: f"{words.random.choice([16, 32, 64, 128, 256, 512])} GB",
    "percent": lambda words: f"{words.random.integers(5, 99)}%",
    "degrees": lambda words: f"{words.random.integers(5, 230)} °C",
    "minutes": lambda words: f"{words.random.integers(5, 90)} minutes",
    "grams": lambda words: f"{words.random.integers(2, 40) * 20} g",
    "decimal": lambda words: f"{words.random.uniform(0.2, 19):.1f}",
    "shoe": lambda words: str(words.random.integers(35, 47)),
    "score": lambda words: f"{words.random.integers(3, 9)} to {words.random.integers(0, 3)}",
    "n1": lambda words: str(words.random.integers(2, 10)),
    "n2": lambda words: str(words.random.integers(11, 60)),
    "n3": lambda words: str(words.random.integers(100, 1000)),
    "n4": lambda words: str(words.random.integers(1000, 10000)),
}
