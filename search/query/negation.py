"""What a text says must not be seen: "a beach without people".

Encoders of pictures read past "without": the sentence lies nearer to pictures of people on beaches than of empty ones
(docs/benchmarks/everyday.md). So what is unwanted is told apart by its cue. Pure text, no model.
"""

from __future__ import annotations

import re

from msgspec import Struct

# In the languages that people are most likely to ask in; each cue is followed by what must not be there.
_CUE = (
    r"without|with no|but no|but not|and no|"
    r"ohne|mit kein(?:e[mnrs]?)?|aber kein(?:e[mnrs]?)?|"
    r"(?<!comic )sans(?! serif)|mais pas d[e']|"
    r"sin|sem|senza|zonder|bez|без|utan|uten|uden"
)
_ARTICLE = r"(?:an?|any|the|all|one|eine?[mnrs]?|de[mnrs]|die|das|jegliche[mnrs]?|une?|des?|les?|una?|los|las|um|uma)"
# Where what is unwanted ends and the rest of the scene goes on: "without cars in winter".
_ON = (
    r"at|in|on|near|by|during|under|behind|beside|before|after|while|"
    r"im|am|an|auf|bei|beim|vor|unter|neben|während|à|au|aux|dans|sur|avec|près|pendant|en|con|al|sobre|durante"
)
_MOST = 4  # things unwanted: each is one text more for the encoder
_BEGINS = re.compile(rf"(?:(?<=\S)[ ,]+(?:{_CUE})|, no) (?:{_ARTICLE} )?(?=\w)", re.IGNORECASE)
_ENDS = re.compile(rf" (?:{_ON}) |,|{_BEGINS.pattern}", re.IGNORECASE)


class Negated(Struct, frozen=True):
    """A text taken apart."""

    wanted: str
    unwanted: tuple[str, ...]

    @property
    def pieces(self) -> tuple[str, ...]:
        """What is wanted, then all that is not."""
        return (self.wanted, *self.unwanted)


def negated(text: str) -> Negated | None:
    """What is wanted and what is not; None where nothing is unwanted, or nothing wanted."""
    text = " ".join(text.split()).rstrip(".!?")
    unwanted: list[str] = []
    wanted, at = "", 0
    while len(unwanted) < _MOST and (cue := _BEGINS.search(text, at)):
        wanted += text[at : cue.start()]
        end = _ENDS.search(text, cue.end())
        at = end.start() if end else len(text)
        unwanted.append(text[cue.end() : at])
    wanted = (wanted + text[at:]).strip(" ,")
    return Negated(wanted, tuple(unwanted)) if unwanted and re.search(r"\w", wanted) else None
