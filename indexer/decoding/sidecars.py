"""Which files lie beside a media file and belong to it: words, and what is told of it; and when they have changed.

Knows names, the file system's listings and what may be read: no link leads out of the folder. Interprets nothing.
Names are bytes, as in walk.py.
"""

from __future__ import annotations

import os
import re
import stat
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from unicodedata import normalize

from indexer.decoding.probe import (
    AUDIO_SUFFIXES,
    DOCUMENT_SUFFIXES,
    IMAGE_SUFFIXES,
    RAW_SUFFIXES,
    SIDE_CAR_SUFFIXES,
    VIDEO_SUFFIXES,
)
from indexer.failures import shown

# What nobody speaks in: pictures, documents, and the words themselves.
_SILENT = tuple(map(os.fsencode, IMAGE_SUFFIXES | RAW_SUFFIXES | DOCUMENT_SUFFIXES | frozenset(SIDE_CAR_SUFFIXES)))
_SPOKEN = tuple(map(os.fsencode, AUDIO_SUFFIXES | VIDEO_SUFFIXES))
_SUFFIXES = tuple(os.fsencode(suffix) for suffix in SIDE_CAR_SUFFIXES)  # the first one found wins
_TOLD_SUFFIXES = (b".xmp", b".json")  # what is told of a file: by photo programs, by Google Takeout
# What may stand between the name and the suffix: a language and a remark (`talk.pt-BR.forced.srt`), and nothing
# that would take the words of `talk.2.mp4` for those of `talk.mp4`.
_TAGS = re.compile(rb"(\.[A-Za-z]{2,12}([-_][A-Za-z0-9]{2,8})*){0,3}")
_LANGUAGE = re.compile(r"\.([A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})?)(?=\.)")
_PARTIAL = re.compile(r"\.(forced|signs|foreign)(?=\.)", re.IGNORECASE)
# Takeout cuts names of its own at 46 characters, and writes the number of a copy behind them.
_TAKEOUT_CHARACTERS = 46
_TAKEOUT_ENDING = b".supplemental-metadata"
_COPY = re.compile(rb"(.*)(\(\d+\))(\.[^.]*)")
_MOST_ENDINGS = 5  # a suffix, a language and two remarks, and the media file's own
# What Google Photos calls an edited copy, in the language of its owner. Names come in either form of Unicode.
_EDITED_WORDS = (
    *("edited", "effects", "collage", "bearbeitet", "bewerkt", "modifié", "modificato", "editado", "editada", "editat"),
    *(
        "edytowane",
        "redigerad",
        "redigeret",
        "redigert",
        "muokattu",
        "düzenlendi",
        "upraveno",
        "編集済み",
        "已修改",
        "수정됨",
    ),
    *("змінено", "отредактировано", "изменено"),
)
_EDITED = re.compile(
    b"(.*)-(?:%s)(\\.[^.]*)"
    % b"|".join(normalize(form, word).encode() for word in _EDITED_WORDS for form in ("NFC", "NFD")),
    re.IGNORECASE,
)
# A phone's photo that moves is exported as a photo and a video; what is told of both stands with the photo.
_MOVING, _MOVED = (b".mp4", b".mov", b".mp"), (b".heic", b".jpg", b".jpeg")


class Entry(Protocol):
    """An entry of a folder's listing, as `os.scandir` gives it; a store's listing holds ones like it."""

    @property
    def name(self) -> bytes:
        """In its folder."""

    @property
    def path(self) -> bytes:
        """Whole."""

    def is_file(self) -> bool:
        """Is it a file, or a link to one?"""

    def stat(self) -> Facts:
        """Its size and time. Raises OSError."""


class Facts(Protocol):
    """What of a file's status matters here."""

    @property
    def st_size(self) -> int:
        """Bytes."""

    @property
    def st_mtime_ns(self) -> int:
        """Last change of its contents, in nanoseconds."""


class Unsafe(Exception):
    """A file beside another that is not read; the message says which and why."""


