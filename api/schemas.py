"""The bodies of HTTP requests and answers that are not already values of `search.results`.

Frozen msgspec structs; unknown keys in a request are refused, so that a typing mistake can't be silent.
Times leave as ISO 8601 in UTC, ids as strings.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar

from msgspec import Meta, Struct

from search.results import Filters, Kind, Signal

Item = TypeVar("Item")

Limit = Annotated[int, Meta(ge=1, le=1000, description="Items on one page.")]


class AssetStatus(StrEnum):
    """The one state that a known file is in."""

    PENDING = "pending"
    WORKING = "working"
    INDEXED = "indexed"
    QUARANTINED = "quarantined"
    MISSING = "missing"


class Scope(StrEnum):
    """What a key may do; admin includes write, write includes read."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class Page(Struct, Generic[Item], frozen=True, kw_only=True):
    """One page of a list; pass `next_cursor` back to get the next one."""

    items: list[Item]
    next_cursor: str | None = None


class SearchBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to find. Every key is optional; at least one of text, images, sounds is needed."""

    text: Annotated[str, Meta(description='In the query language: words, `-unwanted`, "phrases", weights.')] = ""
    images: Annotated[
        tuple[str, ...], Meta(description="Data URLs, asset ids, or asset@start-end.", max_length=32)
    ] = ()
    sounds: Annotated[
        tuple[str, ...], Meta(description="Data URLs, asset ids, or asset@start-end.", max_length=32)
    ] = ()
    filters: Filters = Filters()
    limit: Limit = 20
    cursor: str | None = None
    rerank: bool | None = None
    explain: bool = False


class AnswerBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question about the library."""

    question: Annotated[str, Meta(min_length=1, max_length=4000)]
    filters: Filters = Filters()
    limit: Annotated[int, Meta(ge=1, le=100, description="Hits to read.")] = 8
    conversation: (
        Annotated[str, Meta(description="`conversation` of the answer that this follows up.", max_length=100_000)]
        | None
    ) = None


class AssetDetails(Struct, frozen=True, kw_only=True):
    """Everything known about one media file."""

    id: str
    path: str
    kind: Kind | None
    status: str
    source_id: str
    size_bytes: int
    modified_at: str
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None
    captured_at: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    camera: str | None = None
    title: str | None = None
    language: str | None = None
    content_hash: str | None = None
    error: str | None = None
    note: str | None = None
    indexed_at: str | None = None


class SegmentView(Struct, frozen=True, kw_only=True):
    """One searchable unit of an asset."""

    id: int
    signal: Signal
    start_seconds: float | None
    end_seconds: float | None
    text: str | None
    details: Any = None  # words with times, boxes, confidence


class FailureView(Struct, frozen=True, kw_only=True):
    """A file that could not be made searchable."""

    asset_id: str
    path: str
    status: str  # quarantined, or pending when it will be tried again
    reason: str
    attempts: int


class NewSource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A folder or file to keep searchable."""

    root: Annotated[str, Meta(min_length=1, max_length=4096)]
    recursive: bool = True
    watched: bool = True


class SourceView(Struct, frozen=True, kw_only=True):
    """A root that holds media."""

    id: str
    root: str
    recursive: bool
    watched: bool
    state: str  # active, paused
    reason: str | None
    created_at: str
    scanned_at: str | None


class JobView(Struct, frozen=True, kw_only=True):
    """A piece of work that takes a while."""

    id: str
    kind: str  # scan, fill
    state: str  # running, paused, done, failed, cancelled
    stage: str | None
    total: int
    done: int
    failed: int
    rate_per_second: float | None
    seconds_left: float | None
    source_id: str | None
    space_id: str | None
    error: str | None
    created_at: str
    updated_at: str


class AssetCounts(Struct, frozen=True, kw_only=True):
    """Every known file is in exactly one of these states."""

    total: int
    pending: int
    working: int
    indexed: int
    quarantined: int
    missing: int


class Status(Struct, frozen=True, kw_only=True):
    """The account of the whole library."""

    assets: AssetCounts
    unread: int  # of the indexed files: there may be text in them that is still to be read
    noted: int  # of the indexed files: something was left out of them, and their `note` says what
    kinds: dict[str, int]
    segments: dict[str, int]
    sources: list[SourceView]
    space: str | None
    database: str
    version: str


class Health(Struct, frozen=True, kw_only=True):
    """Is this process alive, and is each part ready? `checks` says what is wrong."""

    status: str  # alive, ready, not ready
    checks: dict[str, str] = {}


class Retried(Struct, frozen=True, kw_only=True):
    """How many files are in the queue again."""

    count: int


class UploadedAsset(Struct, frozen=True, kw_only=True):
    """What became of an upload. The same contents twice give the same asset."""

    id: str
    path: str
    status: str
    known: bool  # these contents were in the library already


class SessionView(Struct, frozen=True, kw_only=True):
    """Who the caller is, for the web page."""

    name: str
    scopes: list[str]
    key_needed: bool  # keys are configured, and none was sent


class CoverageView(Struct, frozen=True, kw_only=True):
    """What a space holds of one signal, and what it will take on disk."""

    signal: str
    segments: int
    embedded: int
    missing: int
    bytes_when_full: int


class SpaceView(Struct, frozen=True, kw_only=True):
    """An embedding space, and what it holds."""

    name: str
    state: str  # filling, ready, active
    fingerprint: str
    coverage: list[CoverageView]
    created_at: str


class NewSpace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An open_clip model to make a space of."""

    name: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    model: Annotated[str, Meta(min_length=1, max_length=300)]
    pretrained: Annotated[str, Meta(max_length=300)] = ""


class ComparisonBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Queries to answer by another space, beside the one in use."""

    queries: Annotated[tuple[str, ...], Meta(min_length=1, max_length=20)]
    limit: Annotated[int, Meta(ge=1, le=100)] = 10


class KeyView(Struct, frozen=True, kw_only=True):
    """An API key, as far as anyone may see it again."""

    id: str
    name: str
    scopes: list[str]
    created_at: str
    used_at: str | None
    revoked_at: str | None


class NewKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to make."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1, max_length=3)] = (Scope.READ,)


class CreatedKey(Struct, frozen=True, kw_only=True):
    """A new key; `key` is shown only now."""

    id: str
    name: str
    scopes: list[str]
    key: str
