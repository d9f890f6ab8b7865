"""Where a follower's partitions live between processes: in snapshot files, or in Milvus.

Knows how far each has come in which catalogue; knows nothing of what happens in the catalogue.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Protocol

from search.errors import PartitionError, SettingsError
from search.index.device import find_device
from search.index.milvus import Milvus, MilvusPartition
from search.index.partition import Partition, PartitionOptions
from search.index.protocol import VectorIndex
from search.index.snapshot import snapshot_sequence
from search.results import Signal
from search.settings import Settings

_log = logging.getLogger(__name__)


class Keeper(Protocol):
    """Opens, begins and saves the partitions of one space. `owner` names the space in one very catalogue."""

    cheap: bool  # whether saving costs next to nothing

    def open(self, signal: Signal, owner: str) -> tuple[VectorIndex, int] | None:
        """What was saved last, and the sequence number it stands at; None where nothing usable was."""

    def begin(self, signal: Signal, dimension: int) -> VectorIndex:
        """An empty partition, in place of anything kept."""

    def save(self, signal: Signal, index: VectorIndex, owner: str, sequence: int) -> None:
        """Keep it, unless a newer one is there."""

    def forget(self) -> None:
        """Remove all that is kept of the space."""


def make_keeper(settings: Settings, fingerprint: str) -> Keeper:
    """As the setting `index` says."""
    if settings.index == "faiss":
        return SnapshotFolder(settings.snapshots / fingerprint, settings)
    if settings.index == "milvus":
        return MilvusServer(Milvus.open(settings), fingerprint)
    raise SettingsError(f"index is faiss or milvus, not {settings.index!r}")


class SnapshotFolder:
    """A file for each partition, replaced whole by a rename; processes share the folder."""

    cheap = False

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder = folder
        device = find_device(settings.device)
        # On a GPU search stays exact, whatever the size.
        threshold = None if device else settings.ivf_threshold
        self._options = PartitionOptions(ivf_threshold=threshold, device=device, folder=folder)

    def open(self, signal: Signal, owner: str) -> tuple[VectorIndex, int] | None:
        """See Keeper."""
        path = self._path(signal)
        if not path.exists():
            return None
        try:
            return Partition.load(path, owner, self._options)
        except PartitionError as error:
            _log.warning("rebuilding the partition of %s: %s", signal, error)
            # Or its header, if that is whole, would keep us from writing a good one.
            path.unlink(missing_ok=True)
            return None

    def begin(self, signal: Signal, dimension: int) -> VectorIndex:
        """See Keeper; the file stays until a better one is saved."""
        return Partition(dimension, self._options)

    def save(self, signal: Signal, index: VectorIndex, owner: str, sequence: int) -> None:
        """See Keeper."""
        path = self._path(signal)
        if isinstance(index, Partition) and snapshot_sequence(path, owner) < sequence:
            index.save(path, owner, sequence)

    def forget(self) -> None:
        """See Keeper."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, signal: Signal) -> Path:
        return self._folder / f"{signal}.partition"


class MilvusServer:
    """A collection for each partition. Every process that follows writes the same rows, so any may stop."""

    cheap = True  # the rows are there already

    def __init__(self, milvus: Milvus, fingerprint: str) -> None:
        self._milvus = milvus
        self._prefix = fingerprint[:16]

    def open(self, signal: Signal, owner: str) -> tuple[VectorIndex, int] | None:
        """See Keeper."""
        partition = self._milvus.existing(self._name(signal))
        if partition is None:
            return None
        sequence = self._milvus.sequence(partition, owner)
        return None if sequence is None else (partition, sequence)

    def begin(self, signal: Signal, dimension: int) -> VectorIndex:
        """See Keeper. The collection is emptied at once: searches find little until it is full again."""
        old = self._milvus.existing(self._name(signal))
        if old is not None:
            self._milvus.drop(old)
        return self._milvus.partition(self._name(signal), dimension)

    def save(self, signal: Signal, index: VectorIndex, owner: str, sequence: int) -> None:
        """See Keeper."""
        if isinstance(index, MilvusPartition) and (self._milvus.sequence(index, owner) or -1) < sequence:
            self._milvus.save(index, owner, sequence)

    def forget(self) -> None:
        """See Keeper."""
        for signal in Signal:
            if (partition := self._milvus.existing(self._name(signal))) is not None:
                self._milvus.drop(partition)

    def _name(self, signal: Signal) -> str:
        return f"{self._prefix}_{signal}"
