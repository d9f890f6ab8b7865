"""What goes to Medley and what comes back, as frozen values. Keys that a newer Medley adds are passed over."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from msgspec import Struct

Item = TypeVar("Item")


class Filters(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What hits must fulfil. Values of one key are alternatives; all keys are required."""

    kind: tuple[str, ...] = ()  # image, video, audio
    signal: tuple[str, ...] = ()  # image, frame, sound, speech, text
    after: str | None = None  # ISO date or time
    before: str | None = None
    path: tuple[str, ...] = ()  # globs
    source: tuple[str, ...] = ()
    where: str | None = None  # the query language's filters, such as 'duration>60'


class Asset(Struct, frozen=True, kw_only=True):
    """A file, as hits show it."""

    id: str
    path: str
    kind: str
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None
    captured_at: str | None = None
    dated_at: str | None = None
    title: str | None = None
    caption: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    place: str | None = None


class Moment(Struct, frozen=True, kw_only=True):
    """A stretch or page of a file that matched; a whole picture has neither."""

    segment_id: int
    signal: str
    start_seconds: float | None = None
    end_seconds: float | None = None
    text: str | None = None  # said or seen
    score: float = 0.0
    relevance: float = 0.0
    thumbnail: str = ""
    page: int | None = None  # of a document, from 1
    lines: tuple[int, int] | None = None  # of a text file: the first and the last one, from 1
    box: tuple[float, float, float, float] | None = None  # of the words in the picture


class Hit(Struct, frozen=True, kw_only=True):
    """A file that matched, with its best moments, best first."""

    asset: Asset
    relevance: float  # a probability
    moments: tuple[Moment, ...] = ()
    copies: tuple[str, ...] = ()
    less_likely: bool = False


class SearchResult(Struct, frozen=True, kw_only=True):
    """One page of a ranking."""

    hits: tuple[Hit, ...]
    matched: bool  # False: nothing matches well, these only come closest
    confident: bool = False
    next_cursor: str | None = None
    space: str = ""
    took_seconds: float = 0.0
    query: dict[str, Any] = {}


class Citation(Struct, frozen=True, kw_only=True):
    """The span that a sentence of an answer rests on."""

    number: int
    asset_id: str
    path: str
    segment_id: int
    signal: str
    quote: str
    support: float
    start_seconds: float | None = None
    end_seconds: float | None = None
    page: int | None = None
    lines: tuple[int, int] | None = None
    box: tuple[float, float, float, float] | None = None


class Answer(Struct, frozen=True, kw_only=True):
    """An answer with citations, or `found=False` with none."""

    question: str
    answer: str
    found: bool
    citations: tuple[Citation, ...] = ()
    closest: tuple[Citation, ...] = ()  # where nothing is found: lines that may answer after all
    hits: tuple[Hit, ...] = ()
    model: str = ""
    conversation: str | None = None  # pass it back to ask on


class AssetDetails(Struct, frozen=True, kw_only=True):
    """Everything known of a file."""

    id: str
    path: str
    kind: str | None = None
    status: str = ""
    source_id: str = ""
    size_bytes: int = 0
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None
    captured_at: str | None = None
    title: str | None = None
    caption: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    place: str | None = None
    error: str | None = None
    note: str | None = None
    indexed_at: str | None = None


class Segment(Struct, frozen=True, kw_only=True):
    """One searchable unit of a file."""

    id: int
    signal: str
    start_seconds: float | None = None
    end_seconds: float | None = None
    text: str | None = None


class Source(Struct, frozen=True, kw_only=True):
    """A folder that is kept searchable."""

    id: str
    root: str
    state: str = ""
    reason: str | None = None


class Job(Struct, frozen=True, kw_only=True):
    """Work that takes a while."""

    id: str
    kind: str
    state: str
    total: int = 0
    done: int = 0
    failed: int = 0
    error: str | None = None


class Estimate(Struct, frozen=True, kw_only=True):
    """A mean over judged queries, and the interval that holds it 19 times of 20."""

    mean: float
    low: float
    high: float


class Difference(Struct, frozen=True, kw_only=True):
    """How much better the second ranking is than the first."""

    mean: float
    low: float
    high: float
    p: float  # how often chance alone makes so large a difference


class Evaluation(Struct, frozen=True, kw_only=True):
    """How one space does on the judged queries."""

    name: str
    queries: int
    recall: Estimate  # among the first `depth` hits
    ndcg: Estimate
    calibration_error: Estimate | None = None  # lower is better; None: too few of the hits were judged wrong
    right: int = 0  # judged hits among the first `depth` of all queries
    wrong: int = 0
    depth: int = 10


class Contrast(Struct, frozen=True, kw_only=True):
    """One space held against another, query by query."""

    first: str
    second: str
    recall: Difference
    ndcg: Difference


class EvaluationReport(Struct, frozen=True, kw_only=True):
    """What came of an evaluation."""

    evaluations: tuple[Evaluation, ...]
    contrasts: tuple[Contrast, ...] = ()  # of each but the first, against the first


class TuningOutcome(Struct, frozen=True, kw_only=True):
    """What came of learning, and whether it is used."""

    space: str
    used: bool
    why: str
    before: Evaluation
    after: Evaluation | None = None  # on queries that were held out
    gain: Contrast | None = None
    senses: tuple[str, ...] = ()
    reranker: str = ""
    rerank_gain: Contrast | None = None


class AssetCounts(Struct, frozen=True, kw_only=True):
    """Every known file is in one of these states."""

    total: int
    pending: int
    working: int
    indexed: int
    quarantined: int
    missing: int


class Status(Struct, frozen=True, kw_only=True):
    """The account of the whole library."""

    assets: AssetCounts
    version: str = ""
    space: str | None = None


class Upload(Struct, frozen=True, kw_only=True):
    """What became of a file that was uploaded."""

    asset_id: str
    size_bytes: int


class Page(Struct, Generic[Item], frozen=True, kw_only=True):
    """One page of a list."""

    items: tuple[Item, ...]
    next_cursor: str | None = None
