"""The query language: text -> parts with weights, phrases, and one condition.

    query      = { word | "phrase" | [weight] part | sign part | filter }
    sign       = "+" | "-" apart: the part reaches to the next sign
               | "-" attached: the part is the next word, phrase, group, reference or filter
    weight     = number "*"
    part       = words | "(" words ")" | asset:ID[@START-END] | image:N | sound:N
    filter     = and { OR and };  and = not { [AND] not };  not = NOT not | -filter | "(" filter ")" | key:value

Plain words beside each other are one part. AND, OR and NOT join filters; elsewhere they are words.
This module knows no catalogue and no space. Any text gives a ParsedQuery or a QueryError.
"""

from __future__ import annotations

import re

from msgspec import Struct

from search.errors import QueryError
from search.query.conditions import Condition, Not, all_of, any_of
from search.query.filters import filter_condition
from search.query.tokens import Sort, Token, tokens
from search.query.values import number, seconds

MAX_DEPTH = 50  # of parentheses and NOTs
MAX_FILTERS = 200  # in one text; SQLite refuses an expression of a thousand
MAX_WEIGHT = 1000.0


class Reference(Struct, frozen=True, kw_only=True):
    """An asset, or the stretch of it from start to end."""

    asset_id: int
    start_seconds: float | None = None
    end_seconds: float | None = None

    def touches(self, start_seconds: float | None, end_seconds: float | None) -> bool:
        """Whether a segment with these times (seconds) overlaps; a segment without times is the whole asset."""
        if self.start_seconds is None or self.end_seconds is None or start_seconds is None:
            return True
        end = start_seconds if end_seconds is None else end_seconds
        return start_seconds <= self.end_seconds and end >= self.start_seconds


class ParsedPart(Struct, frozen=True, kw_only=True):
    """One part: exactly one of text, reference, image and sound (places of attachments, from 1)."""

    weight: float = 1.0
    text: str | None = None
    reference: str | None = None
    image: int | None = None
    sound: int | None = None
    position: int = 0


class ParsedQuery(Struct, frozen=True, kw_only=True):
    """What a query's text says; `condition` joins all its filters, `where` is their text."""

    parts: tuple[ParsedPart, ...] = ()
    phrases: tuple[str, ...] = ()
    unwanted_phrases: tuple[str, ...] = ()
    condition: Condition | None = None
    where: str = ""


def parse(text: str) -> ParsedQuery:
    """Parse a query's text. Raises QueryError with the position of the offending character."""
    return _Parser(text).query()


def parse_reference(text: str, position: int = 0) -> Reference:
    """`42` or `42@12-17.5` or `42@1:05-1:30`. Raises QueryError."""
    match = re.fullmatch(r"(\d{1,18})(?:@([^-]*)-([^-]*))?", text, re.ASCII)
    if match is None:
        raise QueryError(f"{text!r} names no asset; write asset:ID or asset:ID@START-END", position)
    if match[2] is None:
        return Reference(asset_id=int(match[1]))
    start = seconds(match[2], position + match.start(2))
    end = seconds(match[3], position + match.start(3))
    if end < start:
        raise QueryError(f"the stretch ends at {end:g} s, before it starts at {start:g} s", position + match.start(3))
    return Reference(asset_id=int(match[1]), start_seconds=start, end_seconds=end)


