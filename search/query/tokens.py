"""Cuts a query's text into tokens, each with its position. Knows nothing of them but their shape.

Any text gives tokens or a QueryError that points at a character; nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto

from msgspec import Struct

from search.errors import QueryError
from search.query.filters import KEYS, suggestion

MAX_TOKENS = 2000  # of one text: what work it makes, however long its words are


class Sort(Enum):
    """What a token is."""

    WORD = auto()
    QUOTED = auto()
    OPEN = auto()
    CLOSE = auto()
    PLUS = auto()
    MINUS = auto()  # apart: `a - b`; everything up to the next sign is unwanted
    UNWANTED = auto()  # attached: `-b`; only the next word, quote, group, filter or reference
    WEIGHT = auto()
    FILTER = auto()
    REFERENCE = auto()  # asset:42, asset:42@3-7
    ATTACHMENT = auto()  # image:1, sound:2
    AND = auto()
    OR = auto()
    NOT = auto()
    END = auto()


class Token(Struct, frozen=True):
    """A token, from `position` to `end` of the query. A filter is text (its value), key and operator."""

    sort: Sort
    text: str
    position: int
    end: int
    key: str = ""
    operator: str = ""
    value_position: int = 0


_QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»"}
_OPENING = "".join(_QUOTES)
_RUN = re.compile(rf'[^\s()"{_OPENING}”]+')
_KEYED = re.compile(r"(?i)([a-z]+)(:|<=|>=|<|>|=)(.*)", re.DOTALL)
_WEIGHT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\*", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)
_LOGIC = {"AND": Sort.AND, "OR": Sort.OR, "NOT": Sort.NOT}


def tokens(text: str) -> list[Token]:
    """All tokens, ending with END. Raises QueryError, also where there are more than MAX_TOKENS."""
    read: list[Token] = []
    position = 0
    while position < len(text):
        if len(read) > MAX_TOKENS:
            raise QueryError(f"there are more than {MAX_TOKENS:,} words and signs; leave some out", position)
        if text[position].isspace():
            position += 1
            continue
        for token in _next(text, position):
            if token.text == "*" and token.sort is Sort.WORD and read and _is_number(read[-1]):
                number = read.pop()  # `2 * sunset`
                token = Token(Sort.WEIGHT, number.text, number.position, token.end)
            read.append(token)
        position = read[-1].end
    return [*read, Token(Sort.END, "", len(text), len(text))]


def _is_number(token: Token) -> bool:
    return token.sort is Sort.WORD and _NUMBER.fullmatch(token.text) is not None


def _next(text: str, position: int) -> Iterator[Token]:
    character = text[position]
    if character in _QUOTES:
        yield _quoted(text, position)
    elif character in "()":
        yield Token(Sort.OPEN if character == "(" else Sort.CLOSE, character, position, position + 1)
    elif character == "”":
        raise QueryError("this quote is closed but was never opened", position)
    else:
        run = _RUN.match(text, position)
        assert run is not None  # the character is none of those that a run excludes
        yield from _run(text, position, run.end())


def _quoted(text: str, position: int) -> Token:
    # Any closing quote of the same family will do: keyboards mix “ ” and ".
    closing = {_QUOTES[text[position]], '"'} if text[position] != '"' else {'"'}
    for end in range(position + 1, len(text)):
        if text[end] in closing:
            return Token(Sort.QUOTED, text[position + 1 : end], position, end + 1)
    raise QueryError("this quote is never closed", position)


def _run(text: str, start: int, end: int) -> Iterator[Token]:
    """A run of characters without spaces, quotes and parentheses."""
    run = text[start:end]
    if run[0] in "+-" and len(run) == 1:
        attached = run == "-" and end < len(text) and not text[end].isspace()
        sort = Sort.UNWANTED if attached else Sort.MINUS if run == "-" else Sort.PLUS
        yield Token(sort, run, start, end)
        return
    if run[0] in "+-" and run[1] not in "+-*/=<>":
        yield Token(Sort.PLUS if run[0] == "+" else Sort.UNWANTED, run[0], start, start + 1)
        start, run = start + 1, run[1:]
    weight = _WEIGHT.match(run)
    if weight:
        yield Token(Sort.WEIGHT, weight[1], start, start + weight.end())
        start, run = start + weight.end(), run[weight.end() :]
    if run:
        yield _word(text, run, start)


def _word(text: str, run: str, start: int) -> Token:
    end = start + len(run)
    if run in _LOGIC:
        return Token(_LOGIC[run], run, start, end)
    keyed = _KEYED.fullmatch(run)
    if keyed is None:
        return Token(Sort.WORD, run, start, end)
    key, operator, value, value_start = keyed[1].lower(), keyed[2], keyed[3], start + keyed.start(3)
    if not value and end < len(text) and text[end] in _QUOTES:
        quoted = _quoted(text, end)
        value, value_start, end = quoted.text, quoted.position + 1, quoted.end
    if key in KEYS:
        return Token(Sort.FILTER, value, start, end, key, operator, value_start)
    if operator == ":" and key == "asset":
        return Token(Sort.REFERENCE, value, start, end, key, operator, value_start)
    if operator == ":" and key in ("image", "sound"):
        return Token(Sort.ATTACHMENT, value, start, end, key, operator, value_start)
    meant = suggestion(key) if value else None
    if meant:
        raise QueryError(f"there is no filter {key!r}; did you mean {meant!r}? Quote it to search for it", start)
    # Not ours: a clock time, an address, "Re:zero". The quote behind it is its own token.
    return Token(Sort.WORD, run, start, start + len(run))
