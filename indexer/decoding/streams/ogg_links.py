"""Chained Ogg: recordings that follow each other in one file, as internet radio and joined voice notes have them.

Each may have a rate, a layout and a codec of its own, over which ffmpeg stops. Finds where they begin; decodes nothing.
"""

from __future__ import annotations

import io
import os
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

_MARK = b"OggS"
_HEADER_BYTES = 27  # before the table of segments
_FIRST_PAGE = 0x02  # of a stream
_MOST_LINKS = 1000
_SEARCHED_BYTES = 1024**2  # at a time, for the next page behind damage

Range = tuple[int, int]  # first byte and the one behind the last


def links(path: Path) -> list[Range]:
    """Where the recordings of a chained Ogg file stand; one range for every other file."""
    with suppress(OSError), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        starts: list[int] = []
        was_first = False
        at = 0
        while at < size and len(starts) < _MOST_LINKS:
            file.seek(at)
            header = file.read(_HEADER_BYTES)
            if not header.startswith(_MARK) or len(header) < _HEADER_BYTES:
                if not starts or (at := _next_page(file, at + 1)) < 0:
                    break
                continue
            is_first = bool(header[5] & _FIRST_PAGE)
            if is_first and not was_first:
                starts.append(at)
            was_first = is_first
            at += _HEADER_BYTES + header[26] + sum(file.read(header[26]))
        return list(pairwise([*starts, size])) if starts else [(0, size)]
    return [(0, 0)]


def _next_page(file: io.BufferedReader, at: int) -> int:
    file.seek(at)
    while block := file.read(_SEARCHED_BYTES):
        if (offset := block.find(_MARK)) >= 0:
            return at + offset
        if len(block) < _SEARCHED_BYTES:
            break
        at += len(block) - len(_MARK)
        file.seek(at)
    return -1


class PartOfFile:
    """A range of a file as a file of its own, as PyAV reads it."""

    def __init__(self, path: Path, part: Range) -> None:
        self._file = path.open("rb")
        self._start, self._end = part
        self._file.seek(self._start)

    def read(self, count: int = -1) -> bytes:
        """Up to `count` bytes."""
        left = self._end - self._file.tell()
        return self._file.read(max(0, left if count < 0 else min(count, left)))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As a file does."""
        base = {os.SEEK_SET: self._start, os.SEEK_CUR: self._file.tell(), os.SEEK_END: self._end}[whence]
        return self._file.seek(max(self._start, base + offset)) - self._start

    def tell(self) -> int:
        """As a file does."""
        return self._file.tell() - self._start

    def close(self) -> None:
        """As a file does."""
        self._file.close()
