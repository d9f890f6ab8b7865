"""Outcomes of indexing -> the catalogue, each batch in one transaction.

Decides between retry and quarantine by the number of attempts; knows nothing of decoding or encoding.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from indexer.intake import Later, Settled, Unchanged
from indexer.task import Outcome
from search.catalog import queue
from search.catalog.database import Database
from search.catalog.records import IndexedAsset, ReadAsset
from search.errors import CatalogError, MediaError, PermanentMediaError
from search.settings import Settings

_TRIES = 4  # of a transaction that the database refused: a restart of its server takes seconds
_WAIT_SECONDS = 1.0
_JITTER = 0.25  # of a wait, so that the failures of an hour don't all come back in the same second


@dataclass(frozen=True)
class Retry:
    """Back into the queue, not to be claimed before a time."""

    reason: str
    not_before: float
    counts: bool


@dataclass(frozen=True)
class Quarantine:
    """Out of the queue, with a reason for people."""

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


def retry_seconds(attempts: int, first_seconds: float, jitter: float) -> float:
    """How long to wait after this many attempts: doubling, with `jitter` from [0, 1)."""
    return first_seconds * 2.0 ** (attempts - 1) * (1 + _JITTER * jitter)


class Recorder:
    """Writes for one owner of leases. `write` is for one thread."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        owner: str,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._settings = settings
        self._owner = owner
        self._clock = clock
        self._jitter = jitter
        self.tally = Tally()

    def write(self, outcomes: Sequence[Outcome]) -> None:
        """Record all of them, or raise CatalogError and none."""
        for tries_left in reversed(range(_TRIES)):
            try:
                written = self._write(outcomes)
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
        with self._database.write() as connection:
            queue.hold(connection, self._owner, [outcome.asset.id for outcome in outcomes])
            for outcome in outcomes:
                asset = outcome.asset
                match self.decide(outcome):
                    case Quarantine(reason):
                        queue.give_up(connection, self._owner, asset, reason)
                    case Retry(reason, not_before, counts):
                        queue.retry_later(connection, self._owner, asset.id, reason, not_before, counts=counts)
            written = queue.finish_unchanged(connection, self._owner, unchanged) if unchanged else set()
            written |= queue.finish_reading(connection, self._owner, read)
            return written | queue.finish(connection, self._owner, results)

    def decide(self, outcome: Outcome) -> Retry | Quarantine | None:
        """What becomes of an asset that was not indexed; None for all others."""
        asset, result = outcome.asset, outcome.result
        if isinstance(result, Later):
            return Retry(result.reason, result.not_before, counts=False)
        if isinstance(result, PermanentMediaError):
            return Quarantine(str(result))
        if not isinstance(result, MediaError):
            return None
        if asset.attempts >= self._settings.max_attempts:
            return Quarantine(f"{result} (tried {asset.attempts} times)")
        wait = retry_seconds(asset.attempts, self._settings.retry_seconds, self._jitter())
        return Retry(str(result), self._clock() + wait, counts=True)

    def _count(self, outcomes: Sequence[Outcome], written: set[int]) -> None:
        tally = self.tally
        for outcome in outcomes:
            asset, result = outcome.asset, outcome.result
            tally.last_path = asset.path
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