class _Parser:
    """Walks the tokens once; `_part` collects the words of the part at hand."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens(text)
        self.before_filter, self.behind_filter, self.closing = _lookahead(self.tokens)
        self.at = 0
        self.filters = 0
        self.parts: list[ParsedPart] = []
        self.phrases: list[str] = []
        self.unwanted_phrases: list[str] = []
        self.conditions: list[Condition] = []
        self.where: list[str] = []
        self.words: list[str] = []
        self.weight = 1.0
        self.started = 0

    def query(self) -> ParsedQuery:
        while self.token.sort is not Sort.END:
            self._item()
        self._close_part()
        return ParsedQuery(
            parts=tuple(self.parts),
            phrases=tuple(self.phrases),
            unwanted_phrases=tuple(self.unwanted_phrases),
            condition=all_of(*self.conditions),
            where=" ".join(self.where),
        )

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def _take(self) -> Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def _item(self) -> None:
        sort = self.token.sort
        if self._filter_starts():
            self._filters()
        elif sort in (Sort.PLUS, Sort.MINUS):
            self._signed()
        elif sort is Sort.UNWANTED:
            self._unwanted()
        elif sort is Sort.WEIGHT:
            self._weighted(1.0)
        elif sort is Sort.CLOSE:
            raise QueryError("this parenthesis was never opened", self.token.position)
        elif sort is Sort.OR and self._filter_starts(1):
            raise QueryError("OR joins filters; there is none before it", self.token.position)
        elif sort is Sort.AND and (self._filter_starts(1) or self._filter_ends()):
            self._take()  # `dog AND kind:image`: everything is required anyway
        elif sort is Sort.OR and self._filter_ends():
            raise QueryError("OR joins filters; there is none after it", self.token.position)
        else:
            self._plain(self.weight)

    def _signed(self) -> None:
        """`+` or `-` between parts."""
        sign = self._take()
        self._close_part()
        if self.token.sort in (Sort.END, Sort.CLOSE, Sort.PLUS, Sort.MINUS):
            raise QueryError(f"{sign.text!r} needs something after it", sign.position)
        weight = 1.0 if sign.sort is Sort.PLUS else -1.0
        if self.token.sort is Sort.WEIGHT:
            self._weighted(weight)
        elif self._filter_starts() and weight < 0:
            self._filters(negated=True)
        else:
            self.weight = weight

    def _weighted(self, sign: float) -> None:
        """`2*`: opens a part that reaches to the next sign."""
        token = self._take()
        self._close_part()
        weight = number(token.text.removesuffix("."), token.position)
        if not 0 < weight <= MAX_WEIGHT:
            raise QueryError(f"a weight must be above 0 and at most {MAX_WEIGHT:g}", token.position)
        if self._filter_starts():
            raise QueryError("a filter has no weight", token.position)
        if self.token.sort in (Sort.END, Sort.CLOSE, Sort.PLUS, Sort.MINUS, Sort.UNWANTED, Sort.WEIGHT):
            raise QueryError("this weight has nothing to weigh", token.position)
        self.weight = sign * weight

    def _unwanted(self) -> None:
        """`-x`: one thing; the part around it continues."""
        sign = self._take()
        if self._filter_starts():
            self._filters(negated=True)
        elif self.token.sort is Sort.WEIGHT:
            self._weighted(-1.0)
        elif self.token.sort in (Sort.END, Sort.CLOSE, Sort.PLUS, Sort.MINUS, Sort.UNWANTED):
            raise QueryError("'-' needs something after it", sign.position)
        else:
            outer = self.words, self.weight, self.started
            self.words, self.weight = [], -1.0
            self._plain(-1.0)
            self._close_part()
            self.words, self.weight, self.started = outer

    def _plain(self, weight: float) -> None:
        """A word, phrase, group, reference or attachment for the part at hand."""
        token = self._take()
        if token.sort is Sort.OPEN:
            self._group(token, weight)
        elif token.sort is Sort.QUOTED:
            self._phrase(token, weight)
        elif token.sort is Sort.REFERENCE:
            parse_reference(token.text, token.value_position)
            self._add(ParsedPart(weight=weight, reference=token.text, position=token.position))
        elif token.sort is Sort.ATTACHMENT:
            self._attachment(token, weight)
        else:
            self._word(token.text, token.position)

    def _word(self, word: str, position: int) -> None:
        if not self.words:
            self.started = position
        self.words.append(word)

    def _phrase(self, token: Token, weight: float) -> None:
        words = " ".join(token.text.split())
        if not words:
            raise QueryError("there are no words between these quotes", token.position)
        (self.phrases if weight > 0 else self.unwanted_phrases).append(words)
        if weight > 0:  # what must be said is also what is meant
            self._word(words, token.position)

    def _group(self, opening: Token, weight: float) -> None:
        """`(any words)`: taken as they stand."""
        closing = self._closing(opening)
        inside = self.text[opening.end : closing.position]
        while self.token is not closing:
            if self.token.sort is Sort.QUOTED and self.token.text.strip():
                phrases = self.phrases if weight > 0 else self.unwanted_phrases
                phrases.append(" ".join(self.token.text.split()))
            self._take()
        self._take()
        words = " ".join(re.sub(r'[()"“”„«»]', " ", inside).split())
        if not words:
            raise QueryError("there is nothing between these parentheses", opening.position)
        self._word(words, opening.position)

    def _closing(self, opening: Token) -> Token:
        at = self.closing.get(self.at - 1)  # the opening one was just taken
        if at is None:
            raise QueryError("this parenthesis is never closed", opening.position)
        return self.tokens[at]

    def _attachment(self, token: Token, weight: float) -> None:
        if not re.fullmatch(r"[1-9]\d{0,3}", token.text, re.ASCII):
            raise QueryError(f"write {token.key}:1 for the first {token.key} sent with the query", token.value_position)
        number = int(token.text)
        if token.key == "image":
            self._add(ParsedPart(weight=weight, image=number, position=token.position))
        else:
            self._add(ParsedPart(weight=weight, sound=number, position=token.position))

    def _add(self, part: ParsedPart) -> None:
        self.parts.append(part)

    def _close_part(self) -> None:
        if self.words:
            self.parts.append(ParsedPart(weight=self.weight, text=" ".join(self.words), position=self.started))
        self.words, self.weight = [], 1.0

    # Filters

    def _filter_starts(self, ahead: int = 0) -> bool:
        """Whether a filter begins at this token (or at the one `ahead`)."""
        return self.at + ahead < len(self.tokens) and self.before_filter[self.at + ahead]

    def _filter_ends(self) -> bool:
        """Whether a filter ended just before this token."""
        return self.at > 0 and self.behind_filter[self.at - 1]

    def _filters(self, negated: bool = False) -> None:
        """One expression of filters; several in a query are all required."""
        start = self.token.position
        condition = self._not(0) if negated else self._or(0)
        self.conditions.append(Not(condition) if negated else condition)
        text = self.text[start : self.tokens[self.at - 1].end]
        self.where.append(f"NOT ({text})" if negated else f"({text})")

    def _or(self, depth: int) -> Condition:
        choices = [self._and(depth)]
        while self.token.sort is Sort.OR and (depth or self._filter_starts(1)):
            self._take()
            choices.append(self._and(depth))
        condition = any_of(*choices)
        assert condition is not None
        return condition

    def _and(self, depth: int) -> Condition:
        required = [self._not(depth)]
        while (joined := self.token.sort is Sort.AND and (depth or self._filter_starts(1))) or self._filter_starts():
            if joined:
                self._take()
            required.append(self._not(depth))
        condition = all_of(*required)
        assert condition is not None
        return condition

    def _not(self, depth: int) -> Condition:
        token = self._take()
        if depth > MAX_DEPTH:
            raise QueryError(f"filters are nested deeper than {MAX_DEPTH}", token.position)
        if token.sort in (Sort.NOT, Sort.UNWANTED):
            return Not(self._not(depth + 1))
        if token.sort is Sort.OPEN:
            condition = self._or(depth + 1)
            if self.token.sort is Sort.END:
                raise QueryError("this parenthesis is never closed", token.position)
            if self.token.sort is not Sort.CLOSE:
                raise QueryError("only filters, AND, OR and NOT can stand in these parentheses", self.token.position)
            self._take()
            return condition
        if token.sort is not Sort.FILTER:
            raise QueryError("a filter such as kind:image must stand here", token.position)
        self.filters += 1
        if self.filters > MAX_FILTERS:
            raise QueryError(f"there are more than {MAX_FILTERS} filters; leave some out", token.position)
        return filter_condition(token.key, token.operator, token.text, token.value_position)


def _lookahead(tokens: list[Token]) -> tuple[list[bool], list[bool], dict[int, int]]:
    """For each token, whether a filter begins or ends there; and where each parenthesis is closed.

    A filter begins after any NOT and "(", and ends before any ")". Determined once for all tokens, so that parsing
    takes time proportional to the length of the text.
    """
    begins = [token.sort is Sort.FILTER for token in tokens]
    ends = list(begins)
    for at in reversed(range(len(tokens) - 1)):
        if tokens[at].sort in (Sort.NOT, Sort.OPEN, Sort.UNWANTED):
            begins[at] = begins[at + 1]
    closing: dict[int, int] = {}
    opened: list[int] = []
    for at, token in enumerate(tokens):
        if token.sort is Sort.CLOSE:
            ends[at] = at > 0 and ends[at - 1]
            if opened:
                closing[opened.pop()] = at
        elif token.sort is Sort.OPEN:
            opened.append(at)
    return begins, ends, closing
