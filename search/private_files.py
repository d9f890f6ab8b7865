"""Folders and files that only their owner may read: a library's words, faces and keys are private."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_OTHERS = 0o007  # a group may have been let in on purpose; everybody never is


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, private where it is new; one that is there is closed to others. Raises OSError."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if not folder.is_dir():
            raise
        close_to_others(folder)


def make_file(path: Path) -> None:
    """Make an empty file, private where it is new; one that is there is closed to others. Raises OSError."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        close_to_others(path)


def close_to_others(path: Path) -> None:
    """Remove others' permissions from a file or folder that we own; leave what belongs to other users alone."""
    with suppress(OSError):
        facts = path.stat()
        if facts.st_mode & _OTHERS and facts.st_uid == os.getuid():
            path.chmod(facts.st_mode & 0o7777 & ~_OTHERS)