@dataclass(frozen=True)
class Sidecar:
    """A file that lies beside a media file."""

    path: bytes
    ending: str  # of its name, behind the media file's: ".en.srt"
    size_bytes: int
    modified_ns: int

    @property
    def name(self) -> str:
        """For people."""
        return shown(os.path.basename(self.path))

    @property
    def state(self) -> str:
        """Another text whenever other words may be in it; the same when both files are renamed together."""
        return f"{self.ending} {self.size_bytes} {self.modified_ns}"

    @property
    def language(self) -> str | None:
        """As the name tells."""
        match = _LANGUAGE.match(self.ending)
        return match[1] if match else None

    @property
    def is_partial(self) -> bool:
        """Does the name say that it holds only what is not spoken in the film's language, such as signs?"""
        return _PARTIAL.search(self.ending) is not None

    def read(self, count: int) -> bytes:
        """Up to `count` bytes. Raises Unsafe: a link may lead anywhere, and what it names is not part of the source."""
        target = self._target()
        try:
            handle = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(handle, "rb") as file:
                facts = os.fstat(handle)
                if not stat.S_ISREG(facts.st_mode):
                    raise Unsafe(f"{self.name} was left out: it is not a file")
                # Looked at again, so that a link that was put in its place, or in a folder's, leads nowhere new.
                if not os.path.samestat(os.stat(self._target()), facts):
                    raise Unsafe(f"{self.name} was left out: it changed while it was opened")
                return file.read(count)
        except OSError as error:
            raise Unsafe(f"{self.name} was left out: {error.strerror}") from None

    def _target(self) -> bytes:
        """Where it really lies. Raises Unsafe where that is not below its folder."""
        folder = os.path.realpath(os.path.dirname(self.path))
        target = os.path.realpath(self.path)
        if not target.startswith(folder.rstrip(b"/") + b"/"):
            raise Unsafe(f"{self.name} was left out: it is a link out of its folder")
        return target


class Sidecars:
    """What lies beside the media files of one folder."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        entries = list(entries)
        self._entries = {entry.name: entry for entry in entries if is_words(entry.name)}
        self._names = sorted(self._entries)
        # Only where there are words, what may be theirs.
        self._media = sorted(entry.name for entry in entries if self._names and entry.name.lower().endswith(_SPOKEN))
        self._owned: set[bytes] = set()  # words whose recording was met
        # By lower case: `IMG_1.JPG.xmp` and `IMG_1.XMP` are both in use.
        self._told = {entry.name.lower(): entry for entry in entries if entry.name.lower().endswith(_TOLD_SUFFIXES)}

    def of(self, name: bytes) -> Sidecar | None:
        """The words of the media file of this name in this folder."""
        return next(iter(self.words_of(name)), None)

    def words_of(self, name: bytes) -> list[Sidecar]:
        """All words that may be those of the media file of this name, the ones that are read first."""
        if not self._names:
            return []
        stem = _stem(name)
        choices: list[tuple[bool, int, bool, bool, bytes]] = []
        for other in self._names[bisect_left(self._names, stem + b".") :]:
            if not other.startswith(stem + b"."):
                break
            if _are_words_of(other, name):
                between, suffix = os.path.splitext(other)
                is_partial = _PARTIAL.search(shown(other.removeprefix(stem))) is not None
                preference = _SUFFIXES.index(suffix.lower())
                choices.append((is_partial, preference, between != stem, between != name, other))
        candidates = (_sidecar(self._entries[name], shown(name.removeprefix(stem))) for *_, name in sorted(choices))
        return [sidecar for sidecar in candidates if sidecar]

    def meet(self, media: bytes) -> None:
        """Notice a recording or video of the folder that is not among the entries."""
        if not media.lower().endswith(_SPOKEN):
            return
        stem = _stem(media)
        for other in self._names[bisect_left(self._names, stem + b".") :]:
            if not other.startswith(stem + b"."):
                break
            if _are_words_of(other, media):
                self._owned.add(other)

    def belong_to_media(self, name: bytes) -> bool:
        """Are the words in this file those of a recording or video in its folder, rather than a file of their own?"""
        if name in self._owned:
            return True
        first = name.partition(b".")[0]
        for media in self._media[bisect_left(self._media, first) :]:
            if not media.startswith(first):
                break
            if _are_words_of(name, media):
                return True
        return False

    def told_of(self, name: bytes) -> list[Sidecar]:
        """Where something is told of the media file of this name: XMP first."""
        if not self._told:
            return []
        names = (told for told in _told_names(name.lower()) if told in self._told)
        candidates = (_sidecar(self._told[told], os.path.splitext(shown(told))[1]) for told in names)
        return [sidecar for sidecar in candidates if sidecar]

    def all_of(self, name: bytes) -> list[Sidecar]:
        """Everything that belongs to the media file of this name."""
        words = self.of(name)
        return [*([words] if words else []), *self.told_of(name)]

    def state(self, name: bytes) -> str:
        """`Sidecar.state` of everything that belongs to the media file, or nothing."""
        return " | ".join(sidecar.state for sidecar in self.all_of(name))


def is_sidecar(name: bytes) -> bool:
    """By its name alone: could it belong to a media file?"""
    return name.lower().endswith((*_SUFFIXES, *_TOLD_SUFFIXES))


def is_words(name: bytes) -> bool:
    """By its name alone: are there words with times in it?"""
    return name.lower().endswith(_SUFFIXES)


def belong_to_media(path: Path) -> bool:
    """`Sidecars.belong_to_media` of one file."""
    return is_words(os.fsencode(path.name)) and _beside(path).belong_to_media(os.fsencode(path.name))


def words_beside(path: bytes) -> list[bytes]:
    """The files of words that are those of a recording or video as long as it is there. It need not be."""
    folder, media = os.path.split(path)
    if not media.lower().endswith(_SPOKEN):
        return []
    with suppress(OSError):
        return [os.path.join(folder, name) for name in os.listdir(folder) if _are_words_of(name, media)]
    return []


def are_words_of(name: bytes, media: bytes) -> bool:
    """By their names alone: are the words in this file those of that recording or video?"""
    return media.lower().endswith(_SPOKEN) and _are_words_of(name, media)


def language_in_name(path: Path) -> str | None:
    """The language that a file of words names before its suffix: `talk.en.srt`."""
    match = _LANGUAGE.search(shown(path.name))
    return match[1] if match and path.name[match.end() :].count(".") == 1 else None


def is_sidecar_of(name: bytes, media: bytes) -> bool:
    """Could a file of this name belong to that one? The file need not be there."""
    return _are_words_of(name, media) or name.lower() in _told_names(media.lower())


def beginnings(media: bytes) -> list[bytes]:
    """What the names of all files begin with that may belong to this one, or to which it does."""
    if is_sidecar(media):  # whose names are longer than those that they tell of
        stems = [_stem(media)]
        while len(stems) < _MOST_ENDINGS and _stem(stems[-1]) != stems[-1]:
            stems.append(_stem(stems[-1]))
        return [_beginning(stem) for stem in stems]
    names = [media]
    if edited := _EDITED.fullmatch(media):
        names.append(edited[1] + edited[2])
    if copy := _COPY.fullmatch(media):
        names.append(copy[1] + copy[3])
    return list(dict.fromkeys(_beginning(_stem(name)) for name in names))


def _beginning(stem: bytes) -> bytes:
    return _cut(stem) if len(shown(stem)) >= _TAKEOUT_CHARACTERS else stem + b"."


def words_of(path: Path) -> list[Sidecar]:
    """`Sidecars.words_of` of one file; none where its folder can't be listed."""
    return _beside(path).words_of(os.fsencode(path.name))


