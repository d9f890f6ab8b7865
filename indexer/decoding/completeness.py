"""What a file promised, compared with what of it was decoded: the one place where the difference becomes notes.

Decoders say what the file promises (`Promised`, with its facts) and what came of each part (`Decoded`); pieces of sound
are counted here. A promised part of which no decoder says what came of it is itself a difference, so none is lost in
silence. Pure: knows items, no format.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from indexer.decoding.items import Decoded, DecodedItem, DecodeRequest, Facts, Note, Part, SoundItem
from indexer.failures import shown
from search.catalog.states import NoteKind
from search.errors import PermanentMediaError
from search.results import Kind
from search.spaces.inputs import SAMPLE_RATE_HZ

# A file of each kind must promise at least one of these; otherwise its decoder forgot to say so.
_LEAST = {
    Kind.IMAGE: (Part.PICTURE,),
    Kind.VIDEO: (Part.PICTURE_TRACK,),
    Kind.AUDIO: (Part.SOUND_TRACK,),
    Kind.DOCUMENT: (Part.PAGE, Part.TEXT),
}
_LEFT_OUT = {
    Part.PICTURE_TRACK: NoteKind.TRACKS,
    Part.SOUND_TRACK: NoteKind.TRACKS,
    Part.SUBTITLE_TRACK: NoteKind.TRACKS,
    Part.PAGE: NoteKind.PAGES,
    Part.PICTURE: NoteKind.PAGES,
    Part.TEXT: NoteKind.WORDS,
}
_INCOMPLETE = _LEFT_OUT | {
    Part.PICTURE_TRACK: NoteKind.PICTURE,
    Part.SOUND_TRACK: NoteKind.SOUND,
    Part.SUBTITLE_TRACK: NoteKind.WORDS,
    Part.PICTURE: NoteKind.PICTURE,
}
# How far lengths may differ with nothing missing: encoders pad, and a last packet may not state its length.
_TOLERANCE_SECONDS, _TOLERANCE_SHARE, _MOST_TOLERANCE_SECONDS = 0.5, 0.005, 5.0
_SILENT = 1e-3  # amplitude
_MOST_NAMES = 6  # in one note


@dataclass(frozen=True)
class Account:
    """A decoded file with its notes. Only `Completeness.finish` makes one."""

    facts: Facts
    notes: tuple[Note, ...]


class Completeness:
    """Follows one decoding. Every item goes through `watch` or `add`; then `finish` reports."""

    def __init__(self, request: DecodeRequest) -> None:
        self._request = request
        self._facts: Facts | None = None
        self._decoded: list[Decoded] = []
        self._notes: list[Note] = []
        self._samples = 0  # of sound
        self._loudest = 0.0

    def watch(self, items: Iterable[DecodedItem]) -> Iterator[DecodedItem]:
        """Pass items on. Raises ValueError, as `add` does, and PermanentMediaError where nothing is worth keeping.

        Pages stand for themselves: where one ends its decoder, those before it stay, and the others are left out.
        """
        try:
            for item in items:
                self.add(item)
                yield item
        except PermanentMediaError as error:
            made = sum(decoded.count for decoded in self._decoded if decoded.part is Part.PAGE)
            if not any(decoded.share for decoded in self._decoded if decoded.part is Part.PAGE):
                raise
            reason = str(error).removeprefix(f"{shown(self._request.path)}: ")
            left = self._promised(Part.PAGE) - made
            self.add(Decoded(part=Part.PAGE, count=left, share=0, why=f"at page {made + 1}: {reason}"))

    def add(self, item: object) -> None:
        """Record an item. Raises ValueError for facts without a promise: a bug in their decoder."""
        match item:
            case Facts(kind, _, promised):
                if not any(promised.parts.get(part) for part in _LEAST[kind]):
                    wanted = " or ".join(f"{part}s" for part in _LEAST[kind])
                    raise ValueError(
                        f"its decoder says that it is of the kind {kind}, but not how many {wanted} it has"
                    )
                self._facts = item
            case Decoded():
                self._decoded.append(item)
            case Note():
                self._notes.append(item)
            case SoundItem(waveform):
                self._samples += len(waveform)
                self._loudest = max(self._loudest, float(np.abs(waveform).max(initial=0.0)))
            case _:
                pass

    def finish(self) -> Account | None:
        """None if there were no facts, since nothing was decoded."""
        if self._facts is None:
            return None
        notes = [*self._length(), *self._parts(), *self._sound(), *self._notes]
        return Account(self._facts, tuple(dict.fromkeys(notes)))

    def _promised(self, part: Part) -> int:
        return 0 if self._facts is None else self._facts.promised.parts.get(part, 0)

    def _wanted(self, part: Part) -> bool:
        if part is Part.SOUND_TRACK:
            return self._request.want_sound_track
        return part is not Part.PICTURE_TRACK or bool(self._request.image_inputs)

    def _parts(self) -> Iterator[Note]:
        """What of each kind of part is missing."""
        assert self._facts is not None
        for part, promised in self._facts.promised.parts.items():
            if not self._wanted(part):
                continue
            told = [decoded for decoded in self._decoded if decoded.part is part]
            lost: dict[str, list[Decoded]] = {}
            for decoded in told:
                if not decoded.share:
                    lost.setdefault(decoded.why, []).append(decoded)
            for why, parts in lost.items():
                count = sum(decoded.count for decoded in parts)
                reason = f" ({why})" if why else ""
                yield Note(_LEFT_OUT[part], f"{_of(count, promised, part)} left out{reason}{_named(parts)}")
            if (untold := promised - sum(decoded.count for decoded in told)) > 0:
                yield Note(_LEFT_OUT[part], f"{_of(untold, promised, part)} not decoded")
            for decoded in told:
                yield from self._incomplete(decoded, several=promised > 1)

    def _incomplete(self, decoded: Decoded, *, several: bool) -> Iterator[Note]:
        """Notes on a part that was decoded incompletely, or not to its end."""
        if not decoded.share:
            return
        what = f"the {decoded.part}" + (f" {decoded.name}" if several and decoded.name else "")
        if decoded.share < 1:
            missing = f"{max(0.01, 1 - decoded.share):.0%} of {what} is missing"
            yield Note(_INCOMPLETE[decoded.part], f"{missing} ({decoded.why})" if decoded.why else missing)
        elif decoded.why:
            yield Note(_INCOMPLETE[decoded.part], decoded.why)
        ended = self._samples / SAMPLE_RATE_HZ if decoded.part is Part.SOUND_TRACK else decoded.seconds
        if ended is not None and decoded.promised_seconds is not None:
            tolerance = max(tolerance_seconds(decoded.promised_seconds), decoded.tolerance_seconds)
            if decoded.promised_seconds - ended > tolerance and not self._is_said(decoded.promised_seconds):
                yield Note(
                    NoteKind.LENGTH, f"{what} ends at second {_seconds(ended)} of {_seconds(decoded.promised_seconds)}"
                )

    def _length(self) -> Iterator[Note]:
        """Notes on the length of the whole file: what its header says against what its packets say."""
        assert self._facts is not None
        promised, actual = self._facts.promised.seconds, self._facts.facts.duration_seconds
        if promised is None or actual is None or abs(promised - actual) <= tolerance_seconds(promised):
            return
        yield Note(
            NoteKind.LENGTH, f"it lasts {_seconds(actual)} seconds, although its header says {_seconds(promised)}"
        )

    def _is_said(self, promised_seconds: float) -> bool:
        """Is the whole file shorter than its header says, so that a note on a track of that length adds nothing?"""
        assert self._facts is not None
        promised = self._facts.promised.seconds
        if promised is None or abs(promised - promised_seconds) > tolerance_seconds(promised):
            return False
        return any(self._length())

    def _sound(self) -> Iterator[Note]:
        if self._samples and self._loudest < _SILENT:
            yield Note(NoteKind.SOUND, "the sound track is silent: nothing can be heard in it")


def tolerance_seconds(promised: float) -> float:
    """How far a length may differ from this one with nothing missing."""
    return min(max(_TOLERANCE_SECONDS, _TOLERANCE_SHARE * promised), _MOST_TOLERANCE_SECONDS)


def _of(count: int, promised: int, part: Part) -> str:
    return f"{count:,} of {promised:,} {part}{'s' if promised > 1 else ''}"


def _named(parts: list[Decoded]) -> str:
    names = [decoded.name for decoded in parts if decoded.name]
    more = len(names) - _MOST_NAMES
    listed = ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
    return f": {listed}" if listed else ""


def _seconds(value: float) -> str:
    """To the second; short ones to a tenth."""
    return f"{value:.0f}" if value >= 60 else f"{value:.1f}".removesuffix(".0")
