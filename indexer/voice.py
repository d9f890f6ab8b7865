"""Where in a recording somebody speaks.

Whisper invents words where nobody speaks, so it hears only what this finds. Knows the voice detector
inside faster-whisper; knows nothing of words.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform

Span = tuple[int, int]  # first sample and the one behind the last

_THRESHOLD = 0.5
_MIN_SPEECH_MS = 250  # shorter is a click or a cough
_MIN_SILENCE_MS = 160  # as faster-whisper's batched pipeline has it
_PAD_MS = 400
_QUIET = 1e-4  # peak amplitude (-80 dB) below which there is nothing to hear
_JOIN_SAMPLES = 2 * SAMPLE_RATE_HZ  # pauses up to here stay inside a stretch, so that sentences stay whole


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


def join(spans: list[Span], longest: int) -> list[Span]:
    """Spans joined over short pauses to stretches of at most `longest` samples."""
    stretches: list[Span] = []
    for start, end in spans:
        if stretches and start - stretches[-1][1] <= _JOIN_SAMPLES and end - stretches[-1][0] <= longest:
            stretches[-1] = (stretches[-1][0], end)
        else:
            stretches.append((start, end))
    return stretches
