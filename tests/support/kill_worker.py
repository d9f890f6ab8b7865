"""A worker for `test_worker_kill.py` and `tests/chaos`: indexes until killed, with real decoders, a space of words.

Run as `python kill_worker.py DATABASE_URL HOME [CLOCK]`; prints a line when it begins to work. CLOCK is a file that
says by how many seconds this process's clock is wrong, and may change at any time.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from indexer.decoding.decoder import DecoderPool
from indexer.ingest.worker import Worker
from search.catalog import spaces
from search.catalog.database import Database
from search.settings import Settings
from search.testing import WordSpace


def set_wrong(clock: Path) -> None:
    """From now on this process's clock is wrong by what the file says."""
    true_time = time.time
    time.time = lambda: true_time() + float(clock.read_text())


def main(url: str, home: str, clock: str = "") -> None:
    """Work until killed."""
    if clock:
        set_wrong(Path(clock))
    settings = Settings.load(
        environment={},
        home=Path(home),
        settle_seconds=0.0,
        lease_seconds=1.5,
        batch_assets=4,
        max_attempts=20,  # the files are not to blame for what this test does
    )
    database = Database.open(url)
    with database.read() as connection:
        (space,) = spaces.list_spaces(connection)
    with DecoderPool(settings, size=1) as pool:
        worker = Worker.here(
            settings, database, lambda: {space.id: WordSpace()}, pool.decode, concurrency=1, clock=time.time
        )
        print("working", flush=True)
        worker.run(threading.Event())


if __name__ == "__main__":
    main(*sys.argv[1:])
