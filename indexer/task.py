"""One asset on its way through the pipeline: what is known of it so far, and how its work ended.

Values and small pure functions; no thread, no queue.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from indexer.embedder import SegmentVectors, Spaces
from indexer.intake import Later, Settled, Unchanged
from indexer.items import DecodedItem, Facts, PictureItem, SegmentDraft, SoundItem
from indexer.segmenter import SpokenLanguages
from search.catalog.records import AssetRecord, IndexedAsset, NewSegment, ReadAsset
from search.errors import MediaError
from search.spaces.space import Space


@dataclass(frozen=True)
class Outcome:
    """How the work on one asset ended."""

    asset: AssetRecord
    result: IndexedAsset | ReadAsset | Unchanged | Settled | Later | MediaError


@dataclass
class Task:
    """One asset on its way. Touched by its decoding thread and by the encoder, guarded by the pipeline's lock."""

    asset: AssetRecord
    content_hash: str
    spaces: Spaces
    facts: Facts | None = None
    notes: list[str] = field(default_factory=list)
    unread: bool = False  # there may be text in it, left for a second visit
    languages: SpokenLanguages = field(default_factory=SpokenLanguages)
    segments: list[NewSegment | None] = field(default_factory=list)
    waiting: int = 0  # drafts sent to the encoder that have no vectors yet
    decoded: bool = False
    over: bool = False  # an outcome was sent


@dataclass(frozen=True)
class Ticket:
    task: Task
    row: int


@dataclass(frozen=True)
class StageSeconds:
    """How long each stage has been busy (decoding: of all its threads together)."""

    decode: float = 0.0
    encode: float = 0.0
    write: float = 0.0


class MediaCounter:
    """Passes items on, counts those that are media, and notices text that is left for later."""

    def __init__(self, items: Iterator[DecodedItem]) -> None:
        self._items = items
        self.media = 0
        self.unread = False

    def __iter__(self) -> Iterator[DecodedItem]:
        for item in self._items:
            self.media += isinstance(item, PictureItem | SoundItem)
            self.unread |= isinstance(item, PictureItem) and item.unread
            yield item


def spaces_of(pairs: Sequence[tuple[Ticket, SegmentDraft]]) -> Spaces:
    """Spaces of the whole batch: the set may have changed between two of its assets."""
    spaces: dict[int, Space] = {}
    for ticket, _ in pairs:
        spaces |= ticket.task.spaces
    return spaces


def segment_of(draft: SegmentDraft, vectors: SegmentVectors) -> NewSegment:
    """A draft with its vectors, as the catalogue takes it."""
    return NewSegment(
        signal=draft.signal,
        start_seconds=draft.start_seconds,
        end_seconds=draft.end_seconds,
        text=draft.text,
        details=msgspec.json.encode(draft.details) if draft.details else None,
        vectors=vectors,
    )


def result_of(task: Task) -> IndexedAsset | ReadAsset:
    """Everything that was made of an asset that is decoded and encoded."""
    segments = [segment for segment in task.segments if segment is not None]
    if task.asset.only_reading:
        return ReadAsset(asset_id=task.asset.id, segments=segments)
    assert task.facts is not None
    facts = task.facts.facts
    spoken = task.languages.most_spoken()
    return IndexedAsset(
        asset_id=task.asset.id,
        kind=task.facts.kind,
        content_hash=task.content_hash,
        facts=msgspec.structs.replace(facts, language=spoken) if spoken else facts,
        segments=segments,
        note="; ".join(dict.fromkeys(task.notes)) or None,
        unread=task.unread,
    )


def named(error: MediaError, asset: AssetRecord) -> MediaError:
    """The same error with the file's name before it."""
    message = str(error)
    return error if message.startswith(asset.path) else type(error)(f"{asset.path}: {message}")
