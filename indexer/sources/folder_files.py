"""The files of a source that is a folder of this machine, or a single file in one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from indexer.decoding.sidecars import contents_beside, state_of, words_beside
from indexer.sources.contents import Contents, open_below
from indexer.sources.files import Entry, Known
from indexer.sources.ignoring import Ignoring
from indexer.sources.original import Original, local
from indexer.sources.walk import is_left_out, look, walk
from search.catalog.records import AssetRecord, FoundFile, SourceRecord
from search.settings import Settings


class FolderFiles:
    """See `SourceFiles`."""

    in_place = True
    may_be_half_written = True
    has_content_etags = False

    def __init__(self, source: SourceRecord, settings: Settings) -> None:
        self._source = source
        self._settings = settings
        self._root = os.fsencode(source.root)

    def ignoring(self) -> Ignoring:
        """As `SourceFiles.ignoring`."""
        return Ignoring(self._root, self._source.excludes.splitlines())

    def walk(self, ignoring: Ignoring, known: Known) -> Iterator[Entry]:  # noqa: ARG002 - as the protocol says
        """As `SourceFiles.walk`."""
        return walk(self._root, self._source.recursive, own_folders(self._source, self._settings), ignoring)

    def look(self, path: bytes, ignoring: Ignoring) -> Iterator[Entry]:
        """As `SourceFiles.look`."""
        skipped = own_folders(self._source, self._settings)
        return look(path, self._root, self._source.recursive, skipped, ignoring)

    def answers(self) -> bool:
        """As `SourceFiles.answers`."""
        return has_entries(self._root)

    def are_gone(self, paths: Sequence[bytes]) -> list[bool]:
        """As `SourceFiles.are_gone`."""
        return [not _is_file(path) for path in paths]

    def are_left_out(self, paths: Sequence[bytes]) -> list[bool]:
        """As `SourceFiles.are_left_out`."""
        return [path != self._root and is_left_out(path, self._root, self.ignoring()) for path in paths]

    def words_beside(self, path: bytes) -> list[bytes]:
        """As `SourceFiles.words_beside`."""
        return words_beside(path)

    def now(self, asset: AssetRecord) -> tuple[FoundFile, int]:
        """As `SourceFiles.now`. What leads out of the source since it was scanned is not there, as for a scan."""
        path = path_of(asset)
        status = path.stat()
        real, root = os.path.realpath(asset.path_bytes), os.path.realpath(self._root)
        if real != root and not real.startswith(root.rstrip(b"/") + b"/"):
            raise FileNotFoundError(asset.path)
        beside, beside_ns = state_of(path)
        file = FoundFile(
            path=asset.path,
            path_bytes=asset.path_bytes,
            size_bytes=status.st_size,
            modified_ns=status.st_mtime_ns,
            changed_ns=status.st_ctime_ns,
            side_car=beside,
        )
        return file, max(status.st_mtime_ns, beside_ns)

    def fetch(self, asset: AssetRecord) -> AbstractContextManager[Path]:
        """As `SourceFiles.fetch`: the file itself."""
        return nullcontext(path_of(asset))

    def open(self, asset: AssetRecord) -> Contents:
        """As `SourceFiles.open`."""
        return open_below(asset.path_bytes, self._root)

    def original(self, asset: AssetRecord) -> Original:
        """As `SourceFiles.original`: by its real path, so that a link and its target have the same previews."""
        self.open(asset).close()
        return local(Path(os.fsdecode(os.path.realpath(asset.path_bytes))))

    def contents_beside(self, asset: AssetRecord) -> list[tuple[str, bytes]] | None:
        """As `SourceFiles.contents_beside`."""
        return contents_beside(path_of(asset))


def path_of(asset: AssetRecord) -> Path:
    """The path of an asset's file, as the file system knows it."""
    return Path(os.fsdecode(asset.path_bytes))


def has_entries(root: bytes) -> bool:
    """Whether the root is a file, or a folder that is not empty; False if it does not exist."""
    try:
        with os.scandir(root) as listing:
            return next(listing, None) is not None
    except NotADirectoryError:
        return True
    except OSError:
        return False


def own_folders(source: SourceRecord, settings: Settings) -> tuple[Path, ...]:
    """Where a scan must not look: what Medley itself writes, unless the source is a folder in there (uploads)."""
    home = settings.home.resolve()
    return () if Path(source.root).resolve().is_relative_to(home) else (home,)


def _is_file(path: bytes) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # who knows
