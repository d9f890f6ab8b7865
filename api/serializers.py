"""Catalogue records as the bodies of `api.schemas`. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from api.schemas import (
    AssetCounts,
    AssetDetails,
    CoverageView,
    DeliveryView,
    FailureView,
    JobView,
    KeyView,
    NoteView,
    SavedSearchView,
    SegmentView,
    SourceView,
    SpaceView,
)
from search.alerts.saved_query import Reach, decode
from search.catalog.records import (
    AssetRecord,
    Counts,
    DeliveryRecord,
    JobRecord,
    KeyRecord,
    SavedSearchRecord,
    SegmentRecord,
    SourceRecord,
    SpaceRecord,
)
from search.catalog.states import DeliveryState, JobState, NoteKind
from search.ranking.hits import lines_of
from search.results import Kind
from search.signals import Signal
from search.spaces.specification import advice
from search.times import iso, maybe_iso

_PLURAL = re.compile(r"\b(file|folder|link)s\b")
_SUFFIX = re.compile(r"^[a-z0-9]{1,4}(?= files$)")


def asset_details(record: AssetRecord) -> AssetDetails:
    """Everything known about an asset."""
    return AssetDetails(
        id=str(record.id),
        path=record.path,
        kind=Kind(record.kind) if record.kind else None,
        status=record.status,
        source_id=str(record.source_id),
        size_bytes=record.size_bytes,
        modified_at=iso(record.modified_ns / 1e9),
        width=record.width,
        height=record.height,
        duration_seconds=record.duration_seconds,
        captured_at=maybe_iso(record.captured_at, record.captured_offset),
        latitude=record.latitude,
        longitude=record.longitude,
        place=record.place,
        camera=record.camera,
        title=record.title,
        language=record.language,
        caption=record.caption or None,
        pages=record.pages,
        content_hash=record.content_hash,
        error=record.error,
        note=record.note,
        indexed_at=maybe_iso(record.indexed_at),
    )


def segment_view(record: SegmentRecord) -> SegmentView:
    """One segment."""
    return SegmentView(
        id=record.id,
        signal=Signal(record.signal),
        start_seconds=record.start_seconds,
        end_seconds=record.end_seconds,
        text=record.text,
        details=_json(record.details),
        page=record.page,
        lines=lines_of(record.line, record.text),
    )


def failure_view(record: AssetRecord) -> FailureView:
    """Why a file is not searchable."""
    return FailureView(
        asset_id=str(record.id),
        path=record.path,
        status=record.status,
        reason=record.error or "no reason was written down",
        attempts=record.attempts,
    )


def note_view(record: AssetRecord) -> NoteView:
    """What was left out of a searchable file."""
    return NoteView(
        asset_id=str(record.id),
        path=record.path,
        about=(record.note_kinds or NoteKind.OTHER).split(","),
        left_out=record.note or "",
    )


def left_out(skipped: Mapping[str, int]) -> list[str]:
    """What scans left out, in words, the most frequent first: `12 XLSX files`, `1 @eaDir folder`."""
    ordered = sorted(skipped.items(), key=lambda entry: (-entry[1], entry[0]))
    return [f"{count:,} {_reason(reason, count)}" for reason, count in ordered]


def _reason(reason: str, count: int) -> str:
    """Reasons are plural, and name kinds of files by their suffix: `xlsx files`, `links out of the source`."""
    reason = _SUFFIX.sub(lambda suffix: suffix[0].upper(), reason)
    return _PLURAL.sub(r"\1", reason, count=1) if count == 1 else reason


def source_view(record: SourceRecord) -> SourceView:
    """One source."""
    return SourceView(
        id=str(record.id),
        root=record.root,
        recursive=record.recursive,
        watched=record.watched,
        state=record.state,
        reason=record.reason,
        created_at=iso(record.created_at),
        scanned_at=maybe_iso(record.scanned_at),
        excludes=record.excludes.splitlines(),
        skipped=msgspec.json.decode(record.skipped, type=dict[str, int]),
        profile=record.profile or None,
    )


def job_view(record: JobRecord, now: float) -> JobView:
    """A job with its rate and the time left, as far as the counts tell."""
    elapsed = (now if record.state == JobState.RUNNING else record.updated_at) - record.created_at
    finished = record.done + record.failed
    rate = finished / elapsed if elapsed > 0 and finished else None
    left = (record.total - finished) / rate if rate and record.state == JobState.RUNNING else None
    return JobView(
        id=str(record.id),
        kind=record.kind,
        state=record.state,
        stage=record.stage,
        total=record.total,
        done=record.done,
        failed=record.failed,
        rate_per_second=None if rate is None else round(rate, 2),
        seconds_left=None if left is None else max(0.0, round(left, 1)),
        source_id=None if record.source_id is None else str(record.source_id),
        space_id=None if record.space_id is None else str(record.space_id),
        error=record.error,
        created_at=iso(record.created_at),
        updated_at=iso(record.updated_at),
    )


def saved_search_view(
    record: SavedSearchRecord, events: int, secret: str | None = None, reach: Reach | None = None
) -> SavedSearchView:
    """A saved search; its webhook's secret, and how far its best file reaches, only where they are new."""
    query = decode(record.query)
    return SavedSearchView(
        id=str(record.id),
        name=record.name,
        text=query.text,
        filters=query.filters,
        relevance=record.least,
        notify=record.notify,
        webhook_url=record.webhook_url,
        events=events,
        created_at=iso(record.created_at),
        webhook_secret=secret,
        reach=reach,
    )


def delivery_view(record: DeliveryRecord) -> DeliveryView:
    """What became of an event on its way."""
    waits = record.state == DeliveryState.PENDING and record.attempts > 0
    return DeliveryView(
        event_id=str(record.event_id),
        state=record.state,
        attempts=record.attempts,
        status=record.status,
        error=record.error,
        next_attempt_at=iso(record.not_before) if waits else None,
        updated_at=iso(record.updated_at),
    )


def key_view(record: KeyRecord) -> KeyView:
    """A key without its hash."""
    return KeyView(
        id=str(record.id),
        name=record.name,
        scopes=record.scopes.split(),
        created_at=iso(record.created_at),
        used_at=maybe_iso(record.used_at),
        revoked_at=maybe_iso(record.revoked_at),
    )


def space_view(record: SpaceRecord, coverage: Iterable[Struct]) -> SpaceView:
    """A space with what it holds."""
    return SpaceView(
        name=record.name,
        state=record.state,
        fingerprint=record.fingerprint,
        coverage=[msgspec.convert(part, CoverageView, from_attributes=True) for part in coverage],
        notes=list(advice(record.specification)),
        created_at=iso(record.created_at),
    )


def asset_counts(counts: Counts) -> AssetCounts:
    """The account of every file."""
    return AssetCounts(
        total=counts.known,
        pending=counts.pending,
        working=counts.working,
        indexed=counts.indexed,
        quarantined=counts.quarantined,
        missing=counts.missing,
    )


def _json(encoded: bytes | None) -> Any:
    return None if encoded is None else msgspec.json.decode(encoded)
