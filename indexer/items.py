"""The values that travel through ingestion: what a decoder yields, and what becomes a segment.

A decoder (in a killable child process) yields `Facts` first and then any number of other items, in
time order, never more than a bounded piece of the file at once. Everything here pickles cheaply.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.catalog.records import AssetFacts
from search.results import Kind, Signal
from search.spaces.inputs import ImageInput, Picture, Waveform


@dataclass(frozen=True)
class Limits:
    """What one file may cost; taken from the settings, named as they are there."""

    decode_timeout_seconds: float
    decode_memory_bytes: int
    max_file_bytes: int
    max_image_pixels: int
    max_duration_seconds: float
    max_streams: int
    max_subtitle_bytes: int
    max_frames_per_asset: int
    hardware_decoding: str = "auto"


@dataclass(frozen=True)
class DecodeRequest:
    """What to decode and for whom: `image_inputs` holds one entry per space that wants pictures."""

    path: Path
    limits: Limits
    image_inputs: Mapping[int, ImageInput]  # by space id
    want_sound_track: bool = True
    want_text: bool = True  # also send frames, and say of images, that look like text
    text_now: bool = False  # send the images, too: whole, large enough to be read
    whole_side: int = 0  # for queries: send an image as `readable` whatever is in it, no side longer than this


@dataclass(frozen=True)
class Facts:
    """First item of every decoding: what the file is."""

    kind: Kind
    facts: AssetFacts
    note: str | None = None  # what is left out, for people


@dataclass(frozen=True)
class PictureItem:
    """A whole image, or a video frame with the stretch of time that it stands for."""

    signal: Signal  # IMAGE or FRAME
    pictures: Mapping[int, Picture]  # by space id, fitted to that space's input
    start_seconds: float | None = None
    end_seconds: float | None = None
    readable: Picture | None = None  # larger, for text recognition; only when it looks like text
    unread: bool = False  # it looks like text, but was not sent to be read


@dataclass(frozen=True)
class SoundItem:
    """The next piece of the sound track; pieces follow each other without gap or overlap."""

    waveform: Waveform  # float32 16 kHz mono, at most 30 s
    start_seconds: float


@dataclass(frozen=True)
class SubtitleItem:
    """Words with times that came with the file; they take the place of a transcription."""

    lines: Sequence[tuple[float, float, str]]
    language: str | None = None


@dataclass(frozen=True)
class Note:
    """Something that was left out, found while decoding."""

    text: str


@dataclass(frozen=True)
class StillWorking:
    """Nothing yet. Sent now and then, so that a slow file isn't taken for a dead decoder; nobody stores it."""


DecodedItem = Facts | PictureItem | SoundItem | SubtitleItem | Note | StillWorking


@dataclass(frozen=True)
class SegmentDraft:
    """A segment before it has its vectors. `inputs` maps a space id to the picture which that space embeds.

    For speech and text the same words serve every space: `inputs` is empty and `text` is embedded.
    """

    signal: Signal
    start_seconds: float | None
    end_seconds: float | None
    text: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)  # JSON: words, boxes, confidence, language
    inputs: Mapping[int, Picture] = field(default_factory=dict)
    sound: Waveform | None = None  # of a window of sound; the same samples serve every space
