"""Records the outcomes of indexing in the catalogue, each batch in one transaction.

Decides between retry and quarantine by the number of attempts; knows nothing of decoding or encoding.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from indexer.ingest.intake import Later, NotHere, Settled, Unchanged
from indexer.ingest.task import Outcome
from search.catalog import queue
from search.catalog.database import Database
from search.catalog.records import IndexedAsset, ReadAsset
from search.errors import CatalogError, MachineError, MediaError, PermanentMediaError
from search.settings import Settings

_log = logging.getLogger(__name__)
_TRIES = 4  # of a transaction that the database refused: a restart of its server takes seconds
_WAIT_SECONDS = 1.0
_MOST_SECONDS = 3600.0  # of a wait for a machine that lacks something
_MOST_DOUBLINGS = 20
_MOST_COUNTED = 10_000  # assets that a machine lacked something for
_JITTER = 0.25  # of a wait, so that the failures of an hour don't all come back in the same second


@dataclass(frozen=True)
class Retry:
    """Back into the queue, not to be claimed for a while."""

    reason: str
    wait_seconds: float
    counts: bool


@dataclass(frozen=True)
class Quarantine:
    """Take the asset out of the queue, with a reason for people."""

    reason: str


@dataclass
class Tally:
    """What has been recorded so far."""

    indexed: int = 0
    unchanged: int = 0
    moved: int = 0
    retried: int = 0
    quarantined: int = 0
    read: int = 0  # second visits, for the text in pictures that were searchable already
    segments: int = 0
    bytes: int = 0
    last_path: str = ""

    @property
    def done(self) -> int:
        """Files that no first visit is left for."""
        return self.indexed + self.unchanged + self.moved + self.quarantined


def retry_seconds(attempts: int, first_seconds: float, jitter: float) -> float:
    """How long to wait after this many attempts: doubling, with `jitter` from [0, 1)."""
    return first_seconds * 2.0 ** (attempts - 1) * (1 + _JITTER * jitter)


class Recorder:
    """Writes what became of claims. `write` is for one thread."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._settings = settings
        self._jitter = jitter
        self._lacked: dict[int, int] = {}  # how often this machine lacked something for an asset, by its id
        self.tally = Tally()

    def write(self, outcomes: Sequence[Outcome]) -> None:
        """Record all outcomes, or none of them and raise CatalogError."""
        for tries_left in reversed(range(_TRIES)):
            try:
                written = self._database.patiently(lambda: self._write(outcomes))
            except CatalogError:
                if not tries_left:
                    raise
                time.sleep(_WAIT_SECONDS)
            else:
                self._count(outcomes, written)
                return

    def _write(self, outcomes: Sequence[Outcome]) -> set[int]:
        results = [outcome.result for outcome in outcomes if isinstance(outcome.result, IndexedAsset)]
        unchanged = [outcome.asset.id for outcome in outcomes if isinstance(outcome.result, Unchanged)]
        read = [outcome.result for outcome in outcomes if isinstance(outcome.result, ReadAsset)]
        claims = queue.claims_of(outcome.asset for outcome in outcomes)
        with self._database.write() as connection:
            queue.hold(connection, claims)
            for outcome in outcomes:
                asset = outcome.asset
                match self.decide(outcome):
                    case Quarantine(reason):
                        queue.give_up(connection, asset, reason)
                    case Retry(reason, wait_seconds, counts):
                        queue.retry_later(connection, claims, asset.id, reason, wait_seconds, counts=counts)
            written = queue.finish_unchanged(connection, claims, unchanged) if unchanged else set()
            written |= queue.finish_reading(connection, claims, read)
            return written | queue.finish(connection, claims, results)

    def decide(self, outcome: Outcome) -> Retry | Quarantine | None:
        """What to do with an asset that was not indexed; None for all others."""
        asset, result = outcome.asset, outcome.result
        if isinstance(result, Later):
            return Retry(result.reason, result.wait_seconds, counts=False)
        if isinstance(result, NotHere):
            return Retry(result.reason, 0.0, counts=False)  # a worker that can read it need not wait
        if isinstance(result, PermanentMediaError):
            return Quarantine(str(result))
        if not isinstance(result, MediaError):
            return None
        if isinstance(result, MachineError):
            times = self._lacked.get(asset.id, 0) + 1
            wait = min(
                retry_seconds(min(times, _MOST_DOUBLINGS), self._settings.retry_seconds, self._jitter()), _MOST_SECONDS
            )
            return Retry(str(result), wait, counts=False)
        if asset.attempts >= self._settings.max_attempts:
            return Quarantine(f"{result} (tried {asset.attempts} times)")
        wait = retry_seconds(asset.attempts, self._settings.retry_seconds, self._jitter())
        return Retry(str(result), wait, counts=True)

    def _count(self, outcomes: Sequence[Outcome], written: set[int]) -> None:
        tally = self.tally
        for outcome in outcomes:
            asset, result = outcome.asset, outcome.result
            tally.last_path = asset.path
            self._note_lack(outcome)
            if isinstance(result, IndexedAsset) and asset.id in written:
                tally.indexed += 1
                tally.segments += len(result.segments)
                tally.bytes += asset.size_bytes
            elif isinstance(result, ReadAsset) and asset.id in written:
                tally.read += 1
                tally.segments += len(result.segments)
            elif isinstance(result, Unchanged):
                tally.unchanged += 1
            elif isinstance(result, Settled):
                tally.moved += result.moved
            elif isinstance(result, MediaError):
                decision = self.decide(outcome)
                tally.quarantined += isinstance(decision, Quarantine) and not asset.only_reading
                tally.retried += isinstance(decision, Retry)

    def _note_lack(self, outcome: Outcome) -> None:
        """Each further time in a row is waited for longer."""
        times = self._lacked.pop(outcome.asset.id, 0)
        if isinstance(outcome.result, MachineError):
            if not times:
                _log.warning("left for later, and not counted against the file: %s", outcome.result)
            self._lacked[outcome.asset.id] = times + 1
            if len(self._lacked) > _MOST_COUNTED:
                del self._lacked[next(iter(self._lacked))]
