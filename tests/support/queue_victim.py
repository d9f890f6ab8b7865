"""A process to be killed: indexes a make-believe library through the queue. Used by test_queue_kill.py.

Each line on standard input makes one worker by forking (nothing has started a thread or opened a
database yet) and prints its process id; so a worker starts in milliseconds, not in a second.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time

from search.catalog import assets, queue
from search.catalog.database import Database
from support.catalog_world import claims_held, result

LEASE_SECONDS = 0.4
BATCH = 4


def work(url: str) -> None:
    """Until nothing is pending or in anyone's hands."""
    database, owner = Database.open(url), f"victim {os.getpid()}"
    dice = random.Random(os.getpid())
    while True:
        with database.write() as connection:
            claimed = queue.claim(connection, owner, BATCH, LEASE_SECONDS)
        time.sleep(dice.random() * 0.01)
        with database.write() as connection:
            queue.finish(
                connection,
                claims_held(connection, owner),
                [result(record.id, [1], ("image", "text")) for record in claimed if record.id % 17],
            )
            time.sleep(dice.random() * 0.01)  # die here, too: written, but not committed
        for record in claimed:
            if record.id % 17 == 0:
                with database.write() as connection:
                    queue.quarantine(connection, claims_held(connection, owner), record.id, "an unlucky number")
        if not claimed:
            with database.read() as connection:
                counts = assets.counts(connection)
            if counts.pending + counts.working == 0:
                return
            time.sleep(0.02)


def main() -> None:
    """`python queue_victim.py URL`."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            work(sys.argv[1])
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
