"""Token buckets that processes share, on both databases."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import insert, select, update

from api.http.rate_limit import RateLimiter
from search.catalog import keys
from search.catalog.database import Database
from search.catalog.models import rate_bucket


def test_replicas_keep_one_limit_together(database_url: str) -> None:
    """Six replicas, each with its own connections, hammered at once: together they let through what one would."""
    databases = [Database.open(database_url) for _ in range(6)]

    def limiter_of(database: Database) -> RateLimiter:
        def lend(name: str, wanted: int, per_second: float, burst: float, unspent: int) -> tuple[int, float]:
            with database.write() as connection:
                return keys.take_tokens(connection, name, wanted, per_second, burst, unspent)

        return RateLimiter(240, time.monotonic, lend)

    together = threading.Barrier(len(databases))

    def hammer(limiter: RateLimiter) -> int:
        together.wait()
        return sum(limiter.take("key 1") == 0.0 for _ in range(5000))

    started = time.monotonic()
    with ThreadPoolExecutor(len(databases)) as pool:
        passed = sum(pool.map(hammer, map(limiter_of, databases)))
    seconds = time.monotonic() - started
    for database in databases:
        database.close()
    assert 60 <= passed <= 60 + 4 * (seconds + 1), "a burst is a quarter of 240, four a second come after it"


def test_what_was_not_spent_goes_back_but_never_above_a_burst(database: Database) -> None:
    with database.write() as connection:
        assert keys.take_tokens(connection, "a", 10, 0.001, 15.0) == (10, 0.0)
    with database.write() as connection:
        taken, wait = keys.take_tokens(connection, "a", 10, 0.001, 15.0)
    assert taken == 5
    assert 9_000 < wait <= 10_000, "ten more at one in a thousand seconds"
    with database.write() as connection:
        assert keys.take_tokens(connection, "a", 20, 0.001, 15.0, unspent=500)[0] == 15


def test_a_clock_that_was_set_back_neither_fills_nor_blocks_a_bucket(database: Database) -> None:
    with database.write() as connection:
        keys.take_tokens(connection, "a", 15, 1.0, 15.0)
        connection.execute(update(rate_bucket).values(filled_at=rate_bucket.c.filled_at + 3600.0))
    with database.write() as connection:
        assert keys.take_tokens(connection, "a", 1, 1.0, 15.0)[0] == 0
        connection.execute(update(rate_bucket).values(filled_at=rate_bucket.c.filled_at - 3.0))
    with database.write() as connection:
        assert keys.take_tokens(connection, "a", 2, 1.0, 15.0)[0] == 2


def test_buckets_of_those_who_stay_away_are_forgotten(database: Database) -> None:
    with database.write() as connection:
        connection.execute(insert(rate_bucket), [{"name": f"old {n}", "tokens": 0, "filled_at": 1} for n in range(9)])
        keys.take_tokens(connection, "a", 1, 1.0, 15.0)
    with database.read() as connection:
        assert list(connection.scalars(select(rate_bucket.c.name))) == ["a"]
