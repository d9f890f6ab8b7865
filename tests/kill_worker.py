"""A worker for `test_worker_kill.py`: indexes until killed, with real decoders and a space of words.

Run as `python kill_worker.py DATABASE_URL HOME`; prints a line when it begins to work.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from word_space import WordSpace

from indexer.decoder import DecoderPool
from indexer.worker import Worker
from search.catalog import spaces
from search.catalog.database import Database
from search.settings import Settings


def main(url: str, home: str) -> None:
    """Work until killed."""
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
        worker = Worker(settings, database, lambda: {space.id: WordSpace()}, pool.decode, concurrency=1)
        print("working", flush=True)
        worker.run(threading.Event())


if __name__ == "__main__":
    main(*sys.argv[1:])
