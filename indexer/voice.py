"""Where in a recording somebody speaks.

Whisper invents words where nobody speaks, so it hears only what this finds. Knows the voice detector
inside faster-whisper; knows nothing of words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform

Span = tuple[int, int]  # first sample and the one behind the last

_THRESHOLD = 0.5
_MIN_SPEECH_MS = 250  # shorter is a click or a cough
_MIN_SILENCE_MS = 160  # as faster-whisper's batched pipeline has it
_PAD_MS = 400
_QUIET = 1e-4  # peak amplitude (-80 dB) below which there is nothing to hear
_HEARD_SAMPLES = 2 * SAMPLE_RATE_HZ  # pauses up to here are heard, too: where they are cut out, words are lost
# Longer ones are cut out, because a window costs the same whatever is in it. What is further apart is heard by itself,
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
        """Where in the recording it was that something was heard between these seconds of the stretch."""
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


class VoiceDetector(Protocol):
    """Finds speech."""

    def __call__(self, waveform: Waveform) -> list[Span]:
        """Spans of speech in time order; they do not overlap."""


def find_speech(waveform: Waveform) -> list[Span]:
    """Spans of speech found by Silero's detector, with a margin around each."""
    if not len(waveform) or float(np.abs(waveform).max()) < _QUIET:
        return []
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(
        threshold=_THRESHOLD,
        min_speech_duration_ms=_MIN_SPEECH_MS,
        max_speech_duration_s=28.0,
        min_silence_duration_ms=_MIN_SILENCE_MS,
        speech_pad_ms=_PAD_MS,
    )
    return [(int(span["start"]), int(span["end"])) for span in get_speech_timestamps(waveform, options)]


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
