"""The number in the folder of uploads: a process whose folder does not hold the catalogue's has another folder.

Whatever its path is called: every container may have a `/data` of its own.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path

MARK = ".medley-uploads"
_LONGEST_MARK = 20


def read_mark(folder: Path) -> int:
    """The number in a folder; 0 where there is none."""
    try:
        with (folder / MARK).open("rb") as file:
            return int(file.read(_LONGEST_MARK))
    except (OSError, ValueError):
        return 0


def put_mark(folder: Path) -> int:
    """Put a number into a folder, unless another process was faster; the number that is there."""
    with suppress(FileExistsError), (folder / MARK).open("x") as file:
        file.write(str(secrets.randbits(62)))
    return read_mark(folder)
