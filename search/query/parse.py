"""Understands a query: the language and everything sent along with it become one `Query`.

The command line, HTTP and the page all use it. Knows no catalogue and no space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import msgspec

from search.errors import QueryError
from search.query.conditions import (
    Condition,
    KindIs,
    PathMatches,
    SignalIs,
    SourceIs,
    all_of,
    any_of,
)
from search.query.dates import Dated, dates_in
from search.query.filters import captured_before, captured_from
from search.query.grammar import MAX_FILTERS, ParsedPart, ParsedQuery, Reference, parse, parse_reference
from search.results import Filters, Part, Query

if TYPE_CHECKING:  # at run time Pillow would come along, which `medley status` has no use for
    from search.spaces.inputs import Picture, Waveform

MAX_FILTER_CHARACTERS = 20_000  # of everything that they are written with

Attachment = TypeVar("Attachment", "Picture", "Waveform")

__all__ = ["ParsedQuery", "Reference", "check_length", "condition_of", "parse_query", "parse_reference"]


def check_length(text: str, max_characters: int, what: str = "query") -> None:
    """The one limit for everything that people ask, through any entry point. Raises QueryError."""
    if len(text) > max_characters:
        raise QueryError(
            f"the {what} has {len(text)} characters; {max_characters} are allowed (setting max_query_characters)",
            max_characters,
        )


def parse_query(
    text: str = "",
    *,
    images: Sequence[Picture] = (),
    sounds: Sequence[Waveform] = (),
    references: Sequence[str] = (),
    filters: Filters | None = None,
    max_characters: int = 4000,
    max_parts: int = 32,
    today: date | None = None,
) -> Query:
    """A query in the language, with what was sent along -> a Query; limit, cursor and so on are the caller's.

    Images and sounds that the text does not name (`image:1`) are parts of weight 1, and so are
    `references` (asset ids, or ID@START-END). Conditions of `filters` and of the text are all required.
    With `today`, words that name a time ("last summer") are filters. Raises QueryError.
    """
    check_length(text, max_characters)
    dated = dates_in(text, today) if today else Dated(text, ())
    parsed = _parsed(text, dated)
    parts = [_bound(part, images, sounds) for part in parsed.parts]
    parts += _unnamed(parsed, images, sounds)
    for reference in references:
        parse_reference(reference)
        parts.append(Part(reference=reference))
    if len(parts) > max_parts:
        raise QueryError(f"the query has {len(parts)} parts; {max_parts} are allowed (setting max_query_parts)")
    if parts and all(part.weight < 0 for part in parts) and not parsed.phrases:
        raise QueryError("the query says only what is unwanted; say also what to find", 0)
    filters = filters or Filters()
    condition_of(filters)  # refuse now, not in the middle of a search
    where = " ".join(f"({text_filter})" for text_filter in (filters.where, parsed.where) if text_filter)
    return Query(
        parts=tuple(parts),
        phrases=parsed.phrases,
        unwanted_phrases=parsed.unwanted_phrases,
        filters=msgspec.structs.replace(filters, where=where or None),
        text=text,
        times=dated.times,
    )


def _parsed(text: str, dated: Dated) -> ParsedQuery:
    """Mistakes are pointed at in the text as it was typed."""
    try:
        return parse(dated.filtered)
    except QueryError:
        parse(text)
        raise


def _bound(part: ParsedPart, images: Sequence[Picture], sounds: Sequence[Waveform]) -> Part:
    if part.image is not None:
        return Part(weight=part.weight, image=_attached(images, part.image, "image", part.position))
    if part.sound is not None:
        return Part(weight=part.weight, sound=_attached(sounds, part.sound, "sound", part.position))
    return Part(weight=part.weight, text=part.text, reference=part.reference)


def _attached(sent: Sequence[Attachment], number: int, kind: str, position: int) -> Attachment:
    if number > len(sent):
        raise QueryError(f"the query names {kind}:{number}, but {len(sent)} of that kind were sent along", position)
    return sent[number - 1]


def _unnamed(parsed: ParsedQuery, images: Sequence[Picture], sounds: Sequence[Waveform]) -> list[Part]:
    images_named = {part.image for part in parsed.parts}
    sounds_named = {part.sound for part in parsed.parts}
    return [
        *(Part(image=image) for number, image in enumerate(images, start=1) if number not in images_named),
        *(Part(sound=sound) for number, sound in enumerate(sounds, start=1) if number not in sounds_named),
    ]


@lru_cache(maxsize=64)  # a query's filters are checked, resolved and asked for page by page, but read only once
def condition_of(filters: Filters) -> Condition | None:
    """All typed conditions and the `where` expression as one tree; None where nothing is filtered.

    Every entry point uses it. Raises QueryError, also where the filters are too many or too long.
    """
    _check_size(filters)
    return all_of(
        any_of(*(KindIs(kind) for kind in filters.kind)),
        any_of(*(SignalIs(signal) for signal in filters.signal)),
        any_of(*(PathMatches(glob) for glob in filters.path)),
        any_of(*(SourceIs(source) for source in filters.source)),
        _captured("after", captured_from, filters.after),
        _captured("before", captured_before, filters.before),
        _where(filters.where) if filters.where else None,
    )


def _check_size(filters: Filters) -> None:
    count = sum(map(len, (filters.kind, filters.signal, filters.path, filters.source)))
    if count > MAX_FILTERS:
        raise QueryError(f"the filters hold {count} kinds, signals, paths and sources; {MAX_FILTERS} are allowed")
    times = (filters.after or "", filters.before or "")
    characters = sum(map(len, (*filters.path, *filters.source, *times, filters.where or "")))
    if characters > MAX_FILTER_CHARACTERS:
        raise QueryError(f"the filters have {characters} characters; {MAX_FILTER_CHARACTERS} are allowed")


def _captured(key: str, read: Callable[[str, int], Condition], value: str | None) -> Condition | None:
    try:
        return read(value, 0) if value else None
    except QueryError as error:
        raise QueryError(f"{key}: {error}") from None


def _where(text: str) -> Condition | None:
    parsed = parse(text)
    if parsed.parts or parsed.phrases or parsed.unwanted_phrases:
        raise QueryError(
            f"the filter {text[:100]!r} holds more than filters", parsed.parts[0].position if parsed.parts else 0
        )
    return parsed.condition
