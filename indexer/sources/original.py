"""A media file to make previews of, wherever it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from search.errors import TransientMediaError


@dataclass(frozen=True)
class Original:
    """How to tell it from other contents, and how to read it."""

    name: str  # for people
    version: str  # another text whenever the contents may be others
    fetch: Callable[[], AbstractContextManager[Path]]  # a local file that holds all of it
    #: what ffmpeg reads parts of: a path, or an address on this machine that only it is told
    address: Callable[[], AbstractContextManager[str]]


def local(path: Path) -> Original:
    """A local file. Raises TransientMediaError where it can't be looked at."""
    try:
        facts = path.stat()
    except OSError as error:
        raise TransientMediaError(f"{path}: can't be read: {error.strerror}") from None
    name = os.fsdecode(path)
    version = f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}"
    return Original(str(path), version, lambda: nullcontext(path), lambda: nullcontext(name))
