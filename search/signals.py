"""The one table of signals: the sense of each, what its encoder takes, how many are encoded at once.

A new kind of evidence is a member and a line of `TABLE` here, a maker in `indexer/segmenting/` that yields its
segments, and that maker's place in `indexer/segmenting/makers.py`. Spaces, partitions, full text, ranking and answers
read the table. It lies at the ground: it imports nothing of Medley.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Sense(StrEnum):
    """How content is perceived. Vectors of one sense are close together in a space and compared as one."""

    SEEN = "seen"
    SAID = "said"
    HEARD = "heard"

    @property
    def signals(self) -> frozenset[Signal]:
        """All of this sense."""
        return frozenset(signal for signal in Signal if signal.sense is self)


class Input(StrEnum):
    """What an encoder takes."""

    PICTURE = "picture"  # (h, w, 3) uint8
    WAVEFORM = "waveform"  # (n,) float32 at 16 kHz mono
    WORDS = "words"  # str


class Signal(StrEnum):
    """The kind of evidence that a segment carries."""

    IMAGE = "image"  # a whole picture
    FRAME = "frame"  # of a video, with the stretch of time it stands for
    SOUND = "sound"  # a window of sound
    SPEECH = "speech"  # a passage of what was said
    TEXT = "text"  # text seen in an image or frame, or written in a document
    PAGE = "page"  # the picture of a page of a document

    @property
    def sense(self) -> Sense:
        """What it tells of."""
        return TABLE[self].sense

    @property
    def input(self) -> Input:
        """What its encoder takes."""
        return TABLE[self].input

    @property
    def encoder(self) -> Signal:
        """The signal whose encoder and calibration serve this one: mostly itself. Spaces know only such signals."""
        return TABLE[self].encoded_as or self

    @property
    def batch_size(self) -> int:
        """Segments in one call of its encoder."""
        return TABLE[self].batch_size

    @property
    def holds_words(self) -> bool:
        """Whether its segments carry words, which full text finds and answers quote."""
        return self.input is Input.WORDS


@dataclass(frozen=True)
class SignalTraits:
    """One line of the table."""

    sense: Sense
    input: Input
    batch_size: int
    encoded_as: Signal | None = None  # what looks the same to an encoder is no news to a space, nor to its fingerprint


TABLE = {
    Signal.IMAGE: SignalTraits(Sense.SEEN, Input.PICTURE, batch_size=32),
    Signal.FRAME: SignalTraits(Sense.SEEN, Input.PICTURE, batch_size=32),
    # Windows hold 5 s to 10 s each, so fewer of them fill an encoder.
    Signal.SOUND: SignalTraits(Sense.HEARD, Input.WAVEFORM, batch_size=16),
    Signal.SPEECH: SignalTraits(Sense.SAID, Input.WORDS, batch_size=32),
    Signal.TEXT: SignalTraits(Sense.SAID, Input.WORDS, batch_size=32),
    Signal.PAGE: SignalTraits(Sense.SEEN, Input.PICTURE, batch_size=32, encoded_as=Signal.IMAGE),
}
if missing := set(Signal) - TABLE.keys():
    raise TypeError(f"search.signals.TABLE has no line for {', '.join(sorted(missing))}")
# The signals that have encoders of their own.
ENCODED = tuple(signal for signal in Signal if signal.encoder is signal)