def companions_of(path: Path) -> list[Sidecar]:
    """Where something is told of one file."""
    return _beside(path).told_of(os.fsencode(path.name))


def state_of(path: Path) -> tuple[str, int]:
    """`Sidecars.state` of one file, and when the last of what it speaks of changed (0: nothing is there)."""
    beside, name = _beside(path), os.fsencode(path.name)
    newest = max((sidecar.modified_ns for sidecar in beside.all_of(name)), default=0)
    return beside.state(name), newest


def contents_beside(path: Path) -> list[tuple[str, bytes]] | None:
    """The ending and the contents of each file beside this one; None where one of them can't be read."""
    with suppress(Unsafe, MemoryError):
        beside = _beside(path).all_of(os.fsencode(path.name))
        return [(sidecar.ending, sidecar.read(sidecar.size_bytes)) for sidecar in beside]
    return None


def _beside(path: Path) -> Sidecars:
    with suppress(OSError), os.scandir(os.fsencode(path.parent)) as listing:
        return Sidecars(listing)
    return Sidecars(())


def _sidecar(entry: Entry, ending: str) -> Sidecar | None:
    with suppress(OSError):
        if entry.is_file():
            status = entry.stat()
            return Sidecar(entry.path, ending, status.st_size, status.st_mtime_ns)
    return None


def _are_words_of(name: bytes, media: bytes) -> bool:
    if not is_words(name) or media.lower().endswith(_SILENT):
        return False
    between = os.path.splitext(name)[0]
    return between == media or (
        between.startswith(_stem(media)) and _TAGS.fullmatch(between.removeprefix(_stem(media))) is not None
    )


def _told_names(name: bytes) -> list[bytes]:
    """The names, in lower case, under which something may be told of a media file."""
    return list(dict.fromkeys((name + b".xmp", _stem(name) + b".xmp", *_takeout_names(name))))


def _takeout_names(name: bytes) -> Iterator[bytes]:
    if edited := _EDITED.fullmatch(name):  # Google's edits share the original's file
        name = edited[1] + edited[2]
    number = b""
    if copy := _COPY.fullmatch(name):  # IMG_1(2).jpg is told of in IMG_1.jpg(2).json
        name, number = copy[1] + copy[3], copy[2]
    yield _cut(name) + number + b".json"
    for length in range(len(_TAKEOUT_ENDING), 1, -1):  # cut anywhere, when the name is long
        yield _cut(name + _TAKEOUT_ENDING[:length]) + number + b".json"
    yield _stem(name) + number + b".json"  # of the oldest exports
    if name.endswith(_MOVING):
        for suffix in _MOVED:
            yield from _takeout_names(_stem(name) + number + suffix)


def _cut(name: bytes) -> bytes:
    return shown(name)[:_TAKEOUT_CHARACTERS].encode() if len(name) > _TAKEOUT_CHARACTERS else name


def _stem(name: bytes) -> bytes:
    return os.path.splitext(name)[0]
