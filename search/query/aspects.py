"""What a query wants to be seen, heard and said at once: "a dog on a beach while someone talks about taxes".

One vector of the whole lies between its parts and near none of them, so each part is looked for where it can be
found. The cues are English and plain; where there are none the query stays whole. Pure text, no model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from search.signals import Sense

_SPEAKER = (
    r"(?:someone|somebody|people|he|she|they|(?:a|the) (?:voice(?:-?over)?|speaker|narrator|presenter|host|reporter|"
    r"commentator|announcer|teacher|guide))"
)
_SPEAKS = (
    r"(?:(?:is|are) )?(?:said|(?:say|mention|explain|discuss|describe?)(?:e?s|ing)?|"
    r"(?:talk|speak)(?:s|ing)? (?:about|of)|tell(?:s|ing)? (?:(?:us|me|you|them) )?(?:about|of|that|how))"
    r"(?: that| how)?"
)
_TALK = r"(?:(?:talk|speech|commentary|comments|narration|(?:a )?voice-?over) (?:about|on|of))"
_LINK = r"[\s,;]+(?:while|whilst|where|when|as|in which|and)"
# What is seen or heard first, then what is said. Lazy, so that a quotation may hold the same cues.
_THEN_SAID = re.compile(
    rf"(?P<other>.+?)(?:{_LINK} (?:you (?:can )?hear )?{_SPEAKER} {_SPEAKS}|"
    rf"[\s,;]+with (?:{_SPEAKER} {_SPEAKS}|{_TALK}))[\s:]+(?P<said>.+)",
    re.IGNORECASE | re.DOTALL,
)
_SAID_FIRST = re.compile(
    rf"{_SPEAKER} {_SPEAKS}[\s:]+(?P<said>.+)[\s,]+(?:while|whilst) (?P<other>.+)", re.IGNORECASE | re.DOTALL
)
_THEN_HEARD = re.compile(
    r"(?P<seen>.+?)[\s,;]+(?:(?:with|and|to) (?:the |a )?(?:sounds?|noises?) of|(?:while|and|as) you (?:can )?hear)"
    r" (?P<heard>.+)",
    re.IGNORECASE | re.DOTALL,
)
_HEARD_ONLY = re.compile(r"(?:the |a )?(?:sounds?|noises?) of (?P<heard>.+)", re.IGNORECASE | re.DOTALL)
# "A video in which someone says", "what happens when she mentions": tells nothing about what is to be seen.
_EMPTY = re.compile(
    r"(?:\W|\b(?:an?|any|the|some|this|that|of|in|on|one|something|all|find|me|show|shows|see|is|are|was|there|do|does|did|"
    r"what|which|who|where|when|happen(?:s|ed|ing)?|screen|"
    r"(?:photo|picture|image|shot|video|clip|film|movie|recording|moment|part|scene|place|point|time)s?)\b)*",
    re.IGNORECASE,
)


class Aspect(Struct, frozen=True):
    """A part of a query, and whether it is to be seen, said or heard."""

    text: str
    sense: Sense


def aspects_of(text: str) -> tuple[Aspect, ...]:
    """Two aspects or more, which one asset must have together; none where the query is one thing."""
    match = _THEN_SAID.fullmatch(text.strip()) or _SAID_FIRST.fullmatch(text.strip())
    if match:
        other, said = _seen_or_heard(match["other"]), _trimmed(match["said"])
        return (*other, Aspect(said, Sense.SAID)) if other and said else ()
    aspects = _seen_or_heard(text)
    return aspects if len(aspects) > 1 else ()


def words_said(aspects: Sequence[Aspect], wanted: Sequence[str]) -> list[str]:
    """What full text looks for: what is to be said, or all that is `wanted` where nothing is told apart."""
    return [aspect.text for aspect in aspects if aspect.sense is Sense.SAID] if aspects else list(wanted)


def _seen_or_heard(text: str) -> tuple[Aspect, ...]:
    text = _trimmed(text)
    if heard := _HEARD_ONLY.fullmatch(text):
        return (Aspect(heard["heard"], Sense.HEARD),)
    if both := _THEN_HEARD.fullmatch(text):
        seen = (Aspect(both["seen"], Sense.SEEN),) if _says_something(both["seen"]) else ()
        return (*seen, Aspect(both["heard"], Sense.HEARD))
    return (Aspect(text, Sense.SEEN),) if _says_something(text) else ()


def _says_something(text: str) -> bool:
    return _EMPTY.fullmatch(text) is None


def _trimmed(text: str) -> str:
    return text.strip(" \t\r\n,;:.\"'")
