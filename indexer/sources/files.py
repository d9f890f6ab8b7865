"""The files of a source, wherever they are: one interface for local folders and for stores.

Scans, workers and previews use only this. Knows no catalogue but its records.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from indexer.sources.contents import Contents
from indexer.sources.ignoring import Ignoring
from indexer.sources.original import Original
from search.catalog.records import AssetRecord, FoundFile


@dataclass(frozen=True)
class Unreadable:
    """A folder (or file) that could not be looked at: whether it, and what is below it, is gone is unknown."""

    path: bytes
    reason: str


Entry = FoundFile | Unreadable
#: those of some paths that the catalogue has
Known = Callable[[Collection[bytes]], Collection[bytes]]


class SourceFiles(Protocol):
    """The files of one source. Thread-safe.

    Whatever is asked may raise StoreError when a store can't be used now, and OSError where a folder can't.
    """

    @property
    def in_place(self) -> bool:
        """Do decoders read the files themselves, which may change under them?"""

    @property
    def may_be_half_written(self) -> bool:
        """May a file that was just written still be incomplete?"""

    @property
    def has_content_etags(self) -> bool:
        """Do equal etags of two files mean equal contents?"""

    def ignoring(self) -> Ignoring:
        """What a walk of this source leaves out, and counts."""

    def walk(self, ignoring: Ignoring, known: Known) -> Iterator[Entry]:
        """Every media file, few at a time in memory. Raises OSError if the root is not there."""

    def look(self, path: bytes, ignoring: Ignoring) -> Iterator[Entry]:
        """What a walk would give of one file below the root, or of one folder and what is below it.

        Of a file that tells of others: what it would give of those. Raises FileNotFoundError where nothing is there.
        """

    def answers(self) -> bool:
        """Is the root there, with something in it?"""

    def are_gone(self, paths: Sequence[bytes]) -> list[bool]:
        """Of each file: is it certainly not there now?"""

    def are_left_out(self, paths: Sequence[bytes]) -> list[bool]:
        """Of each file: would a walk pass it by for what is said of it or of the folders above it?"""

    def words_beside(self, path: bytes) -> list[bytes]:
        """The files of words that are those of this recording or video as long as it is there. It need not be."""

    def now(self, asset: AssetRecord) -> tuple[FoundFile, int]:
        """An asset's file as it is now, and when it or its sidecars last changed, in nanoseconds.

        Raises FileNotFoundError.
        """

    def fetch(self, asset: AssetRecord) -> AbstractContextManager[Path]:
        """A local file with the asset's contents, and its sidecars beside it, until the block ends.

        Raises MediaError when it is too large, or has changed.
        """

    def open(self, asset: AssetRecord) -> Contents:
        """An asset's file as it is now, whose real path must be in the source, to be read in parts.

        Raises NotFoundError.
        """

    def original(self, asset: AssetRecord) -> Original:
        """An asset's file for making previews of it, whose real path must be in the source. Raises NotFoundError."""

    def contents_beside(self, asset: AssetRecord) -> list[tuple[str, bytes]] | None:
        """The ending and the contents of each file that belongs to the asset's; None where one can't be read."""
