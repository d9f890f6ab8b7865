"""How assets and segments of the catalogue look in results."""

from __future__ import annotations

from datetime import UTC, datetime

from search.catalog.records import AssetRecord
from search.results import AssetView, Kind


def asset_view(record: AssetRecord) -> AssetView:
    """What results say about an asset."""
    captured = record.captured_at
    return AssetView(
        id=str(record.id),
        path=record.path,
        kind=Kind(record.kind or Kind.IMAGE),
        width=record.width,
        height=record.height,
        duration_seconds=record.duration_seconds,
        captured_at=None if captured is None else datetime.fromtimestamp(captured, UTC).isoformat(),
        camera=record.camera,
        title=record.title,
        language=record.language,
        latitude=record.latitude,
        longitude=record.longitude,
    )


def thumbnail_of(segment_id: int) -> str:
    """Where the HTTP service serves a segment's picture."""
    return f"/v1/segments/{segment_id}/thumbnail"
