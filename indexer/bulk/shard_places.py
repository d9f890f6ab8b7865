"""Where shards lie: a folder, or a store, such as the bucket beside the media.

A shard is made on this machine, appears in its place whole, and is read from a copy on this machine, one at a time.
Knows names and files; knows nothing of what is in them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from indexer.sources.stores.addresses import is_store, parsed
from indexer.sources.stores.opening import open_store
from indexer.sources.stores.store import StoredFile, WritableStore
from search.errors import StoreError, UsageError
from search.settings import Settings

SUFFIX = ".parquet"


class ShardPlace(Protocol):
    """A place that holds shards."""

    #: as people wrote it
    address: str
    #: a local folder in which they are made
    staging: Path

    def names(self) -> list[str]:
        """The shards, in the order they were made. Raises UsageError when there is no such place, StoreError."""

    def fetched(self, name: str) -> AbstractContextManager[Path]:
        """One of them as a local file, while it is needed. Raises StoreError, FileNotFoundError."""

    def put(self, path: Path) -> None:
        """Take a shard that is complete out of the staging folder. Raises StoreError."""


class ShardFolder:
    """As `ShardPlace`: a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder)
        self.staging = folder

    def names(self) -> list[str]:
        """As `ShardPlace.names`."""
        if not self.staging.is_dir():
            raise UsageError(f"{self.staging}: is not a folder of shards")
        return sorted(path.name for path in self.staging.iterdir() if path.suffix == SUFFIX and path.is_file())

    def fetched(self, name: str) -> AbstractContextManager[Path]:
        """As `ShardPlace.fetched`: the file itself."""
        return nullcontext(self.staging / name)

    def put(self, path: Path) -> None:
        """As `ShardPlace.put`: it is there already."""


class ShardStore:
    """As `ShardPlace`: a folder of a store."""

    def __init__(self, address: str, store: WritableStore, staging: Path) -> None:
        self.address = address
        self.staging = staging
        self._store = store

    def names(self) -> list[str]:
        """As `ShardPlace.names`."""
        return sorted(self._listed())

    @contextmanager
    def fetched(self, name: str) -> Iterator[Path]:
        """As `ShardPlace.fetched`: a copy."""
        with tempfile.TemporaryDirectory(dir=self.staging) as folder:
            copy = Path(folder) / name
            with copy.open("wb") as file:
                for piece in self._store.read(self._store.stat(name)):
                    file.write(piece)
            yield copy

    def put(self, path: Path) -> None:
        """As `ShardPlace.put`."""
        self._store.write(path.name, path)
        path.unlink()

    def _listed(self) -> Iterator[str]:
        try:
            for found in self._store.files(lambda _: False):
                if isinstance(found, StoredFile) and found.name.endswith(SUFFIX) and "/" not in found.name:
                    yield found.name
        except FileNotFoundError:
            return  # nothing was written there yet


@contextmanager
def shard_place(settings: Settings, address: str, profile: str = "") -> Iterator[ShardPlace]:
    """The place of shards at a folder's path or a store's address. Raises UsageError, StoreError."""
    if not is_store(address):
        if Path(address).is_file():
            raise UsageError(f"{address}: is a file; shards are in a folder")
        yield ShardFolder(Path(address))
        return
    root = parsed(address).root
    store = open_store(settings, root, profile)
    if not isinstance(store, WritableStore):
        raise StoreError(f"{root}: nothing can be written there; name a bucket, or a folder here, of SFTP or WebDAV")
    with tempfile.TemporaryDirectory(prefix="medley-shards-") as staging:
        yield ShardStore(root, store, Path(staging))
