"""How many bytes a file says that it has: of RIFF, and of what is made of boxes as MP4 is (HEIF, AVIF, JPEG 2000).

Reads a few bytes; knows no picture and no sound.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_MOST_BOXES = 100
_BOXED = (b"ftyp", b"jP  ", b"mdat", b"moov", b"wide", b"free", b"skip")  # what the first box may be


def top_boxes(file: BinaryIO) -> Iterator[tuple[bytes, int | None]]:
    """Name and end of each box, as the file says; None: it goes on to the end of the file. Raises OSError."""
    at = 0
    for _ in range(_MOST_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8 or (at == 0 and head[4:8] not in _BOXED):
            return
        size, name = struct.unpack(">I4s", head[:8])
        if size == 1 and len(head) == 16:
            size = struct.unpack(">Q", head[8:])[0]
        if size == 0:
            yield name, None
        if size < 8:
            return
        at += size
        yield name, at


def lacks_index(path: Path) -> bool:
    """Of MP4 and its relatives: pictures and sound are there (mdat), but not what says where each begins (moov)."""
    with suppress(OSError), path.open("rb") as file:
        names = {name for name, _ in top_boxes(file)}
        return b"mdat" in names and b"moov" not in names
    return False


def missing_bytes(path: Path) -> str | None:
    """How many bytes of how many are there, for people, where a file is shorter than it says."""
    with suppress(OSError), path.open("rb") as file:
        actual = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(8)
        if head[:4] == b"RIFF" and len(head) == 8:
            promised = 8 + struct.unpack("<I", head[4:])[0]
        else:
            promised = max((end for _, end in top_boxes(file) if end), default=0)
        if actual < promised:
            return f"{actual:,} of {promised:,} bytes are there"
    return None
