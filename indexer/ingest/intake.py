"""Settles what it can about a claimed file before the expensive work: is it there, complete, new, or known?

Looks at the file, fetches it where it lies in a store, and reads its bytes once for the hash; never decodes. What the
catalogue knows of these contents is asked of a ledger, which may be on another machine.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from indexer.sources.files import SourceFiles
from search.catalog.records import AssetRecord, FoundFile, IndexedAsset
from search.errors import PermanentMediaError, StoreError, TransientMediaError
from search.settings import Settings

_HASH_BYTES = 32
_NANOSECONDS = 1e9
STORE_SECONDS = 30.0  # until this machine tries a file again whose store it could not use


@dataclass(frozen=True)
class Decode:
    """The contents are unknown: decode them. Close it when that is done."""

    content_hash: str
    path: Path  # of a local file that holds them until it is closed
    close: Callable[[], None]


@dataclass(frozen=True)
class Unchanged:
    """The catalogue already holds the segments of these contents."""


@dataclass(frozen=True)
class Settled:
    """The catalogue is up to date; nothing is left to do."""

    moved: bool = False


@dataclass(frozen=True)
class Later:
    """The file is still being written, or just changed: look again after this time."""

    wait_seconds: float
    reason: str


@dataclass(frozen=True)
class NotHere:
    """This machine can't read the file, which says nothing of others: they may take it at once, we later."""

    wait_seconds: float
    reason: str


#: nothing is left to decode
Settlement = Unchanged | Settled | Later | NotHere | IndexedAsset
Verdict = Decode | Settlement


class Places(Protocol):
    """The files of every source. Thread-safe."""

    def of(self, asset: AssetRecord) -> SourceFiles:
        """The files of the source that an asset is in. Raises NotFoundError."""


class Ledger(Protocol):
    """The catalogue's verdict on a file. Thread-safe. Raises CatalogError."""

    def gone(self, asset: AssetRecord) -> Settlement:
        """The file is not there."""

    def changed(self, asset: AssetRecord, file: FoundFile) -> Settlement:
        """The file is not in the state that was claimed."""

    def told_hash(self, asset: AssetRecord) -> str | None:
        """The hash of the contents, where their store's etag tells that they were read before."""

    def known(
        self, asset: AssetRecord, file: FoundFile, content_hash: str, space_ids: Collection[int]
    ) -> Settlement | None:
        """What the catalogue holds of these contents settles it; None when it holds nothing."""


class Intake:
    """Looks at claimed files. Thread-safe."""

    def __init__(
        self, ledger: Ledger, places: Places, settings: Settings, clock: Callable[[], float] = time.time
    ) -> None:
        self._ledger = ledger
        self._places = places
        self._settings = settings
        self._clock = clock

    def receive(self, asset: AssetRecord, space_ids: Collection[int]) -> Verdict:
        """Decide what to do with a claimed asset. Raises MediaError, OSError, CatalogError."""
        files = self._places.of(asset)
        try:
            return self._receive(asset, files, space_ids)
        except StoreError as error:
            # Nothing is wrong with the file: that it was tried does not count against it.
            return NotHere(STORE_SECONDS, f"{asset.path}: {error}")

    def check_unchanged(self, asset: AssetRecord) -> None:
        """Raise TransientMediaError if the file is no longer the claimed one; a copy can't have changed."""
        files = self._places.of(asset)
        if not files.in_place:
            return
        try:
            file, _ = files.now(asset)
        except FileNotFoundError:
            raise TransientMediaError(f"{asset.path}: went away while it was read") from None
        if file.state != asset.state:
            raise TransientMediaError(f"{asset.path}: changed while it was read")

    def _receive(self, asset: AssetRecord, files: SourceFiles, space_ids: Collection[int]) -> Verdict:
        try:
            file, changed_ns = files.now(asset)
        except FileNotFoundError:
            return self._ledger.gone(asset)
        if files.may_be_half_written and (wait := self._unsettled_seconds(changed_ns)):
            return Later(wait, f"{asset.path}: changed a moment ago; waiting until it is whole")
        if file.state != asset.state:
            return self._ledger.changed(asset, file)
        if not asset.only_reading:
            self._check_size(file)
            if files.has_content_etags and asset.etag and (content_hash := self._ledger.told_hash(asset)):
                known = self._ledger.known(asset, file, content_hash, space_ids)
                if known is not None:
                    return known
        with ExitStack() as stack:
            path = stack.enter_context(files.fetch(asset))
            if asset.only_reading:
                return Decode(asset.content_hash or "", path, stack.pop_all().close)
            content_hash = hash_file(path)
            self.check_unchanged(asset)
            known = self._ledger.known(asset, file, content_hash, space_ids)
            return known or Decode(content_hash, path, stack.pop_all().close)

    def _unsettled_seconds(self, changed_ns: int) -> float:
        age = self._clock() - changed_ns / _NANOSECONDS
        # A time in the future comes from another machine's clock; it would never settle.
        return self._settings.settle_seconds - age if 0 <= age < self._settings.settle_seconds else 0.0

    def _check_size(self, file: FoundFile) -> None:
        if file.size_bytes == 0:
            raise PermanentMediaError(f"{file.path}: is empty")
        if file.size_bytes > self._settings.max_file_bytes:
            limit = f"max_file_bytes = {self._settings.max_file_bytes:,}"
            raise PermanentMediaError(f"{file.path}: has {file.size_bytes:,} bytes, more than {limit}")


def hash_file(path: Path) -> str:
    """blake2b-256 of the contents, in hex."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=_HASH_BYTES)).hexdigest()
