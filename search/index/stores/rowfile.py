"""Exact rows as float16 in a private, mapped file, so that they take disk and page cache but no memory.

The file has no name: it vanishes with its process. Knows nothing of ids.
"""

from __future__ import annotations

import mmap
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from search.arrays import FloatArray

_FIRST_ROWS = 4096


class RowFile:
    """Rows `(capacity, d) float16`; growing leaves the arrays that were handed out valid."""

    def __init__(self, dimension: int, folder: Path | None, rows: FloatArray | None = None) -> None:
        self._dimension = dimension
        self._folder = folder
        self._file: Any = None
        # Rows of a snapshot are used where they are, until the first one is added.
        self.rows: FloatArray = np.empty((0, dimension), np.float16) if rows is None else rows

    def reserve(self, count: int) -> None:
        """Make room for `count` rows in total."""
        if count <= len(self.rows):
            return
        capacity = max(_FIRST_ROWS, count, len(self.rows) + len(self.rows) // 2)
        before = self.rows if self._file is None else None
        if self._file is None:
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - lives as long as we do
            weakref.finalize(self, self._file.close)
        self._file.truncate(capacity * self._dimension * 2)
        mapped = mmap.mmap(self._file.fileno(), 0)
        if hasattr(mapped, "madvise"):
            # A query reads scattered rows; reading ahead would fill the cache with rows nobody asked for.
            mapped.madvise(mmap.MADV_RANDOM)
        rows = np.frombuffer(mapped, np.float16).reshape(capacity, self._dimension)
        if before is not None:
            rows[: len(before)] = before
        self.rows = rows
