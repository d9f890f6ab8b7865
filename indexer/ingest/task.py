"""One asset in the pipeline: what is known of it so far, and how the work on it ended.

Values and small pure functions; no thread, no queue.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from indexer.decoding.completeness import Account
from indexer.decoding.items import DecodedItem, PictureItem, SegmentDraft, SoundItem
from indexer.failures import shown
from indexer.ingest.embedder import SegmentVectors, Spaces
from indexer.ingest.intake import Later, NotHere, Settled, Unchanged
from indexer.segmenting.segmenter import SpokenLanguages
from search.catalog.records import AssetRecord, IndexedAsset, NewSegment, ReadAsset
from search.errors import MediaError
from search.spaces.space import SegmentSpace


@dataclass(frozen=True)
class Outcome:
    """How the work on one asset ended."""

    asset: AssetRecord
    result: IndexedAsset | ReadAsset | Unchanged | Settled | Later | NotHere | MediaError


@dataclass
class Task:
    """One asset in the pipeline. Changed by its decoding thread and the encoder, under the pipeline's lock."""

    asset: AssetRecord
    content_hash: str
    spaces: Spaces
    account: Account | None = None  # what it is and what is to be said of it, once it has been decoded
    unread: bool = False  # there may be text in it, left for a second visit
    languages: SpokenLanguages = field(default_factory=SpokenLanguages)
    segments: list[NewSegment | None] = field(default_factory=list)
    waiting: int = 0  # drafts sent to the encoder that have no vectors yet
    decoded: bool = False
    over: bool = False  # an outcome was sent


@dataclass(frozen=True)
class Ticket:
    """Where the vector of an item in a batch belongs."""

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
    """The spaces of a whole batch; they may have changed between two of its assets."""
    spaces: dict[int, SegmentSpace] = {}
    for ticket, _ in pairs:
        spaces |= ticket.task.spaces
    return spaces


def segment_of(draft: SegmentDraft, vectors: SegmentVectors) -> NewSegment:
    """A draft and its vectors, as a segment to write."""
    return NewSegment(
        signal=draft.signal,
        start_seconds=draft.start_seconds,
        end_seconds=draft.end_seconds,
        text=draft.text,
        details=msgspec.json.encode(draft.details) if draft.details else None,
        page=draft.page,
        line=draft.line,
        vectors=vectors,
    )


def result_of(task: Task) -> IndexedAsset | ReadAsset:
    """Everything that was made of a decoded and encoded asset."""
    segments = [segment for segment in task.segments if segment is not None]
    if task.asset.only_reading:
        return ReadAsset(asset_id=task.asset.id, segments=segments)
    assert task.account is not None  # what has not been compared with what it promises is not indexed
    facts, notes = task.account.facts.facts, task.account.notes
    spoken = task.languages.most_spoken()
    return IndexedAsset(
        asset_id=task.asset.id,
        kind=task.account.facts.kind,
        content_hash=task.content_hash,
        facts=msgspec.structs.replace(facts, language=spoken) if spoken else facts,
        segments=segments,
        note="; ".join(note.text for note in notes) or None,
        note_kinds=tuple(dict.fromkeys(note.kind for note in notes)),
        unread=task.unread,
    )


def named(error: MediaError, asset: AssetRecord, path: Path | None = None) -> MediaError:
    """The same error with the file's name in front, instead of the name of a local copy."""
    message = str(error)
    if path is not None:
        message = message.replace(shown(path), asset.path)
    if message.startswith(asset.path):
        return type(error)(message)
    return type(error)(f"{asset.path}: {message}")
