"""Keeps the partitions of one space equal to the catalogue: opens the last snapshots, then tails changes.

Every process has its own follower. It knows the catalogue's sequence numbers and the storage of partitions; it
knows nothing of queries. Snapshots are a cache: one that is damaged, too old or of another catalogue is
rebuilt from the catalogue alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from search.catalog.database import Connection, Database
from search.catalog.embeddings import deletions_after, embeddings_after
from search.catalog.records import SpaceRecord
from search.catalog.sequence import horizon, identity, latest_sequence
from search.catalog.spaces import list_spaces
from search.errors import MedleyError, PartitionError
from search.index.checks import unit_rows_of
from search.index.faiss_setup import set_threads
from search.index.partition_storage import open_partition_storage
from search.index.protocol import VectorIndex
from search.settings import Settings
from search.signals import Signal

_log = logging.getLogger(__name__)

FETCH_ROWS = 8192
# Reading rows from the catalogue takes microseconds each: below this a snapshot saves no one's time.
PUBLISH_ROWS = 2000
_PUBLISH_SHARE = 0.05
_PUBLISH_SECONDS = 60.0  # between two snapshots of a partition while running


class Follower:
    """The partitions of one space, one per signal. Thread-safe.

    `dimensions` are the space's: signal to length of vectors.
    """

    def __init__(
        self, database: Database, space: SpaceRecord, dimensions: Mapping[Signal, int], settings: Settings
    ) -> None:
        set_threads(settings.threads)
        self._database = database
        self._space = space
        self._poll_seconds = settings.poll_seconds
        self._dimensions = dict(dimensions)
        self._storage = open_partition_storage(settings, space.fingerprint)
        self._tracks: dict[Signal, _Track] = {}
        self._catching_up = threading.Lock()
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._owner = ""  # of our snapshots: the space in this particular catalogue; known once connected
        self.problem: str | None = None  # why the last poll failed, for readiness checks
        self._out_of_reach: str | None = None  # what the partitions' storage said when it did not answer

    @property
    def partitions(self) -> Mapping[Signal, VectorIndex]:
        """The partition of each signal; empty before the first `catch_up`.

        Read it anew for every search: a rebuild replaces partitions. Raises PartitionError while what holds them does
        not answer, at once: a search must not wait for it.
        """
        if self._out_of_reach:
            raise PartitionError(self._out_of_reach)
        return {signal: track.partition for signal, track in self._tracks.items()}

    @property
    def sequence(self) -> int:
        """The number up to which all changes are searchable."""
        return min((track.sequence for track in self._tracks.values()), default=0)

    @property
    def unsaved(self) -> Mapping[Signal, int]:
        """How many changes each partition has seen since its last snapshot."""
        return {signal: track.unsaved for signal, track in self._tracks.items()}

    def start(self) -> None:
        """Catch up once, in the calling thread, then follow in the background."""
        self.try_to_catch_up()
        if not self._threads:
            for work in (self._run, self._tend):
                thread = threading.Thread(target=work, name=f"follower-{self._space.name}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def stop(self) -> None:
        """Stop following, and write snapshots if enough changed."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        try:
            self._publish(self._worth_saving)
        except (MedleyError, OSError) as error:
            _log.warning("no snapshot of %s: %s", self._space.name, error)

    def catch_up(self) -> int:
        """Apply all changes in the catalogue so far; returns the sequence number reached. Raises CatalogError."""
        # One state of the catalogue for all of it, so that additions and deletions agree.
        with self._catching_up, self._database.read() as connection:
            owner = f"{self._space.fingerprint} {self._space.id} {identity(connection)}"
            if owner != self._owner:
                # The first time; or someone restored a backup under us, and numbers mean something else now.
                self._tracks = self._open(connection, owner)
                self._owner = owner
            latest = latest_sequence(connection)
            for signal, track in self._tracks.items():
                if track.sequence != latest:
                    self._advance(connection, signal, track, latest)
        with self._changed:
            self._changed.notify_all()
        return latest

    def try_to_catch_up(self) -> None:
        """The same, unless the partitions' storage is down, as `problem` says then.

        Raises CatalogError, PartitionError, SettingsError.
        """
        try:
            self._reach_storage()
        except PartitionError as error:
            _log.warning("the partitions of %s can't be opened: %s", self._space.name, error)
            self.problem = str(error)
        else:
            self.catch_up()

    def wait_for(self, sequence: int, timeout: float) -> bool:
        """Wait until everything up to `sequence` is searchable; False if that takes more than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self.sequence >= sequence, timeout)

    def publish(self) -> None:
        """Write a snapshot of every partition in which something changed."""
        self._publish(lambda track: track.unsaved > 0)

    def _run(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            try:
                self._reach_storage()
                self.catch_up()
                self._publish(lambda track: self._worth_saving(track) and track.age_seconds > _PUBLISH_SECONDS)
                self.problem = None
            except (MedleyError, OSError) as error:
                # The catalogue or the disk may be away for a while; what we have stays searchable.
                if self.problem is None:
                    _log.warning("the partitions of %s can't follow the catalogue: %s", self._space.name, error)
                self.problem = str(error)

    def _reach_storage(self) -> None:
        try:
            self._storage.check()
        except PartitionError as error:
            self._out_of_reach = str(error)
            self._owner = ""  # when it is back, the partitions are opened anew
            raise
        self._out_of_reach = None

    def _tend(self) -> None:
        """Build lists in a thread of their own: for millions of rows that takes minutes."""
        while not self._stopping.wait(self._poll_seconds):
            for signal, track in self._tracks.items():
                if not track.partition.needs_tending():
                    continue
                try:
                    track.partition.tend(self._stopping.is_set)
                    # So that no other process has to build the same.
                    track.unsaved += len(track.partition)
                except (PartitionError, OSError, RuntimeError, MemoryError) as error:
                    _log.warning("the partition of %s stays as it is: %s", signal, error)
                    self._stopping.wait(_PUBLISH_SECONDS)

    def _open(self, connection: Connection, owner: str) -> dict[Signal, _Track]:
        oldest, newest = horizon(connection), latest_sequence(connection)
        tracks = {}
        for signal, dimension in self._dimensions.items():
            partition, sequence = self._storage.open(signal, owner) or (None, 0)
            if partition is not None and not (partition.dimension == dimension and oldest <= sequence <= newest):
                _log.warning("rebuilding the partition of %s: it stands at %d of %d", signal, sequence, newest)
                partition, sequence = None, 0
            if partition is None:
                partition = self._storage.begin(signal, dimension)
            tracks[signal] = _Track(partition, sequence)
        return tracks

    def _advance(self, connection: Connection, signal: Signal, track: _Track, latest: int) -> None:
        partition, after = track.partition, track.sequence
        # Deletions that we missed are forgotten, or the catalogue went back to an older state: start over,
        # beside the old partition, which serves until the new one is complete.
        if len(partition) and not horizon(connection) <= after <= latest:
            _log.warning("rebuilding the partition of %s: it stands at %d of %d", signal, after, latest)
            partition = self._storage.begin(signal, partition.dimension)
        if not len(partition):
            after = 0
        # Deletions first: a file that went and came back has a tombstone, and then its vectors again.
        changed = self._remove(connection, partition, after) if len(partition) else 0
        changed += self._add(connection, partition, signal, after)
        track.partition, track.sequence = partition, latest
        track.unsaved += changed

    def _remove(self, connection: Connection, partition: VectorIndex, after: int) -> int:
        removed = 0
        while True:
            sequences, ids = deletions_after(connection, after, FETCH_ROWS)
            if not len(ids):
                return removed
            removed += partition.remove(ids)
            after = int(sequences[-1])

    def _add(self, connection: Connection, partition: VectorIndex, signal: Signal, after: int) -> int:
        added = 0
        while True:
            ids, sequences, vectors = embeddings_after(connection, self._space.id, signal, after, FETCH_ROWS)
            if not len(ids):
                return added
            usable = unit_rows_of(vectors)
            # A row of zeros is of a text that means nothing to the space: it is left out on purpose.
            if damaged := np.count_nonzero(~usable & vectors.any(axis=1)):
                # One bad row must not hold up a library.
                _log.warning("%d vectors of %s are not unit vectors: left out", damaged, signal)
            partition.add(ids[usable], vectors[usable])
            added += len(ids)
            after = int(sequences[-1])

    def _worth_saving(self, track: _Track) -> bool:
        least = 1 if self._storage.cheap else max(PUBLISH_ROWS, _PUBLISH_SHARE * len(track.partition))
        return track.unsaved >= least

    def _publish(self, wanted: Callable[[_Track], bool]) -> None:
        tracks = {signal: track for signal, track in self._tracks.items() if wanted(track)}
        if tracks and self._space_exists():  # what was dropped must not come back to disk
            for signal, track in tracks.items():
                self._save(signal, track)

    def _space_exists(self) -> bool:
        with self._database.read() as connection:
            return any(space.id == self._space.id for space in list_spaces(connection))

    def _save(self, signal: Signal, track: _Track) -> None:
        with self._catching_up:
            track.saved_at = time.monotonic()
            self._storage.save(signal, track.partition, self._owner, track.sequence)
            track.unsaved = 0


@dataclass
class _Track:
    """A partition, and how far in the catalogue's changes it is."""

    partition: VectorIndex
    sequence: int = 0
    unsaved: int = 0  # rows that changed since the last snapshot
    saved_at: float = field(default_factory=time.monotonic)

    @property
    def age_seconds(self) -> float:
        return time.monotonic() - self.saved_at
