"""Times as they leave Medley in JSON: ISO 8601, whole seconds, UTC but for what a camera's clock showed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone


def iso(epoch_seconds: float) -> str:
    """UTC epoch seconds -> `2026-11-22T02:15:44Z`; what no calendar holds becomes the epoch."""
    return maybe_iso(epoch_seconds) or "1970-01-01T00:00:00Z"


def maybe_iso(epoch_seconds: float | None, offset_seconds: int | None = None) -> str | None:
    """As `iso`, or by a clock that is ahead of UTC; None for None, and for what no calendar holds."""
    if epoch_seconds is None:
        return None
    try:
        zone = timezone(timedelta(seconds=offset_seconds)) if offset_seconds else UTC
        moment = datetime.fromtimestamp(epoch_seconds, zone)
    except (OverflowError, ValueError, OSError):
        return None
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
