"""The bodies of HTTP requests and answers that are not already values of `search.results`.

Frozen msgspec structs; unknown keys in a request are refused, so that a typing mistake can't be silent.
Times leave as ISO 8601 in UTC, ids as strings.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from search.alerts.saved_query import Reach
from search.results import AssetView, Filters, Kind, Moment
from search.signals import Signal

Item = TypeVar("Item")

Limit = Annotated[int, Meta(ge=1, le=1000, description="Items on one page.")]


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
    """What to find. Every key is optional; without text, images and sounds, what passes the filters, newest first."""

    text: Annotated[str, Meta(description='In the query language: words, `-unwanted`, "phrases", weights.')] = ""
    images: Annotated[
        tuple[str, ...], Meta(description="Data URLs, asset ids, or asset@start-end.", max_length=32)
    ] = ()
    sounds: Annotated[
        tuple[str, ...], Meta(description="Data URLs, asset ids, or asset@start-end.", max_length=32)
    ] = ()
    filters: Filters = Filters()
    dates: Annotated[bool, Meta(description='Words that name a time ("last summer") are filters.')] = True
    limit: Limit = 20
    cursor: str | None = None
    rerank: bool | None = None
    explain: bool = False
    fold_copies: Annotated[bool, Meta(description="Copies of one picture are one hit, which names them.")] = True
    correct: Annotated[
        bool, Meta(description="Look for words that nobody knows as they may be meant, and say so in `query`.")
    ] = True


MOST_ASSETS = 100  # that a question can be about


class AnswerBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question about the library."""

    question: Annotated[str, Meta(min_length=1)]
    filters: Filters = Filters()
    limit: Annotated[int, Meta(ge=1, le=100, description="Hits to read.")] = 8
    assets: (
        Annotated[
            tuple[str, ...],
            Meta(max_length=MOST_ASSETS, description="Only these are looked at: ids, or `id@start-end` in seconds."),
        ]
        | None
    ) = None
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
    place: Annotated[str, Meta(description="Nearest to its coordinates: Montmartre, Paris, France.")] | None = None
    camera: str | None = None
    title: str | None = None
    language: str | None = None
    caption: Annotated[str, Meta(description="A small model's impression; may be wrong, null if none.")] | None = None
    pages: Annotated[int, Meta(description="Of a document that has some.")] | None = None
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
    page: Annotated[int, Meta(description="Of a document, from 1.")] | None = None
    lines: Annotated[tuple[int, int], Meta(description="First and last, of a text file.")] | None = None


class FailureView(Struct, frozen=True, kw_only=True):
    """A file that could not be made searchable."""

    asset_id: str
    path: str
    status: str  # quarantined, or pending when it will be tried again
    reason: str
    attempts: int


class NoteView(Struct, frozen=True, kw_only=True):
    """What was left out of a searchable file."""

    asset_id: str
    path: str
    about: list[str]  # length, tracks, sound, picture, pages, words, beside, other
    left_out: str


class NewSource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A folder, a file or a store to keep searchable."""

    root: Annotated[str, Meta(min_length=1, max_length=4096)]
    recursive: Annotated[bool, Meta(description="Default: yes, or as a known source was.")] | None = None
    watched: Annotated[bool, Meta(description="Default: yes, or as a known source was.")] | None = None
    excludes: (
        Annotated[
            list[Annotated[str, Meta(max_length=1000)]],
            Meta(max_length=1000, description="Patterns as in a .gitignore. Default: none, or as a known source had."),
        ]
        | None
    ) = None
    profile: (
        Annotated[
            str,
            Meta(max_length=200, description="How a store is reached: a profile of stores.toml that is for this root."),
        ]
        | None
    ) = None


class FolderEntry(Struct, frozen=True, kw_only=True):
    """A folder of the machine that serves."""

    name: str
    path: str
    readable: bool


class FolderListing(Struct, frozen=True, kw_only=True):
    """Folders to choose from."""

    path: str | None  # none: the places to begin at
    parent: str | None
    folders: list[FolderEntry]
    media: int  # files in the folder itself that look like media by their name
    needs: str | None = None  # what must be set before any folder can be added


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
    excludes: list[str]  # patterns as in a .gitignore
    skipped: dict[str, int]  # what the last whole scan left out, counted by reason
    profile: str | None = None  # how a store is reached: a name


class Looked(Struct, frozen=True, kw_only=True):
    """What was found where a bucket's notice says that something happened."""

    looked_at: int  # objects that lie in the source
    added: int
    changed: int
    missing: int


