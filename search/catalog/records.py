"""The frozen values that the catalogue takes and returns, so that no SQLAlchemy type leaves this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from search.catalog.states import AssetStatus, NoteKind


class AssetFacts(Struct, frozen=True, kw_only=True):
    """What the media say about themselves. Times are UTC epoch seconds; angles are degrees."""

    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None
    captured_at: float | None = None
    captured_offset: int | None = None  # seconds that the photographer's clock was ahead of UTC, where that is written
    latitude: float | None = None
    longitude: float | None = None
    camera: str | None = None
    title: str | None = None
    language: str | None = None
    perceptual_hash: bytes | None = None
    pages: int | None = None  # of a document that has some


class FoundFile(Struct, frozen=True, kw_only=True):
    """A file that a scan saw."""

    path: str  # valid Unicode, for people and filters
    path_bytes: bytes  # for the file system
    size_bytes: int
    modified_ns: int
    changed_ns: int | None = None  # of the inode: changes with the contents, whatever time somebody gives the file
    side_car: str = ""  # the state of the words that lie beside it; empty: there are none
    etag: str = ""  # of a stored file: what its store says changes with the contents

    @property
    def state(self) -> tuple[int, int, str, str]:
        """A value that differs whenever the file must be read again."""
        return self.size_bytes, self.modified_ns, self.side_car, self.etag


class NewSegment(Struct, frozen=True, kw_only=True):
    """A segment to write, with its vectors by space id: `(d,) float32`, unit length."""

    signal: str
    start_seconds: float | None = None
    end_seconds: float | None = None
    text: str | None = None
    details: bytes | None = None  # JSON
    page: int | None = None  # of a document, from 1
    line: int | None = None  # of a text file: the first one of the text, from 1
    vectors: Mapping[int, np.ndarray] = {}


class IndexedAsset(Struct, frozen=True, kw_only=True):
    """Everything that indexing one asset produced."""

    asset_id: int
    kind: str
    content_hash: str
    facts: AssetFacts
    segments: Sequence[NewSegment]
    note: str | None = None  # what was left out, for people
    note_kinds: tuple[NoteKind, ...] = ()  # what that is about, each once
    unread: bool = False  # there may be text in it, which a second visit is to read
    caption: str | None = None  # where it is known already


class ReadAsset(Struct, frozen=True, kw_only=True):
    """The text that a second visit found in an asset that is searchable already."""

    asset_id: int
    segments: Sequence[NewSegment]
    note: str | None = None  # why it could not be read, for people


class SourceRecord(Struct, frozen=True):
    """A root that holds media."""

    id: int
    root: str
    recursive: bool
    watched: bool
    state: str  # active, paused
    reason: str | None  # why it is paused
    created_at: float
    scanned_at: float | None
    excludes: str = ""  # gitignore's patterns, one a line
    skipped: str = "{}"  # JSON: what the last whole scan left out, counted by reason
    profile: str = ""  # of a store: how it is reached; see indexer/sources/stores/profiles.py


class AssetRecord(Struct, frozen=True):
    """An asset as the catalogue knows it; fields in the order of the table's columns."""

    id: int
    source_id: int
    path: str
    path_bytes: bytes
    kind: str | None
    size_bytes: int
    modified_ns: int
    changed_ns: int | None
    side_car: str
    etag: str
    content_hash: str | None
    status: str
    attempts: int
    takeovers: int
    alone: bool
    deaths: int
    not_before: float
    lease_owner: str | None
    lease_expires_at: float | None
    claim_number: int
    error: str | None
    note: str | None
    unread: bool
    caption: str | None
    width: int | None
    height: int | None
    duration_seconds: float | None
    captured_at: float | None
    captured_offset: int | None
    latitude: float | None
    longitude: float | None
    camera: str | None
    title: str | None
    language: str | None
    perceptual_hash: bytes | None
    created_at: float
    indexed_at: float | None
    pages: int | None = None
    place: str | None = None
    note_kinds: str | None = None  # of NoteKind, with commas; NULL: no note, or one from before they were told apart

    @property
    def state(self) -> tuple[int, int, str, str]:
        """`FoundFile.state` as of the last scan that saw the file."""
        return self.size_bytes, self.modified_ns, self.side_car, self.etag

    @property
    def only_reading(self) -> bool:
        """Whether a claimed asset is searchable already, so that only the text in it is left to read."""
        return self.status == AssetStatus.INDEXED


