"""How long a recording promises to be, by its own header.

Where a header tells more than a file holds, ffmpeg gives the length of what is there, and where it tells nothing, a
guess by the bit rate: neither is a promise. Reads a few bytes of the file itself; decodes nothing.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from av.container import InputContainer

from indexer.decoding.container import MICROSECONDS, start_seconds

# Formats whose length, as ffmpeg tells it, is the one that their header or index promises.
_DECLARED = frozenset(
    {
        "aiff",
        "ape",
        "au",
        "dsf",
        "flac",
        "matroska,webm",
        "mov,mp4,m4a,3gp,3g2,mj2",
        "mpc",
        "mpc8",
        "mxf",
        "tak",
        "tta",
        "wv",
    }
)
_MOST_CHUNKS = 100
_UNKNOWN_BYTES = 0x7FFF_0000  # from here on a size is what programs write that can't know it: 2 GiB, or 4
_ID3_BYTES = 10
_MP3_HEAD_BYTES = 4096  # of the first frame, in which its encoder may say how many follow
_AVI_HEAD_BYTES = 64 * 1024  # in which all streams are described
_FLASH_HEAD_BYTES = 64 * 1024  # of the first tag, which describes the file
_FLASH_DURATION = b"\0\x08duration\0"  # a name by its length, and a double
_OGG_PAGE_BYTES = 27 + 255 + 255 * 255  # the largest
_LAST_PAGE = 0x04
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_W64_FORMAT = bytes.fromhex("666d7420f3acd3118cd100c04f8edb8a")
_W64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")


def promised_seconds(path: Path, container: InputContainer) -> float | None:
    """Of the whole file; None where its header does not say."""
    name = container.format.name
    if reader := _READERS.get(name):
        with suppress(OSError, struct.error, ValueError, ZeroDivisionError), path.open("rb") as file:
            seconds = reader(file)
            if name == "mp3":
                return None if seconds is None else _told(container)
            return seconds
        return None
    return _told(container) if name in _DECLARED else None


def promised_end(container: InputContainer, stream: Any) -> float | None:
    """The second at which a track promises to end, from the start of the file; None where nothing says so."""
    if container.format.name not in _DECLARED:
        return None
    if stream.duration is None or stream.time_base is None:
        return _tagged(stream)
    begin = float((stream.start_time or 0) * stream.time_base) - start_seconds(container)
    return max(0.0, begin) + float(stream.duration * stream.time_base)


def is_cut(path: Path, container: InputContainer) -> bool:
    """Does a file whose header tells no length end in the middle? Ogg marks its last page."""
    if container.format.name != "ogg":
        return False
    with suppress(OSError), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 2 * _OGG_PAGE_BYTES))
        tail = file.read()
        at = tail.rfind(b"OggS")
        while at >= 0 and len(tail) - at < 27:  # not even its header is there
            at = tail.rfind(b"OggS", 0, at)
        if at >= 0:
            segments = tail[at + 26]
            length = 27 + segments + sum(tail[at + 27 : at + 27 + segments])
            return not tail[at + 5] & _LAST_PAGE or at + length > len(tail)
    return False


def _told(container: InputContainer) -> float | None:
    return None if container.duration is None else container.duration / MICROSECONDS


def _tagged(stream: Any) -> float | None:
    """As Matroska's writers tag each track: 00:00:40.064000000."""
    with suppress(ValueError, KeyError):
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return None


def _chunks(file: BinaryIO, header: str, align: int, *, whole: bool = False) -> Iterator[tuple[bytes, int]]:
    """Name and size of each chunk; the file stands at its contents. `whole`: the size counts the chunk's header."""
    length = struct.calcsize(header)
    for _ in range(_MOST_CHUNKS):
        begin = file.tell()
        head = file.read(length)
        if len(head) < length:
            return
        name, size = struct.unpack(header, head)
        size -= length if whole else 0
        yield name, size
        if size < 0:
            return
        file.seek(begin + length + size + -size % align)


def _wave(file: BinaryIO) -> float | None:
    """RIFF, and RF64 for what is larger than 4 GiB."""
    is_long = file.read(12)[:4] == b"RF64"
    rate, long_size = 0, None
    for name, size in _chunks(file, "<4sI", 2):
        if name == b"ds64" and is_long:
            long_size = struct.unpack("<Q", file.read(16)[8:])[0]
        elif name == b"fmt ":
            rate = struct.unpack("<I", file.read(16)[8:12])[0]
        elif name == b"data":
            length = long_size if is_long and size == 0xFFFF_FFFF else size
            return length / rate if length and (is_long or length < _UNKNOWN_BYTES) else None
    return None


def _wave64(file: BinaryIO) -> float | None:
    file.seek(40)
    rate = 0
    for name, size in _chunks(file, "<16sQ", 8, whole=True):
        if name == _W64_FORMAT:
            rate = struct.unpack("<I", file.read(16)[8:12])[0]
        elif name == _W64_DATA:
            return size / rate if 0 < size < 1 << 60 else None
    return None


def _core_audio(file: BinaryIO) -> float | None:
    file.seek(8)
    rate, packet_bytes, packet_frames = 0.0, 0, 0
    for name, size in _chunks(file, ">4sq", 1):
        if name == b"desc":
            rate, packet_bytes, packet_frames = struct.unpack(">d8xII", file.read(24))
        elif name == b"pakt":
            return float(struct.unpack(">q", file.read(16)[8:])[0] / rate)
        elif name == b"data" and packet_bytes:
            return None if size < 0 else float((size - 4) / packet_bytes * packet_frames / rate)
    return None


def _asf(file: BinaryIO) -> float | None:
    file.seek(30)
    for name, _ in _chunks(file, "<16sQ", 1, whole=True):
        if name == _ASF_FILE_PROPERTIES:
            duration, _, preroll = struct.unpack("<QQQ", file.read(64)[40:64])
            return duration / 10_000_000 - preroll / 1000 if duration else None
    return None


def _avi(file: BinaryIO) -> float | None:
    """The longest of its streams, each in units of its own."""
    head = file.read(_AVI_HEAD_BYTES)
    longest, at = 0.0, head.find(b"strh")
    while 0 <= at < len(head) - 44:
        scale, rate, _, length = struct.unpack("<4I", head[at + 28 : at + 44])
        longest = max(longest, length * scale / rate if rate else 0.0)
        at = head.find(b"strh", at + 4)
    return longest or None


def _mp3(file: BinaryIO) -> float | None:
    """Something, where the first frame says how many follow; ffmpeg reads how many."""
    head = file.read(_ID3_BYTES)
    if head[:3] == b"ID3":
        size = 0
        for byte in head[6:10]:
            size = size << 7 | byte & 0x7F
        file.seek(_ID3_BYTES + size)
    else:
        file.seek(0)
    head = file.read(_MP3_HEAD_BYTES)
    return 0.0 if any(mark in head for mark in (b"Xing", b"Info", b"VBRI")) else None


def _flash(file: BinaryIO) -> float | None:
    """As its first tag says; ffmpeg may tell the time of the last tag instead."""
    head = file.read(_FLASH_HEAD_BYTES)
    at = head.find(_FLASH_DURATION)
    if at < 0:
        return None
    (seconds,) = struct.unpack_from(">d", head, at + len(_FLASH_DURATION))
    return seconds if 0.0 < seconds < math.inf else None


_READERS: dict[str, Callable[[BinaryIO], float | None]] = {
    "wav": _wave,
    "w64": _wave64,
    "caf": _core_audio,
    "asf": _asf,
    "avi": _avi,
    "mp3": _mp3,
    "flv": _flash,
}
