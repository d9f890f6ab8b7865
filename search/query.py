"""Understands a query: the language and everything sent along with it become one `Query`.

The command line, HTTP and the page all come through here. Knows no catalogue and no space.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from search.errors import QueryError
from search.filters import (
    CapturedBefore,
    CapturedFrom,
    Condition,
    KindIs,
    PathMatches,
    SignalIs,
    SourceIs,
    all_of,
    any_of,
)
from search.query_grammar import ParsedPart, ParsedQuery, Reference, parse, parse_reference
from search.query_values import period
from search.results import Filters, Part, Query
from search.spaces.inputs import Picture, Waveform

__all__ = ["ParsedQuery", "Reference", "condition_of", "parse_query", "parse_reference"]


def parse_query(
    text: str = "",
    *,
    images: Sequence[Picture] = (),
    sounds: Sequence[Waveform] = (),
    references: Sequence[str] = (),
    filters: Filters | None = None,
    max_characters: int = 4000,
    max_parts: int = 32,
) -> Query:
    """A query in the language, with what was sent along -> a Query; limit, cursor and so on are the caller's.

    Images and sounds that the text does not name (`image:1`) are parts of weight 1, and so are
    `references` (asset ids, or ID@START-END). Conditions of `filters` and of the text are all required.
    Raises QueryError.
    """
    if len(text) > max_characters:
        raise QueryError(
            f"the query has {len(text)} characters; {max_characters} are allowed (setting max_query_characters)",
            max_characters,
        )
    parsed = parse(text)
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
    where = " ".join(f"({one})" for one in (filters.where, parsed.where) if one)
    return Query(
        parts=tuple(parts),
        phrases=parsed.phrases,
        unwanted_phrases=parsed.unwanted_phrases,
        filters=msgspec.structs.replace(filters, where=where or None),
        text=text,
    )


def _bound(part: ParsedPart, images: Sequence[Picture], sounds: Sequence[Waveform]) -> Part:
    if part.image is not None:
        return Part(weight=part.weight, image=_attached(images, part.image, "image", part.position))
    if part.sound is not None:
        return Part(weight=part.weight, sound=_attached(sounds, part.sound, "sound", part.position))
    return Part(weight=part.weight, text=part.text, reference=part.reference)


def _attached(sent: Sequence[Picture], place: int, kind: str, position: int) -> Picture:
    if place > len(sent):
        raise QueryError(f"the query names {kind}:{place}, but {len(sent)} of that kind were sent along", position)
    return sent[place - 1]


def _unnamed(parsed: ParsedQuery, images: Sequence[Picture], sounds: Sequence[Waveform]) -> list[Part]:
    images_named = {part.image for part in parsed.parts}
    sounds_named = {part.sound for part in parsed.parts}
    return [
        *(Part(image=image) for place, image in enumerate(images, start=1) if place not in images_named),
        *(Part(sound=sound) for place, sound in enumerate(sounds, start=1) if place not in sounds_named),
    ]


def condition_of(filters: Filters) -> Condition | None:
    """All typed conditions and the `where` expression as one tree; None where nothing is filtered."""
    return all_of(
        any_of(*(KindIs(kind) for kind in filters.kind)),
        any_of(*(SignalIs(signal) for signal in filters.signal)),
        any_of(*(PathMatches(glob) for glob in filters.path)),
        any_of(*(SourceIs(source) for source in filters.source)),
        CapturedFrom(_period("after", filters.after)[0]) if filters.after else None,
        CapturedBefore(_period("before", filters.before)[1]) if filters.before else None,
        _where(filters.where) if filters.where else None,
    )


def _period(key: str, value: str) -> tuple[float, float]:
    try:
        return period(value, 0)
    except QueryError as error:
        raise QueryError(f"{key}: {error}") from None


def _where(text: str) -> Condition | None:
    parsed = parse(text)
    if parsed.parts or parsed.phrases or parsed.unwanted_phrases:
        raise QueryError(
            f"the filter {text!r} holds more than filters", parsed.parts[0].position if parsed.parts else 0
        )
    return parsed.condition
