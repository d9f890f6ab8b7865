"""The states that the catalogue's rows are in. Text in both databases; these are its only spellings."""

from __future__ import annotations

from enum import StrEnum


class AssetStatus(StrEnum):
    """The one state that a known file is in."""

    PENDING = "pending"
    WORKING = "working"
    INDEXED = "indexed"
    QUARANTINED = "quarantined"
    MISSING = "missing"


class SourceState(StrEnum):
    """Whether a source can be scanned: a paused one has an absent or empty root."""

    ACTIVE = "active"
    PAUSED = "paused"


class SpaceState(StrEnum):
    """A space is being filled, can be switched to, or is the one that searches use."""

    FILLING = "filling"
    READY = "ready"
    ACTIVE = "active"


class JobState(StrEnum):
    """What a job is doing, or how it ended."""

    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class DeliveryState(StrEnum):
    """Whether an event has reached its webhook, may yet, or is given up."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


class NoteKind(StrEnum):
    """What a note of an asset is about: what its file promised and does not hold, or what of it is not searched."""

    LENGTH = "length"  # it is shorter or longer than it says, or ends early
    TRACKS = "tracks"  # of sound, pictures or subtitles
    SOUND = "sound"  # damaged or silent
    PICTURE = "picture"  # a part of it is missing, or only a smaller one inside can be seen
    PAGES = "pages"  # or frames of an animation, or pictures of a series
    WORDS = "words"  # subtitles, speech, text
    BESIDE = "beside"  # files beside it or inside it
    OTHER = "other"  # written before kinds were told apart
