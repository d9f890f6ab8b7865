"""The values that travel between the layers: queries in, hits and answers out.

Frozen structs without behaviour; `msgspec.json.encode` of them is the JSON of the contract.
This module knows no database, no index and no model.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
from msgspec import UNSET, Struct, UnsetType

from search.signals import Signal

Box = tuple[float, float, float, float]  # left, top, right, bottom in parts of the picture


class Kind(StrEnum):
    """What an asset is."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    DOCUMENT = "document"  # pages, or words without a picture


class Filters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Typed conditions, resolved exactly in SQL. Values of one key are alternatives; keys are all required."""

    kind: tuple[Kind, ...] = ()
    signal: tuple[Signal, ...] = ()
    after: str | None = None  # ISO date or time, inclusive, on captured_at (else the file's time)
    before: str | None = None  # inclusive; a bare date means its end
    path: tuple[str, ...] = ()  # globs on the asset's path
    source: tuple[str, ...] = ()  # source ids or roots
    where: str | None = None  # the query language's filter expression, e.g. 'duration>60 AND NOT camera:canon'


class Part(Struct, frozen=True, kw_only=True):
    """One weighted part of a query. Exactly one of text, image, sound, reference is set."""

    weight: float = 1.0  # negative: unwanted
    text: str | None = None
    heard: str | None = None  # the text as the library spells its names: what was said or written is looked for by it
    image: Any = None  # Picture: (h, w, 3) uint8, upright sRGB (search.spaces.inputs)
    sound: Any = None  # Waveform: (n,) float32 at 16 kHz mono (search.spaces.inputs)
    reference: str | None = None  # ASSET or ASSET@START-END (seconds)


class TimeWords(Struct, frozen=True):
    """Words of a query that name a time, and the filter that they mean."""

    words: str
    filter: str


class Query(Struct, frozen=True, kw_only=True):
    """A query as understood: what to find, under which conditions, how many."""

    parts: tuple[Part, ...] = ()
    phrases: tuple[str, ...] = ()  # "quoted words" that must be spoken or seen
    unwanted_phrases: tuple[str, ...] = ()  # -"quoted words" that must not be
    filters: Filters = Filters()
    limit: int = 20
    cursor: str | None = None
    rerank: bool | None = None  # None: as the settings say
    explain: bool = False
    fold_copies: bool = True  # the same bytes and altered copies of a picture are one hit
    correct: bool = (
        True  # words that neither the language nor the library knows are also looked for as they may be meant
    )
    text: str = ""  # as typed
    times: tuple[TimeWords, ...] = ()  # words of the text that named times, and what they mean


class Why(Struct, frozen=True, kw_only=True):
    """How one signal supports a moment: its raw score, the probability, and the matched words."""

    signal: str  # a Signal, or "words" for full text
    score: float
    relevance: float
    rank: int = 0  # place in its signal's list, from 1
    highlights: tuple[tuple[int, int], ...] = ()  # character ranges in the moment's text


class Moment(Struct, frozen=True, kw_only=True):
    """A stretch of an asset that matched (whole images have no times)."""

    segment_id: int
    signal: Signal
    start_seconds: float | None
    end_seconds: float | None
    text: str | None
    score: float  # the signal's raw score (cosine in its space)
    relevance: float  # calibrated probability of relevance in [0, 1]
    thumbnail: str
    page: int | None = None  # of a document, from 1
    lines: tuple[int, int] | None = None  # of a text file: the first and the last one, from 1
    box: Box | None = None  # of the words in the picture
    why: tuple[Why, ...] | UnsetType = UNSET  # set when the query asks to explain


class AssetView(Struct, frozen=True, kw_only=True):
    """An asset as results show it."""

    id: str
    path: str
    kind: Kind
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None
    captured_at: str | None = None
    dated_at: str | None = None  # when it was captured, or else the file's own time: the library's order
    camera: str | None = None
    title: str | None = None
    language: str | None = None
    latitude: float | None = None  # degrees
    longitude: float | None = None
    place: str | None = None  # nearest to them: "Montmartre, Paris, France"
    caption: str | None = None  # what a model sees or hears in it, where one has looked or listened
    pages: int | None = None  # of a document that has some


class Hit(Struct, frozen=True, kw_only=True):
    """An asset that matched, with its best moments, best first."""

    asset: AssetView
    relevance: float
    moments: tuple[Moment, ...]
    copies: tuple[str, ...] = ()  # ids of assets that are copies of this one and pass the same filters
    less_likely: bool = False  # relevance has ended before this hit


class SearchResult(Struct, frozen=True, kw_only=True):
    """One ranked page."""

    query: dict[str, Any]
    hits: tuple[Hit, ...]
    matched: bool  # False: "nothing in your library matches well", the hits only come closest
    confident: bool  # the first hit is right at least four times of five
    next_cursor: str | None
    space: str
    took_seconds: float
    matching: int = 0  # hits of all pages that are not less likely, as far as was looked


class Citation(Struct, frozen=True, kw_only=True):
    """A span of a segment that supports a sentence of an answer."""

    number: int
    asset_id: str
    path: str
    segment_id: int
    signal: Signal
    start_seconds: float | None  # where the word that answers is said, or the quote is
    end_seconds: float | None
    quote: str
    support: float  # in [0, 1]: how likely it answers; of answers at 0.9 nine of ten do
    box: Box | None = None  # of a line seen
    page: int | None = None  # of a document, from 1
    lines: tuple[int, int] | None = None  # of a text file: the first and the last one, from 1


class Answer(Struct, frozen=True, kw_only=True):
    """An answer grounded in citations, or `found=False` with none."""

    question: str
    answer: str
    found: bool
    citations: tuple[Citation, ...]
    hits: tuple[Hit, ...]
    space: str
    model: str
    took_seconds: float
    conversation: str | None = None  # pass it back to ask a follow-up
    closest: tuple[Citation, ...] = ()  # where nothing is found: lines that may answer after all, likeliest first


Vectors = np.ndarray  # (n, d) float32, unit rows, unless a docstring says otherwise