class SegmentRecord(Struct, frozen=True):
    """A segment, with its asset where it was asked for."""

    id: int
    asset_id: int
    ordinal: int
    signal: str
    start_seconds: float | None
    end_seconds: float | None
    text: str | None
    details: bytes | None  # JSON
    page: int | None = None
    line: int | None = None
    asset: AssetRecord | None = None


class SpaceRecord(Struct, frozen=True):
    """An embedding space."""

    id: int
    name: str
    specification: str  # JSON
    fingerprint: str
    state: str  # filling, ready, active
    probe: bytes | None  # float32
    calibration: str | None  # JSON
    created_at: float


class JobRecord(Struct, frozen=True):
    """A piece of background work that people follow."""

    id: int
    kind: str  # scan, fill, evaluate, tune
    source_id: int | None
    space_id: int | None
    state: str  # running, paused, done, failed, cancelled
    stage: str | None
    total: int
    done: int
    failed: int
    error: str | None
    created_at: float
    updated_at: float
    result: str | None  # JSON: of evaluate and tune


class KeyRecord(Struct, frozen=True):
    """An API key; the key itself is never stored."""

    id: int
    name: str
    hash: str  # sha256, hex
    scopes: str  # space-separated: read write admin
    created_at: float
    used_at: float | None
    revoked_at: float | None


class QueryRecord(Struct, frozen=True):
    """A query that someone asked lately."""

    id: int
    query: str  # JSON
    created_at: float


class JudgementRecord(Struct, frozen=True):
    """A user's judgement of whether an asset is a right answer to a query."""

    id: int
    query: str
    asset_id: int
    relevant: int  # 0: not at all
    created_at: float
    path: str


class TuningRecord(Struct, frozen=True):
    """What was learnt from judgements for the queries of a space."""

    space_id: int
    weights: bytes  # MessagePack
    record: str  # JSON
    created_at: float


class ResponseRecord(Struct, frozen=True):
    """The answer to a write that carried an idempotency key."""

    key: str
    request_hash: str
    status: int
    body: bytes
    created_at: float


class SyncCounts(Struct, frozen=True, kw_only=True):
    """What became of a batch of found files. `ids` are theirs, in the order they were found."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    returned: int = 0  # were missing and are back as they were
    removed: int = 0  # passed by, because somebody removed them from the library
    ids: tuple[int, ...] = ()


class Counts(Struct, frozen=True, kw_only=True):
    """How many files are in which state: indexed + pending + working + quarantined + missing = known, always."""

    indexed: int = 0
    pending: int = 0
    working: int = 0
    quarantined: int = 0
    missing: int = 0
    known: int = 0
    unread: int = 0  # of the indexed ones: the text in them is still to be read
    noted: int = 0  # of the indexed ones: something was left out, and their note says what
    noted_by_kind: Mapping[str, int] = {}  # of those, what their notes are about; an asset may be counted several times
    by_kind: Mapping[str, int] = {}  # of known files; "unknown" until probed
    segments: Mapping[str, int] = {}  # by signal


class EmbeddingCount(Struct, frozen=True, kw_only=True):
    """How much of one signal a space holds: `segments - embedded` are missing from it."""

    signal: str
    segments: int
    embedded: int


class SavedSearchRecord(Struct, frozen=True):
    """A saved search."""

    id: int
    name: str
    query: str  # JSON
    least: float | None  # relevance from which a file matches; None: as the space's calibration says
    notify: bool
    webhook_url: str | None
    webhook_secret: str | None
    resolved: bytes | None  # its vectors in the space of this fingerprint
    fingerprint: str | None
    revision: int
    created_at: float


class SavedEventRecord(Struct, frozen=True):
    """A new file that matches a saved search."""

    id: int
    saved_search_id: int
    asset_id: int
    segment_id: int | None
    relevance: float
    created_at: float


class DeliveryRecord(Struct, frozen=True):
    """An event on its way to a webhook."""

    event_id: int
    state: str
    attempts: int
    not_before: float
    claim_number: int
    status: int | None
    error: str | None
    updated_at: float


class Match(Struct, frozen=True, kw_only=True):
    """An asset that matches a saved search."""

    saved_search_id: int
    asset_id: int
    segment_id: int | None
    relevance: float
