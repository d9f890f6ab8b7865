"""Segments of many assets -> their vectors in every space, in batches of one signal.

Knows spaces only by their protocol. Batches, because an encoder takes hardly longer for thirty
pictures than for three; by signal, because each signal has an encoder of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from indexer.items import SegmentDraft
from search.errors import SpaceError
from search.results import Signal
from search.spaces.inputs import ImageInput
from search.spaces.space import Space

Spaces = Mapping[int, Space]  # by space id
# Vectors of one segment by space id: `(d,) float32`, unit length.
SegmentVectors = dict[int, np.ndarray]
TicketT = TypeVar("TicketT")

# Items per call of an encoder. Sound windows hold 5 s to 10 s each, so fewer of them fill it.
BATCH_ITEMS: Mapping[Signal, int] = {
    Signal.IMAGE: 32,
    Signal.FRAME: 32,
    Signal.SOUND: 16,
    Signal.SPEECH: 32,
    Signal.TEXT: 32,
}


def embed(spaces: Spaces, signal: Signal, drafts: Sequence[SegmentDraft]) -> list[SegmentVectors]:
    """The vectors of drafts of one signal, in their order. Raises SpaceError, and whatever an encoder raises."""
    vectors: list[SegmentVectors] = [{} for _ in drafts]
    for space_id, space in spaces.items():
        if signal not in space.dimensions:
            continue
        rows = [row for row, draft in enumerate(drafts) if _input(draft, space_id) is not None]
        if not rows:
            continue
        found = space.embed(signal, [_input(drafts[row], space_id) for row in rows])
        wanted = (len(rows), space.dimensions[signal])
        if found.shape != wanted or found.dtype != np.float32:
            raise SpaceError(f"a space gave {found.dtype} vectors of shape {found.shape} for {signal}, not {wanted}")
        for row, vector in zip(rows, found, strict=True):
            if np.isfinite(vector).all():  # a vector with NaN would poison every search of its partition
                vectors[row][space_id] = vector
    return vectors


def _input(draft: SegmentDraft, space_id: int) -> object | None:
    if draft.sound is not None:
        return draft.sound
    return draft.inputs.get(space_id, draft.text or None)


def image_inputs(spaces: Spaces) -> dict[int, ImageInput]:
    """What decoders have to prepare, by space id."""
    pictured = {Signal.IMAGE, Signal.FRAME}
    return {space_id: space.image_input for space_id, space in spaces.items() if pictured & set(space.dimensions)}


@dataclass(frozen=True)
class Batch(Generic[TicketT]):
    """Drafts of one signal that go to the encoders together; a ticket says where each came from."""

    signal: Signal
    tickets: Sequence[TicketT]
    drafts: Sequence[SegmentDraft]


class Batcher(Generic[TicketT]):
    """Collects drafts of many assets until a signal has a batch full, or has waited long enough.

    Not thread-safe. The clock is passed in, so that waiting can be tested without any.
    """

    def __init__(self, clock: Callable[[], float], patience_seconds: float = 1.0) -> None:
        self._clock = clock
        self._patience = patience_seconds
        self._waiting: dict[Signal, list[tuple[TicketT, SegmentDraft]]] = {}
        self._since: dict[Signal, float] = {}

    def add(self, ticket: TicketT, draft: SegmentDraft) -> list[Batch[TicketT]]:
        """Take one draft; gives the batches that are due now."""
        waiting = self._waiting.setdefault(draft.signal, [])
        if not waiting:
            self._since[draft.signal] = self._clock()
        waiting.append((ticket, draft))
        due = [signal for signal in self._waiting if self._is_due(signal)]
        return [self._take(signal) for signal in due]

    def flush(self) -> list[Batch[TicketT]]:
        """Everything that waits: nothing more is coming for now."""
        return [self._take(signal) for signal in list(self._waiting)]

    def _is_due(self, signal: Signal) -> bool:
        full = len(self._waiting[signal]) >= BATCH_ITEMS[signal]
        return full or self._clock() - self._since[signal] > self._patience

    def _take(self, signal: Signal) -> Batch[TicketT]:
        waiting = self._waiting.pop(signal)
        return Batch(signal, [ticket for ticket, _ in waiting], [draft for _, draft in waiting])
