"""Embeds the segments of many assets in every space, in batches of one signal.

Knows spaces only by their protocol. Batches, because an encoder takes hardly longer for thirty
pictures than for three; by signal, because each signal has an encoder of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from indexer.decoding.items import SegmentDraft
from search.errors import SpaceError
from search.signals import Input, Signal
from search.spaces.inputs import ImageInput
from search.spaces.space import SegmentSpace

Spaces = Mapping[int, SegmentSpace]  # by space id
# Vectors of one segment by space id: `(d,) float32`, unit length.
SegmentVectors = dict[int, np.ndarray]
TicketT = TypeVar("TicketT")


def embed(spaces: Spaces, signal: Signal, drafts: Sequence[SegmentDraft]) -> list[SegmentVectors]:
    """Vectors by space id for each draft of one signal, in order. Raises SpaceError and what an encoder raises."""
    vectors: list[SegmentVectors] = [{} for _ in drafts]
    for space_id, space in spaces.items():
        if signal.encoder not in space.dimensions:
            continue
        rows = [row for row, draft in enumerate(drafts) if _input(draft, space_id) is not None]
        if not rows:
            continue
        embedded = space.embed(signal.encoder, [_input(drafts[row], space_id) for row in rows])
        wanted = (len(rows), space.dimensions[signal.encoder])
        if embedded.shape != wanted or embedded.dtype != np.float32:
            raise SpaceError(
                f"a space gave {embedded.dtype} vectors of shape {embedded.shape} for {signal}, not {wanted}"
            )
        for row, vector in zip(rows, embedded, strict=True):
            if np.isfinite(vector).all():  # a vector with NaN would poison every search of its partition
                vectors[row][space_id] = vector
    return vectors


def _input(draft: SegmentDraft, space_id: int) -> object | None:
    if draft.sound is not None:
        return draft.sound
    return draft.inputs.get(space_id, draft.text or None)


def image_inputs(spaces: Spaces) -> dict[int, ImageInput]:
    """The pictures that decoders have to prepare, by space id."""
    pictured = {signal for signal in Signal if signal.input is Input.PICTURE}
    return {space_id: space.image_input for space_id, space in spaces.items() if pictured & set(space.dimensions)}


@dataclass(frozen=True)
class Batch(Generic[TicketT]):
    """Drafts of one signal that are encoded together; a ticket says where each belongs."""

    signal: Signal
    tickets: Sequence[TicketT]
    drafts: Sequence[SegmentDraft]


class Batcher(Generic[TicketT]):
    """Collects drafts of many assets until a signal's batch is full, or has waited long enough.

    Not thread-safe. The clock is passed in, so that tests need not wait.
    """

    def __init__(self, clock: Callable[[], float], patience_seconds: float = 1.0) -> None:
        self._clock = clock
        self._patience = patience_seconds
        self._waiting: dict[Signal, list[tuple[TicketT, SegmentDraft]]] = {}
        self._since: dict[Signal, float] = {}

    def add(self, ticket: TicketT, draft: SegmentDraft) -> list[Batch[TicketT]]:
        """Add a draft; returns the batches that are due now."""
        waiting = self._waiting.setdefault(draft.signal, [])
        if not waiting:
            self._since[draft.signal] = self._clock()
        waiting.append((ticket, draft))
        due = [signal for signal in self._waiting if self._is_due(signal)]
        return [self._take(signal) for signal in due]

    def flush(self) -> list[Batch[TicketT]]:
        """Return all waiting drafts as batches, because no more are coming for now."""
        return [self._take(signal) for signal in list(self._waiting)]

    def _is_due(self, signal: Signal) -> bool:
        full = len(self._waiting[signal]) >= signal.batch_size
        return full or self._clock() - self._since[signal] > self._patience

    def _take(self, signal: Signal) -> Batch[TicketT]:
        waiting = self._waiting.pop(signal)
        return Batch(signal, [ticket for ticket, _ in waiting], [draft for _, draft in waiting])
