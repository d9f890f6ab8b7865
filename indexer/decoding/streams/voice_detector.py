"""Finds where somebody speaks.

Knows the voice detector inside faster-whisper (Silero's, 5 ms for each second of sound); knows nothing of words.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from search.spaces.inputs import Waveform

Span = tuple[int, int]  # first sample and the one behind the last

_THRESHOLD = 0.5
_MIN_SPEECH_MS = 250  # shorter is a click or a cough
_MIN_SILENCE_MS = 160  # as faster-whisper's batched pipeline has it
_PAD_MS = 400
_QUIET = 1e-4  # peak amplitude (-80 dB) below which there is nothing to hear


class VoiceDetector(Protocol):
    """Finds speech."""

    def __call__(self, waveform: Waveform) -> list[Span]:
        """Spans of speech in time order; they do not overlap."""


def find_speech(waveform: Waveform) -> list[Span]:
    """Spans of speech in `(n,) float32` at 16 kHz, with a margin around each."""
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
