"""Where a follower's partitions live between processes: in snapshot files, or in Milvus.

Knows which sequence number of which catalogue each has reached; knows nothing of the catalogue's contents.
"""

from __future__ import annotations

import logging
import shutil
from functools import cached_property
from pathlib import Path
from typing import Protocol, assert_never

from search.errors import PartitionError
from search.index.gpu import find_gpu
from search.index.milvus import Milvus, MilvusPartition
from search.index.partition import Partition, PartitionOptions
from search.index.protocol import VectorIndex
from search.index.stores.snapshot import snapshot_sequence
from search.settings import Settings
from search.signals import Signal

_log = logging.getLogger(__name__)


class PartitionStorage(Protocol):
    """Opens, begins and saves the partitions of one space. `owner` names the space in one particular catalogue."""

    cheap: bool  # whether saving costs next to nothing

    def check(self) -> None:
        """Raise PartitionError unless what holds the partitions answers."""

    def open(self, signal: Signal, owner: str) -> tuple[VectorIndex, int] | None:
        """The partition saved last, and the sequence number that it has reached; None if there is no usable one."""

    def begin(self, signal: Signal, dimension: int) -> VectorIndex:
        """An empty partition, which replaces the saved one."""

    def save(self, signal: Signal, index: VectorIndex, owner: str, sequence: int) -> None:
        """Save it, unless a newer one was saved already."""

    def forget(self) -> None:
        """Remove everything saved for the space."""


def open_partition_storage(settings: Settings, fingerprint: str) -> PartitionStorage:
    """The storage that the setting `index` asks for. It connects when it is used: Milvus may be down now."""
    match settings.index:
        case "faiss":
            return SnapshotFolder(settings.snapshots / fingerprint, settings)
        case "milvus":
            return MilvusServer(settings, fingerprint)
        case never:
            assert_never(never)


class SnapshotFolder:
    """One file per partition, replaced as a whole by a rename; processes share the folder."""

    cheap = False

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder = folder
        self._options = PartitionOptions(
            ivf_threshold=settings.ivf_threshold,
            gpu=find_gpu(settings.device),
            gpu_ivf_threshold=settings.gpu_ivf_threshold,
            folder=folder,
        )

    def check(self) -> None:
        """Does nothing: the vectors are in this process."""

    def open(self, signal: Signal, owner: str) -> tuple[VectorIndex, int] | None:
        """See PartitionStorage."""
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

    def begin(self, signal: Signal, dimension: int) -> VectorIndex:  # noqa: ARG002 - files need no name yet
        """See PartitionStorage; the file stays until a better one is saved."""
        return Partition(dimension, self._options)

    def save(self, signal: Signal, index: VectorIndex, owner: str, sequence: int) -> None:
        """See PartitionStorage."""
        path = self._path(signal)
        if isinstance(index, Partition) and snapshot_sequence(path, owner) < sequence:
            index.save(path, owner, sequence)

    def forget(self) -> None:
        """See PartitionStorage."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, signal: Signal) -> Path:
        return self._folder / f"{signal}.partition"


class MilvusServer:
    """One collection per partition. Every process that follows writes the same rows, so any of them may stop."""

    cheap = True  # the rows are there already

    def __init__(self, settings: Settings, fingerprint: str) -> None:
        self._settings = settings
        self._prefix = fingerprint[:16]

    @cached_property
    def _milvus(self) -> Milvus:
        return Milvus.open(self._settings)

    def check(self) -> None:
        """See PartitionStorage. After a failure the next check connects anew, as a restarted server wants."""
        try:
            self._milvus.check()
        except PartitionError:
            if "_milvus" in self.__dict__:
                self._milvus.close()
                del self._milvus
            raise

    def open(self, signal: Signal, owner: str) -> tuple[VectorIndex, int] | None:
        """See PartitionStorage."""
        partition = self._milvus.existing(self._name(signal))
        if partition is None:
            return None
        sequence = self._milvus.sequence(partition, owner)
        return None if sequence is None else (partition, sequence)

    def begin(self, signal: Signal, dimension: int) -> VectorIndex:
        """See PartitionStorage. The collection is emptied at once: searches find little until it is full again."""
        old = self._milvus.existing(self._name(signal))
        if old is not None:
            self._milvus.drop(old)
        return self._milvus.partition(self._name(signal), dimension)

    def save(self, signal: Signal, index: VectorIndex, owner: str, sequence: int) -> None:  # noqa: ARG002 - it is in the name
        """See PartitionStorage."""
        if isinstance(index, MilvusPartition) and (self._milvus.sequence(index, owner) or -1) < sequence:
            self._milvus.save(index, owner, sequence)

    def forget(self) -> None:
        """See PartitionStorage."""
        for signal in Signal:
            if (partition := self._milvus.existing(self._name(signal))) is not None:
                self._milvus.drop(partition)

    def _name(self, signal: Signal) -> str:
        return f"{self._prefix}_{signal}"
