"""Workers killed with SIGKILL at random moments lose nothing and duplicate nothing, on both databases."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import func, select
from support.catalog_world import add_library, add_space
from support.paths import ROOT, SUPPORT
from support.waiting import until

from search.catalog import assets, embeddings
from search.catalog.database import Database
from search.catalog.models import asset, embedding, segment
from search.catalog.records import Counts
from search.catalog.sql import full_text
from search.catalog.upkeep import health

ASSETS = 300
KILLS = 20
WORKERS = 3


@contextmanager
def nursery(url: str) -> Iterator[subprocess.Popen[str]]:
    """The process that makes workers on demand."""
    process = subprocess.Popen(
        [sys.executable, str(SUPPORT / "queue_victim.py"), url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(SUPPORT.parent), str(ROOT)])},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def new_worker(process: subprocess.Popen[str]) -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def balanced(database: Database) -> Counts:
    with database.read() as connection:
        counts = assets.counts(connection)
    assert counts.indexed + counts.pending + counts.working + counts.quarantined + counts.missing == ASSETS
    return counts


class Follower:
    """Sees each vector once by remembering the highest number."""

    def __init__(self, space_id: int) -> None:
        self.space_id, self.highest = space_id, 0
        self.seen: Counter[int] = Counter()

    def look(self, database: Database) -> None:
        with database.read() as connection:
            ids, numbers, _ = embeddings.embeddings_after(connection, self.space_id, "image", self.highest, 10_000)
        self.seen.update(ids.tolist())
        self.highest = int(numbers[-1]) if len(numbers) else self.highest


def test_workers_killed_at_random_moments_lose_and_duplicate_nothing(database: Database, database_url: str) -> None:
    add_library(database, [f"{number}.jpg" for number in range(ASSETS)])
    follower = Follower(add_space(database).id)
    dice = random.Random(3)
    with nursery(database_url) as process:
        workers = [new_worker(process) for _ in range(WORKERS)]
        for _ in range(KILLS):
            time.sleep(dice.random() * 0.12)  # the moment of the kill is what varies here
            with suppress(ProcessLookupError):  # one that found nothing left to do
                os.kill(workers.pop(dice.randrange(WORKERS)), signal.SIGKILL)
            workers.append(new_worker(process))
            balanced(database)
            follower.look(database)
        until(lambda: balanced(database).pending + balanced(database).working == 0, 60, lambda: balanced(database))
        counts = balanced(database)
    follower.look(database)
    unlucky = ASSETS // 17
    assert (counts.indexed, counts.quarantined) == (ASSETS - unlucky, unlucky)
    with database.read() as connection:
        per_asset = connection.execute(
            select(asset.c.status, asset.c.id, func.count(segment.c.id))
            .select_from(asset.outerjoin(segment, segment.c.asset_id == asset.c.id))
            .group_by(asset.c.status, asset.c.id)
        ).all()
        images = [row.id for row in connection.execute(select(segment.c.id).where(segment.c.signal == "image"))]
        numbers = connection.scalars(select(embedding.c.sequence)).all()
        assert health.inspect(connection).healthy
        words = full_text.search_text(connection, "words", limit=10 * ASSETS)
    assert {(status, number) for status, _, number in per_asset} == {("indexed", 2), ("quarantined", 0)}
    assert len(numbers) == len(set(numbers)) == 2 * counts.indexed
    assert follower.seen == Counter(images)
    assert len(words) == 2 * counts.indexed
