"""Compares new files with saved searches and tells webhooks, in threads beside whatever the process does.

Any number of processes may do both: the catalogue says whose turn it is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from search.alerts.matcher import Matcher
from search.alerts.webhooks import SENT_TOGETHER, Courier
from search.engine import SearchEngine


@contextmanager
def alerts_running(engine: SearchEngine) -> Iterator[None]:
    """Until the block ends."""
    stop = threading.Event()
    matcher = Matcher(engine.settings, engine.database, lambda: engine.active_space)
    courier = Courier(engine.settings, engine.database)
    threads = [
        threading.Thread(target=work.run, args=(stop,), name=name, daemon=True)
        for name, work in (("saved-searches", matcher), ("webhooks", courier))
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def alert_once(engine: SearchEngine) -> None:
    """Compare everything new and send everything due, once; for libraries without a running service."""
    engine.catch_up()
    matcher = Matcher(engine.settings, engine.database, lambda: engine.active_space)
    while matcher.step():
        continue
    courier = Courier(engine.settings, engine.database)
    with ThreadPoolExecutor(SENT_TOGETHER, "webhook") as threads:
        while courier.step(threads):
            continue
