"""The values that travel through ingestion: what a decoder yields, and what becomes a segment.

A decoder (in a killable child process) yields `Facts` first and then any number of other items, in
time order, never more than a bounded piece of the file at once. Everything here pickles cheaply.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from search.catalog.records import AssetFacts
from search.catalog.states import NoteKind
from search.results import Box, Kind
from search.signals import Signal
from search.spaces.inputs import ImageInput, Picture, Waveform

Line = tuple[float, float, str]  # of subtitles: start and end in seconds, words


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
    max_pages: int
    max_text_bytes: int
    hardware_decoding: str = "auto"


@dataclass(frozen=True)
class DecodeRequest:
    """What to decode and for whom: `image_inputs` holds one entry per space that wants pictures."""

    path: Path
    limits: Limits
    image_inputs: Mapping[int, ImageInput]  # by space id
    want_sound_track: bool = True
    want_text: bool = True  # also send frames that look like text, and mark such images
    text_now: bool = False  # send the images, too: whole, large enough to be read
    whole_side: int = 0  # for queries: send an image as `readable` whatever is in it, no side longer than this
    page: int = 1  # with `whole_side`: of a document this page alone


class Part(StrEnum):
    """The parts that a file can promise; notes use these words."""

    PICTURE_TRACK = "picture track"
    SOUND_TRACK = "sound track"
    SUBTITLE_TRACK = "subtitle track"
    PAGE = "page"
    PICTURE = "picture"  # of an image: frames of an animation, pictures of a series
    TEXT = "text"  # of a text file, all of it


@dataclass(frozen=True)
class Promised:
    """What a file claims to hold, by its header, index or table of contents, before any of it is decoded."""

    parts: Mapping[Part, int]
    seconds: float | None = None  # None: it does not say


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What became of a promised part, or of `count` of them. `completeness.py` compares it with what was promised."""

    part: Part
    count: int = 1
    name: str = ""  # which one, where there are several: "3", "number 2 (deu)"
    share: float = 1.0  # the share that was decoded; 0: it was left out altogether
    why: str = ""  # the reason why it was left out or decoded in part
    seconds: float | None = None  # where it ended; of sound tracks, this is counted
    promised_seconds: float | None = None  # where it should have ended
    tolerance_seconds: float = 0.0  # how far the two may differ because of how it was decoded


@dataclass(frozen=True)
class Facts:
    """First item of every decoding: what the file is, and what it promises."""

    kind: Kind
    facts: AssetFacts
    promised: Promised


@dataclass(frozen=True)
class PictureItem:
    """A whole image, a page, or a video frame with the stretch of time that it stands for."""

    signal: Signal  # IMAGE, PAGE or FRAME
    pictures: Mapping[int, Picture]  # by space id, fitted to that space's input
    start_seconds: float | None = None
    end_seconds: float | None = None
    readable: Picture | None = None  # larger, for text recognition; only when it looks like text
    unread: bool = False  # it looks like text, but was not sent to be read
    page: int | None = None  # from 1


@dataclass(frozen=True)
class TextItem:
    """The text of a document, in reading order: of one page, a box a line; or all of a text file, without boxes."""

    lines: Sequence[tuple[str, Box | None]]
    page: int | None = None  # from 1


@dataclass(frozen=True)
class SoundItem:
    """The next piece of the sound track; pieces follow each other without gap or overlap."""

    waveform: Waveform  # float32 16 kHz mono, at most 30 s
    start_seconds: float


@dataclass(frozen=True)
class SubtitleItem:
    """Words with times that came with the file; where they cover the recording, they replace a transcription."""

    lines: Sequence[tuple[float, float, str]]
    language: str | None = None
    is_partial: bool = False  # the file says that they are not all that is spoken: signs, another language


@dataclass(frozen=True)
class WrittenItem:
    """Words that people attached to the file, such as a caption with keywords or chapter titles. Nobody speaks them."""

    lines: Sequence[tuple[float | None, float | None, str]]  # start and end in seconds, or None: of all of it
    what: str  # caption, chapter


@dataclass(frozen=True)
class Note:
    """Something else that was left out, found while decoding."""

    kind: NoteKind
    text: str


@dataclass(frozen=True)
class StillWorking:
    """Nothing yet. Sent now and then, so that a slow file isn't taken for a dead decoder; nobody stores it."""


DecodedItem = Facts | Decoded | PictureItem | SoundItem | SubtitleItem | WrittenItem | TextItem | Note | StillWorking


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
    page: int | None = None  # of a document, from 1
    line: int | None = None  # of a text file: the first one of the text, from 1
