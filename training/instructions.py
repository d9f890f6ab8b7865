"""Questions and short answers about photographs, made from captions, labels and given pairs by rule.

Stage two of LLaVA's training (arXiv 2304.08485) in small: colours, counts, what somebody does, where, yes or no,
and what can't be seen. Knows words; knows no model and no picture.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from msgspec import Struct


def _words(listed: str) -> list[str]:
    return listed.split()


COLOURS = _words("black white brown red blue green yellow orange pink purple gray grey tan blond blonde")
# Things that a caption names when they can be seen, so that one that no caption names is not there.
THINGS = _words(
    "dog cat horse bird car bicycle motorcycle boat ball frisbee skateboard snowboard surfboard guitar tent umbrella "
    "camera ladder swing slide fountain bridge train bus truck computer television elephant cow sheep goat duck"
)
_WHO = _words("man woman boy girl dog child person lady guy baby toddler skateboarder surfer snowboarder climber")
_MANY = _words("dogs men women boys girls children people kids horses birds players skiers hikers")
_NUMBERS = {"two": "Two", "three": "Three", "four": "Four", "five": "Five", "six": "Six"}
_PLACES = _words(
    "beach snow water street grass park field pool mountain mountains ocean lake river woods forest city road sand "
    "playground sidewalk stage court kitchen house yard desert hill cliff"
)
_HEAD = r"(?:\w+ )??"  # one word may stand between: "black leather jacket"
_COLOURED = re.compile(rf"\b({'|'.join(COLOURS)}) {_HEAD}([a-z]{{3,}})\b")
_WEARABLE = _words(
    "dog shirt jacket hat dress coat shorts pants jeans ball car bike bicycle helmet horse cat bird sweater hair "
    "t-shirt cap vest suit skirt uniform collar frisbee boat umbrella toy jersey top"
)
_DOING = re.compile(rf"\b({'|'.join(_WHO)})\b(?: \w+){{0,6}}? ((?!wearing|standing next)[a-z]{{2,}}ing\b[^.,]*)")
_COUNTED = re.compile(rf"\b({'|'.join(_NUMBERS)}) (?:\w+ )?({'|'.join(_MANY)})\b")
_PLACED = re.compile(rf"\b(in|on|at|through|across|along|near) (?:the|a) (?:\w+ )?({'|'.join(_PLACES)})\b")
_LONGEST = 9  # words of an answer
_NOT_THERE = 0.5  # share of photos that get such a question
_NOT_VISIBLE = 0.15


class Exchange(Struct, frozen=True):
    """A question and its short answer."""

    question: str
    answer: str


def from_captions(captions: Sequence[str], random: np.random.Generator) -> list[Exchange]:
    """What several captions of one photo answer. Colours count only where captions don't contradict each other."""
    plain = [caption.lower() for caption in captions]
    said = set(re.findall(r"[a-z-]+", " ".join(plain)))
    made = [*_colours(plain), *_counts(plain), *_doing(plain), *_places(plain)]
    there = [thing for thing in THINGS if thing in said or f"{thing}s" in said]
    away = [thing for thing in THINGS if thing not in there and not (thing == "bicycle" and "bike" in said)]
    made += [Exchange(f"Is there {_article(thing)} in the picture?", "Yes.") for thing in there]
    # About as often as what is there: a model that always hears "not visible" says nothing else.
    absent = [str(thing) for thing in random.choice(away, 2, replace=False)]
    if random.random() < _NOT_THERE:
        made.append(Exchange(f"Is there {_article(absent[0])} in the picture?", "No."))
    if random.random() < _NOT_VISIBLE:
        made.append(Exchange(f"What colour is the {absent[1]}?", "Not visible."))
    return made


def from_label(label: str) -> list[Exchange]:
    """What a photo's label answers."""
    return [Exchange("What does the picture show?", f"{label[:1].upper()}{label[1:]}.")]


def from_pairs(pairs: Sequence[Sequence[str]]) -> list[Exchange]:
    """Questions that people asked, with their answers."""
    return [Exchange(question, answer) for question, answer in pairs if len(answer.split()) <= _LONGEST]


def sure_colours(captions: Sequence[str]) -> dict[str, str]:
    """The colour of each thing of which the captions of a photo, in lower case, name one colour and no other."""
    seen: dict[str, set[str]] = {}
    for caption in captions:
        for colour, thing in _COLOURED.findall(caption):
            if thing in _WEARABLE:
                seen.setdefault(thing, set()).add("gray" if colour == "grey" else colour)
    return {thing: colours.pop() for thing, colours in seen.items() if len(colours) == 1}


def sure_counts(captions: Sequence[str]) -> dict[str, str]:
    """How many there are, in words, of each group of which the captions (as above) name one number and no other."""
    seen: dict[str, set[str]] = {}
    for caption in captions:
        for number, group in _COUNTED.findall(caption):
            seen.setdefault(group, set()).add(number)
    return {group: numbers.pop() for group, numbers in seen.items() if len(numbers) == 1}


def _colours(captions: Sequence[str]) -> list[Exchange]:
    sure = sure_colours(captions)
    return [Exchange(f"What colour is the {thing}?", f"{colour.capitalize()}.") for thing, colour in sure.items()]


def _counts(captions: Sequence[str]) -> list[Exchange]:
    sure = sure_counts(captions)
    made = [Exchange(f"How many {group} are there?", f"{_NUMBERS[number]}.") for group, number in sure.items()]
    if all(re.match(r"(a|the|one) (\w+ )?dog\b", caption) for caption in captions):
        made.append(Exchange("How many dogs are there?", "One."))
    return made


def _doing(captions: Sequence[str]) -> list[Exchange]:
    made: dict[str, Exchange] = {}
    for caption in captions:
        if match := _DOING.search(caption):
            words = match[2].split()[: _LONGEST - 1]
            while words and words[-1] in {"a", "the", "in", "on", "of", "with", "and", "at", "to", "his", "her", "its"}:
                words.pop()
            if len(words) > 1 or (words and words[0] not in {"being", "having"}):
                answer = " ".join(words)
                question = f"What is the {match[1]} doing?"
                made[answer] = Exchange(question, f"{answer[:1].upper()}{answer[1:]}.")
    return list(made.values())


def _places(captions: Sequence[str]) -> list[Exchange]:
    matches = [match for caption in captions for match in _PLACED.finditer(caption)]
    return [Exchange("Where was the picture taken?", f"{_capital(match[0])}.") for match in matches[:2]]


def _article(thing: str) -> str:
    return f"an {thing}" if thing[0] in "aeiou" else f"a {thing}"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
