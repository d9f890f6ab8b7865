"""Scans, workers, fillers and people on one catalogue at the same time: no deadlock, nothing out of place."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from support.catalog_world import add_library, add_space, claims_held, found, result, vector

from search.catalog import assets, embeddings, queue, spaces
from search.catalog.database import Database
from search.catalog.upkeep import health

NAMES = [f"{number}.jpg" for number in range(60)]
SECONDS = 3.0


def test_everyone_works_at_once_without_waiting_for_each_other_forever(database: Database) -> None:
    source = add_library(database, NAMES)
    one, two = add_space(database, "one"), add_space(database, "two")
    errors: list[BaseException] = []
    end = time.monotonic() + SECONDS

    def scan(dice: random.Random) -> None:
        files = [found(name, time=dice.choice([1, 1, 1, 2])) for name in dice.sample(NAMES, 50)]
        with database.write() as connection:
            seen = assets.sync_assets(connection, source.id, files).ids
        with database.write() as connection:
            assets.mark_missing(connection, source.id, seen, before=1e12)

    def index(dice: random.Random) -> None:
        owner = f"worker {dice.random()}"
        with database.write() as connection:
            claimed = queue.claim(connection, owner, 8, 60)
        with database.write() as connection:
            queue.renew(connection, claims_held(connection, owner), 60)
        with database.write() as connection:
            queue.hold(connection, claims_held(connection, owner), [record.id for record in claimed])
            for record in claimed[:1]:
                queue.quarantine(connection, claims_held(connection, owner), record.id, "unlucky")
            queue.finish(
                connection, claims_held(connection, owner), [result(record.id, [one.id]) for record in claimed[1:]]
            )

    def fill(_dice: random.Random) -> None:
        with database.read() as connection:
            lacking = embeddings.missing_embeddings(connection, two.id, ["image"])
        with database.write() as connection:
            embeddings.add_embeddings(connection, two.id, [(record.id, vector(record.id)) for record in lacking])

    def meddle(dice: random.Random) -> None:
        with database.write() as connection:
            spaces.activate_space(connection, dice.choice(["one", "two"]))
        # A transaction of its own, as everywhere: whoever finishes assets locks them before the spaces.
        with database.write() as connection:
            queue.retry_quarantined(connection)
        with database.write() as connection:
            listed = assets.list_assets(connection, limit=100)
            assets.delete_assets(connection, [record.id for record in dice.sample(listed, min(2, len(listed)))])

    def again_and_again(act: Callable[[random.Random], None], seed: int) -> None:
        dice = random.Random(seed)
        try:
            while time.monotonic() < end:
                act(dice)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            errors.append(error)

    actors = [scan, scan, index, index, index, fill, fill, meddle]
    threads = [threading.Thread(target=again_and_again, args=(act, seed)) for seed, act in enumerate(actors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with database.read() as connection:
        found_health = health.inspect(connection)
        counts = assets.counts(connection)
    assert found_health.healthy, found_health
    assert counts.indexed + counts.pending + counts.working + counts.quarantined + counts.missing == counts.known
