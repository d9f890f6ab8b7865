"""The interface of speech models: stretches of speech in, words with times out.

Knows the values and which backend the settings ask for; the backends know their libraries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from search.spaces.inputs import Waveform

MAX_STRETCH_SECONDS = 30.0  # the window that whisper was trained on


@dataclass(frozen=True)
class Word:
    """A spoken word; times in seconds from the start of the recording."""

    start_seconds: float
    end_seconds: float
    text: str
    probability: float


@dataclass(frozen=True)
class Utterance:
    """What was heard in one stretch, and how sure the model is."""

    words: tuple[Word, ...]
    language: str
    mean_log_probability: float  # of the tokens; -1 and less is guessing
    no_speech_probability: float

    @property
    def text(self) -> str:
        """All words, as written."""
        return "".join(word.text for word in self.words).strip()


class Transcriber(Protocol):
    """A loaded or loadable speech model. Thread-safe."""

    def transcribe(self, stretches: Sequence[Waveform], language: str) -> list[Utterance]:
        """One utterance for each stretch of at most 30 s, with times from the stretch's start.

        An empty `language` is detected for each stretch by itself.
        """

    def release(self) -> None:
        """Release the model; it loads again when needed."""
