"""One bulk job from beginning to end: a worker over a fleet of nodes, here or on Ray.

The composition root of bulk ingestion. The worker is the same that runs without one: it claims, keeps leases, and hands
back; only its stages are elsewhere.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from indexer.bulk.cluster import DEFAULT_BLOCK, Block, Cluster, Fleet
from indexer.bulk.estimate import copy_job
from indexer.bulk.job import Job, node_capacity, open_node
from indexer.bulk.local_fleet import LocalFleet
from indexer.bulk.ray_fleet import DEFAULT_SHARE, RayFleet, Share, connected
from indexer.bulk.shard_places import ShardPlace
from indexer.bulk.shard_recorder import ShardRecorder, pass_by_written
from indexer.bulk.shards import ShardWriter
from indexer.ingest.ledger import CatalogueLedger
from indexer.ingest.pipeline import Write
from indexer.ingest.recorder import Tally
from indexer.ingest.worker import OutcomeRecorder, ProgressListener, Worker
from indexer.sources.scan import ScanReport, scan_source
from search.active_space import active_space
from search.catalog import spaces
from search.catalog.database import Database
from search.catalog.records import SourceRecord
from search.settings import Settings

_CLAIMED_TOGETHER = 256  # assets: one statement for many, and little to hand back
SHARD = Block(assets=10_000, segments=50_000, seconds=120.0)


@contextmanager
def opened_fleet(
    settings: Settings, database: Database, on: str | None, share: Share = DEFAULT_SHARE
) -> Iterator[Fleet]:
    """Nodes for the spaces of this catalogue: on Ray (`ray`, `ray://HOST:PORT`), or one in this process.

    Raises UsageError, UnavailableError, SpaceError.
    """
    active_space(database, settings)  # a new catalogue has none yet
    with database.read() as connection:
        job = Job.of(settings, spaces.list_spaces(connection))
    if on is None:
        cores = settings.decode_processes or os.cpu_count() or 1
        node = open_node(job, cores, share.open_space)
        fleet: Fleet = LocalFleet({"here": (node, node_capacity(settings, cores))})
        try:
            yield fleet
        finally:
            fleet.close()
        return
    with connected(on):
        fleet = RayFleet(job, settings, share)
        try:
            yield fleet
        finally:
            fleet.close()


def run_on(
    fleet: Fleet,
    settings: Settings,
    database: Database,
    stop: threading.Event,
    listener: ProgressListener | None = None,
    recorder: OutcomeRecorder | None = None,
    block: Block = DEFAULT_BLOCK,
) -> Tally:
    """Index what is pending on a fleet, until nothing is or `stop` is set. Raises MedleyError, as a worker does."""

    def stages(write: Write) -> Cluster:
        return Cluster(fleet, CatalogueLedger(database, settings), settings, write, block)

    worker = Worker(settings, database, stages, recorder=recorder, batch_assets=_CLAIMED_TOGETHER)
    return worker.run(stop, until_idle=True, listener=listener)


@contextmanager
def shard_job(
    settings: Settings, database: Database, source: SourceRecord, place: ShardPlace
) -> Iterator[tuple[Database, ShardRecorder, ScanReport, int]]:
    """A queue of what no shard in `place` holds yet, what records it, the scan, and how many files are held.

    The queue is thrown away at the end: what is done is known by the shards alone.
    """
    active_space(database, settings)
    with database.read() as connection:
        known = spaces.list_spaces(connection)
    with tempfile.TemporaryDirectory(prefix="medley-shards-") as scratch_folder:
        scratch = Database.open(f"sqlite:///{Path(scratch_folder) / 'queue.sqlite'}")
        try:
            scratch.migrate()
            copied = copy_job(scratch, source, known)
            with scratch.read() as connection:
                here = spaces.list_spaces(connection)
            writer = ShardWriter(place, source.root, source.recursive, here)
            report = scan_source(scratch, copied, settings)
            written = pass_by_written(scratch, copied, place)
            yield scratch, ShardRecorder(scratch, settings, copied, writer), report, written
        finally:
            scratch.close()
