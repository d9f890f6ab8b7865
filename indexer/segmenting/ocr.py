"""Text seen in pictures and frames: lines with their boxes, confidence and times.

Reading is RapidOCR's; here lines are followed from frame to frame, so that a title that stays for a
minute is one segment and not sixty. Knows RapidOCR; knows nothing of files.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any, Protocol

import numpy as np

from indexer.decoding.items import PictureItem, SegmentDraft
from indexer.segmenting.document_text import page_passages
from search.errors import SpaceError
from search.runtime.lazy import Lazy
from search.settings import Settings
from search.signals import Signal
from search.spaces.inputs import Picture

_MIN_CONFIDENCE = 0.6  # below, PP-OCR reads leaves and bricks
_MIN_CHARACTERS = 2  # letters and digits of a line
_SAME_LINE = 0.8  # similarity above which two readings of a line are one line
_MAX_LINES = 200  # of one picture
_DETECTION_SIDE = 960  # pixels on the longer side in which lines are looked for
# Largest step between frames over which a line may be missed (blinked, covered) and still be the same.
_BRIDGE_SECONDS = 2.0


@dataclass(frozen=True)
class SeenLine:
    """A line of text in a picture; the box is left, top, right, bottom, as fractions of the picture."""

    text: str
    box: tuple[float, float, float, float]
    confidence: float


class TextReader(Protocol):
    """Reads the text in pictures. Thread-safe."""

    def read(self, picture: Picture) -> list[SeenLine]:
        """The lines in an `(h, w, 3) uint8` picture, in reading order."""

    def release(self) -> None:
        """Release the model; it loads again when needed."""


class RapidReader:
    """RapidOCR (PP-OCRv6) as a TextReader; its models ship inside the package."""

    def __init__(self, settings: Settings) -> None:
        threads = settings.threads or os.cpu_count() or 1
        self._model = Lazy(lambda: _load(threads), settings.idle_release_seconds)
        self._lock = threading.Lock()  # RapidOCR keeps state between its stages

    def read(self, picture: Picture) -> list[SeenLine]:
        """See `TextReader.read`."""
        height, width = picture.shape[:2]
        with self._model.use() as model, self._lock:
            output = model(np.ascontiguousarray(picture[:, :, ::-1]), use_cls=False)  # it expects BGR
        if output.boxes is None or not output.txts:
            return []
        lines = [
            SeenLine(text.strip(), _box(points, width, height), float(score))
            for points, text, score in zip(output.boxes, output.txts, output.scores, strict=True)
        ]
        return [line for line in lines[:_MAX_LINES] if _is_legible(line)]

    def release(self) -> None:
        """See `TextReader.release`."""
        self._model.release()


def _load(threads: int) -> Any:
    from rapidocr import RapidOCR

    parameters = {
        "Global.log_level": "critical",
        "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        # With the arena on, onnxruntime keeps a memory plan for every size of picture, and never drops one.
        "EngineConfig.onnxruntime.enable_cpu_mem_arena": False,
        # Its default enlarges every picture to 736 pixels on the shorter side: three times the work, and
        # worse readings of photographs. Lines are still read from the picture as it is.
        "Det.limit_type": "max",
        "Det.limit_side_len": _DETECTION_SIDE,
    }
    try:
        return RapidOCR(params=parameters)
    except (RuntimeError, OSError, ValueError) as error:
        raise SpaceError(f"the text reader (rapidocr) can't be loaded: {error}") from None


def _box(points: np.ndarray, width: int, height: int) -> tuple[float, float, float, float]:
    corners = np.asarray(points, np.float64) / (width, height)
    (left, top), (right, bottom) = corners.min(axis=0).clip(0, 1), corners.max(axis=0).clip(0, 1)
    return round(float(left), 4), round(float(top), 4), round(float(right), 4), round(float(bottom), 4)


def _is_legible(line: SeenLine) -> bool:
    return line.confidence >= _MIN_CONFIDENCE and sum(c.isalnum() for c in line.text) >= _MIN_CHARACTERS


@dataclass(frozen=True)
class _Tracked:
    """A line that is in view, since when and until when."""

    line: SeenLine
    start_seconds: float | None
    end_seconds: float | None


class TextSegmenter:
    """Turns the pictures of one asset into drafts of text seen. Not thread-safe; one per asset."""

    def __init__(self, reader: TextReader) -> None:
        self._reader = reader
        self._open: list[_Tracked] = []

    def feed(self, item: object) -> Iterator[SegmentDraft]:
        """Take the next picture; drafts come out when their lines have left the view."""
        if not isinstance(item, PictureItem):
            return
        lines = [] if item.readable is None else self._reader.read(item.readable)
        if item.page is not None:  # the same words on two pages are two lines, not one that stays in view
            yield from _page_drafts(lines, item.page)
            return
        still, new = self._follow(lines, item)
        gone = [t for t in self._open if t not in still and not _may_come_back(t, item)]
        waiting = [t for t in self._open if t not in still and t not in gone]
        yield from _drafts(gone)
        self._open = [*still.values(), *waiting, *new]

    def finish(self) -> Iterator[SegmentDraft]:
        """Drafts of the lines that were in view at the end."""
        yield from _drafts(self._open)
        self._open = []

    def _follow(self, lines: Sequence[SeenLine], item: PictureItem) -> tuple[dict[_Tracked, _Tracked], list[_Tracked]]:
        """Open lines that are seen again, with their new state; and lines that are new."""
        still: dict[_Tracked, _Tracked] = {}
        new: list[_Tracked] = []
        for line in lines:
            known = next((t for t in self._open if t not in still and _same(t.line, line)), None)
            if known is None:
                new.append(_Tracked(line, item.start_seconds, item.end_seconds))
            else:
                best = max(known.line, line, key=lambda candidate: candidate.confidence)
                still[known] = replace(known, line=best, end_seconds=item.end_seconds)
        return still, new


def _same(a: SeenLine, b: SeenLine) -> bool:
    left, right = _plain(a.text), _plain(b.text)
    return left == right or SequenceMatcher(None, left, right, autojunk=False).ratio() >= _SAME_LINE


def _plain(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())


def _may_come_back(tracked: _Tracked, item: PictureItem) -> bool:
    if tracked.end_seconds is None or item.end_seconds is None:
        return False
    return item.end_seconds - tracked.end_seconds < _BRIDGE_SECONDS


def _page_drafts(lines: Sequence[SeenLine], page: int) -> Iterator[SegmentDraft]:
    seen = {(line.text, line.box): line for line in lines}
    for passage in page_passages([(line.text, line.box) for line in lines]):
        yield _draft([seen[key] for key in passage], page=page)


def _drafts(tracked: Iterable[_Tracked]) -> Iterator[SegmentDraft]:
    """Lines that were in view for the same time are one segment."""
    together: dict[tuple[float | None, float | None], list[SeenLine]] = {}
    for entry in tracked:
        together.setdefault((entry.start_seconds, entry.end_seconds), []).append(entry.line)
    for (start, end), lines in together.items():
        yield _draft(lines, start, end)


def _draft(
    lines: Sequence[SeenLine], start: float | None = None, end: float | None = None, page: int | None = None
) -> SegmentDraft:
    return SegmentDraft(
        Signal.TEXT,
        start,
        end,
        "\n".join(line.text for line in lines),
        details={
            "confidence": round(float(np.mean([line.confidence for line in lines])), 3),
            "lines": [{"text": x.text, "box": x.box, "confidence": round(x.confidence, 3)} for x in lines],
        },
        page=page,
    )