class JobView(Struct, frozen=True, kw_only=True):
    """A piece of work that takes a while."""

    id: str
    kind: str  # scan, fill, evaluate, tune
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
    noted_by_kind: dict[str, int]  # what the notes are about: length, tracks, sound, picture, pages, words, beside
    skipped: dict[str, int]  # what scans left out on purpose, counted by reason
    left_out: list[str]  # the same in words, the most frequent first: "3 PDF files", "1 @eaDir folder"
    kinds: dict[str, int]
    segments: dict[str, int]
    sources: list[SourceView]
    space: str | None
    space_notes: list[str]  # what one should know of it: see SpaceView
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
    features: list[str]  # what this service can do that not every one can; see api/routes/session.py


class Removal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Copies to remove, and what stays of them."""

    assets: Annotated[tuple[str, ...], Meta(min_length=1, max_length=1000)]
    keep: Annotated[tuple[str, ...], Meta(min_length=1, max_length=1000)]


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
    notes: list[str]  # what one should know: a newer version is there, or only English is known
    created_at: str


class NewSpace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Models of the hub to make a space of: one for all that it takes, or one each for images, text and sounds."""

    name: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    model: Annotated[str, Meta(min_length=1, max_length=300)] | None = None
    pretrained: Annotated[str, Meta(max_length=300)] = ""  # of open_clip
    images: Annotated[str, Meta(min_length=1, max_length=300)] | None = None
    text: Annotated[str, Meta(min_length=1, max_length=300)] | None = None
    sounds: Annotated[str, Meta(min_length=1, max_length=300)] | None = None
    dimension: Annotated[int, Meta(ge=0, le=65536)] = 0  # of the model, or of the one for text; 0: all


class ComparisonBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Queries to answer by another space, beside the one in use."""

    queries: Annotated[tuple[str, ...], Meta(min_length=1, max_length=20)]
    limit: Annotated[int, Meta(ge=1, le=100)] = 10


class NewSavedSearch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A search to keep."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    text: Annotated[str, Meta(description="In the query language, as for a search.")] = ""
    filters: Filters = Filters()
    relevance: (
        Annotated[float, Meta(gt=0, lt=1, description="From which a new file is told of. Default: the space's.")] | None
    ) = None
    notify: Annotated[bool, Meta(description="New files that match raise events.")] = True
    webhook_url: Annotated[str, Meta(max_length=2000, description="Needs the scope admin.")] | None = None


class SavedSearchChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to become different; what is left out stays."""

    name: Annotated[str, Meta(min_length=1, max_length=200)] | UnsetType = UNSET
    text: str | UnsetType = UNSET
    filters: Filters | UnsetType = UNSET
    relevance: Annotated[float, Meta(gt=0, lt=1)] | UnsetType | None = UNSET
    notify: bool | UnsetType = UNSET
    webhook_url: Annotated[str, Meta(max_length=2000, description="Needs the scope admin.")] | UnsetType | None = UNSET


class SavedSearchView(Struct, frozen=True, kw_only=True):
    """A saved search."""

    id: str
    name: str
    text: str
    filters: Filters
    relevance: float | None
    notify: bool
    webhook_url: str | None
    events: int  # that are kept
    created_at: str
    webhook_secret: Annotated[str, Meta(description="Shown only when it is new.")] | None = None
    reach: (
        Annotated[Reach, Meta(description="What a new file needs, and the best of now. Only on creation.")] | None
    ) = None


class SavedEventView(Struct, frozen=True, kw_only=True):
    """A new file that matches a saved search."""

    id: str
    type: str
    created_at: str
    saved_search: dict[str, str]  # id and name
    relevance: float
    asset: AssetView | None  # none: it is gone
    moment: Moment | None


class DeliveryView(Struct, frozen=True, kw_only=True):
    """What became of an event on its way to a webhook."""

    event_id: str
    state: str  # pending, delivered, dead
    attempts: int
    status: int | None  # of the last answer
    error: str | None  # of the last failure
    next_attempt_at: str | None
    updated_at: str


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
