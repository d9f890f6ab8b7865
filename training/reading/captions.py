"""Questions about descriptions of photos, by rule: many subjects and verbs that no template holds.

Knows captions as sentences; knows no photo.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

_COLOURS = "red|blue|green|yellow|white|black|orange|pink|purple|brown|gray|grey"
_COUNTS = "two|three|four|five|six|seven"
_DOING = re.compile(
    r"^(?P<who>(?:A|An|The|Two|Three|Some|Several) (?:[\w-]+ ){0,3}?[\w-]+) (?P<be>is|are) (?P<verb>\w+ing)"
    r" (?P<what>(?:a|an|the|his|her|their|some) (?:[\w-]+ ){0,2}[\w-]+)(?P<rest>[ .,].*)$"
)
_WHERE = re.compile(
    r"^(?P<who>(?:A|An|The|Two|Three) .*?) (?P<be>is|are) (?P<verb>\w+ing) (?P<where>"
    r"(?:in|on|at|near|by|under|through|across|along|down|next to|in front of) (?:a|an|the) .*)\.$"
)
_COLOUR = re.compile(rf"\b(?P<colour>{_COLOURS}) (?P<thing>[a-z]+)\b")
_COUNT = re.compile(rf"^(?P<count>{_COUNTS}) (?P<things>[a-z]+s|men|women|people|children)\b", re.IGNORECASE)


def read_captions(file: Path, most: int, random: np.random.Generator) -> list[str]:
    """Tidy sentences, drawn at random."""
    lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    kept = [line.strip() for line in lines if 5 <= len(line.split()) <= 18]
    chosen = random.permutation(len(kept))[:most]
    return [f"{kept[i][:1].upper()}{kept[i][1:].rstrip(' .')}." for i in chosen]


def questions(caption: str) -> Iterator[str]:
    """What the caption answers."""
    if match := _DOING.match(caption):
        who, what = match["who"][:1].lower() + match["who"][1:], match["what"]
        yield f"What {match['be']} {_the(who)} {match['verb']}?"
        yield f"Who is {match['verb']} {_the(what)}?"
        yield f"Is someone {match['verb']} {what}?"
    if match := _WHERE.match(caption):
        yield f"Where {match['be']} {_the(match['who'][:1].lower() + match['who'][1:])}?"
        yield f"Who is {match['verb']} {match['where'].split(',')[0]}?"
    if match := _COLOUR.search(caption):
        yield f"What colour is the {match['thing']}?"
        yield f"Which color does the {match['thing']} have?"
    if match := _COUNT.match(caption):
        yield f"How many {match['things']} are there?"


def _the(phrase: str) -> str:
    return re.sub(r"^(?:a|an|some) ", "the ", phrase)
