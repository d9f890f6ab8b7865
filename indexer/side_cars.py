"""Which file of words lies beside a recording or video, and what tells that it has changed.

Knows names and the file system's listings; opens nothing. Names are bytes, as in walk.py.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from indexer.failures import shown
from indexer.probe import IMAGE_SUFFIXES, RAW_SUFFIXES, SIDE_CAR_SUFFIXES

_PICTURES = tuple(os.fsencode(suffix) for suffix in IMAGE_SUFFIXES | RAW_SUFFIXES)
_SUFFIXES = tuple(os.fsencode(suffix) for suffix in SIDE_CAR_SUFFIXES)  # the first one found wins
# What may stand between the name and the suffix: a language and a remark (`talk.pt-BR.forced.srt`), and nothing
# that would take the words of `talk.2.mp4` for those of `talk.mp4`.
_TAGS = re.compile(rb"(\.[A-Za-z]{2,12}([-_][A-Za-z0-9]{2,8})*){0,3}")
_LANGUAGE = re.compile(r"\.([A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})?)(?=\.)")


@dataclass(frozen=True)
class SideCar:
    """A file of words beside a media file."""

    path: bytes
    ending: str  # of its name, behind the media file's: ".en.srt"
    size_bytes: int
    modified_ns: int

    @property
    def state(self) -> str:
        """Another text whenever other words may be in it; the same when both files are renamed together."""
        return f"{self.ending} {self.size_bytes} {self.modified_ns}"

    @property
    def language(self) -> str | None:
        """As the name tells."""
        found = _LANGUAGE.match(self.ending)
        return found[1] if found else None


class SideCars:
    """The side-cars of one folder."""

    def __init__(self, entries: Iterable[os.DirEntry[bytes]]) -> None:
        self._entries = {entry.name: entry for entry in entries if is_side_car(entry.name)}
        self._names = sorted(self._entries)

    def of(self, name: bytes) -> SideCar | None:
        """The side-car of the media file of this name in this folder."""
        if not self._names or name.lower().endswith(_PICTURES):
            return None
        stem = _stem(name)
        choices: list[tuple[int, bool, bool, bytes]] = []
        for other in self._names[bisect_left(self._names, stem + b".") :]:
            if not other.startswith(stem + b"."):
                break
            if is_side_car_of(other, name):
                between, suffix = os.path.splitext(other)  # noqa: PTH122 - names are bytes
                choices.append((_SUFFIXES.index(suffix.lower()), between != stem, between != name, other))
        for *_, chosen in sorted(choices):
            with suppress(OSError):
                if self._entries[chosen].is_file():
                    status = self._entries[chosen].stat()
                    ending = shown(chosen.removeprefix(stem))
                    return SideCar(self._entries[chosen].path, ending, status.st_size, status.st_mtime_ns)
        return None

    def state(self, name: bytes) -> str:
        """`SideCar.state` of the media file's, or nothing."""
        found = self.of(name)
        return found.state if found else ""


def is_side_car(name: bytes) -> bool:
    """By its name alone."""
    return name.lower().endswith(_SUFFIXES)


def is_side_car_of(name: bytes, media: bytes) -> bool:
    """Could a file of this name hold the words of that one? The file need not be there."""
    if not is_side_car(name):
        return False
    between = os.path.splitext(name)[0]  # noqa: PTH122
    return between == media or (
        between.startswith(_stem(media)) and _TAGS.fullmatch(between.removeprefix(_stem(media))) is not None
    )


def side_car_of(path: Path) -> SideCar | None:
    """The side-car of one file; none where its folder can't be listed."""
    name = os.fsencode(path.name)
    if name.lower().endswith(_PICTURES):
        return None
    with suppress(OSError), os.scandir(os.fsencode(path.parent)) as listing:
        return SideCars(listing).of(name)
    return None


def _stem(name: bytes) -> bytes:
    return os.path.splitext(name)[0]  # noqa: PTH122
