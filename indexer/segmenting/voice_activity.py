"""What is heard of a recording: the spans in which somebody speaks, joined over short pauses.

Whisper invents words where nobody speaks, so it hears only these. Knows nothing of words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexer.decoding.streams.voice_detector import Span
from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform

_HEARD_SAMPLES = 2 * SAMPLE_RATE_HZ  # pauses up to here are heard, too: where they are cut out, words are lost
# Longer ones are cut out, because a window costs the same, full or not. What is further apart is heard by itself,
# so that noise taken for a voice is not believed for the sake of a clear sentence beside it.
_JOIN_SAMPLES = 5 * SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Stretch:
    """Spans of speech that are heard together, without the long pauses between them."""

    spans: tuple[Span, ...]

    @property
    def start(self) -> int:
        """First sample."""
        return self.spans[0][0]

    @property
    def seconds(self) -> float:
        """Of speech."""
        return sum(end - start for start, end in self.spans) / SAMPLE_RATE_HZ

    def of(self, waveform: Waveform) -> Waveform:
        """The speech in it."""
        return np.concatenate([waveform[start:end] for start, end in self.spans])

    def place(self, start_seconds: float, end_seconds: float) -> tuple[float, float]:
        """The time span of the recording that corresponds to these seconds of the stretch."""
        heard = 0.0  # seconds of the stretch before the span
        first = last = 0.0
        for start, end in self.spans:
            first, last = start / SAMPLE_RATE_HZ, end / SAMPLE_RATE_HZ
            if (start_seconds + end_seconds) / 2 < heard + last - first:
                break
            heard += last - first
        else:
            heard -= last - first
        shift = first - heard
        return min(max(start_seconds + shift, first), last), max(min(end_seconds + shift, last), first)


def join(spans: list[Span], longest: int) -> list[Stretch]:
    """Spans joined over pauses to stretches of at most `longest` samples."""
    stretches: list[list[Span]] = []
    room = 0  # samples
    for start, end in spans:
        pause = start - stretches[-1][-1][1] if stretches else 0
        heard = end - start + (pause if pause <= _HEARD_SAMPLES else 0)
        if not stretches or pause > _JOIN_SAMPLES or heard > room:
            stretches.append([(start, end)])
            room = longest - (end - start)
            continue
        if pause <= _HEARD_SAMPLES:
            stretches[-1][-1] = (stretches[-1][-1][0], end)
        else:
            stretches[-1].append((start, end))
        room -= heard
    return [Stretch(tuple(joined)) for joined in stretches]
