"""A PostgreSQL that cuts connections, as a restart does, in the middle of indexing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url
from support.library import Library
from support.pictures import save_coloured

from indexer.decoding.decoder import DecoderPool
from search.catalog.database import Database
from search.settings import Settings

FILES = 40


@pytest.fixture
def library(postgresql_url: str, settings: Settings, tmp_path: Path) -> Iterator[Library]:
    database = Database.open(postgresql_url)
    with DecoderPool(settings, size=2) as pool:
        yield Library(database, settings, tmp_path / "media", pool)
    database.close()


@contextmanager
def beside(disturb: Callable[[threading.Event], None]) -> Iterator[threading.Event]:
    """Set what this gives, and `disturb` runs in a thread, until the event that it is handed."""
    begun, ended = threading.Event(), threading.Event()

    def run() -> None:
        begun.wait()
        if not ended.is_set():
            disturb(ended)

    thread = threading.Thread(target=run)
    thread.start()
    yield begun
    ended.set()
    begun.set()
    thread.join()


@pytest.fixture
def cuts(migrated_postgresql: str) -> Iterator[threading.Event]:
    """Set it, and every connection to the catalogue is cut again and again."""

    def cut(ended: threading.Event) -> None:
        with psycopg.connect(migrated_postgresql, autocommit=True) as connection:
            for _ in range(12):
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                if ended.wait(0.25):
                    return

    with beside(cut) as begun:
        yield begun


@pytest.fixture
def away(migrated_postgresql: str) -> Iterator[threading.Event]:
    """Set it, and nobody can connect for a while, twice: as while a server is started again."""
    url = make_url(migrated_postgresql)
    name = sql.Identifier(url.database or "")

    def leave(ended: threading.Event) -> None:
        elsewhere = url.set(database="postgres").render_as_string(hide_password=False)
        with psycopg.connect(elsewhere, autocommit=True) as connection:
            for _ in range(2):
                connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [url.database]
                )
                ended.wait(1.5)
                connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
                if ended.wait(1.0):
                    return

    with beside(leave) as begun:
        yield begun


@pytest.mark.postgres
def test_a_database_that_refuses_for_a_while_is_waited_for(library: Library, away: threading.Event) -> None:
    for number in range(FILES):
        save_coloured(library.root / f"{number}.png", number)
    library.scan()
    away.set()
    library.work()
    counts = library.database.patiently(library.counts)
    assert (counts.indexed, counts.quarantined, counts.pending) == (FILES, 0, 0)
    assert counts.segments == {"image": FILES}


@pytest.mark.postgres
def test_cut_connections_are_ridden_out_and_nothing_is_lost_or_doubled(library: Library, cuts: threading.Event) -> None:
    for number in range(FILES):
        save_coloured(library.root / f"{number}.png", number)
    library.scan()
    cuts.set()
    library.work()
    counts = library.database.patiently(library.counts)
    assert (counts.indexed, counts.quarantined, counts.pending) == (FILES, 0, 0)
    assert counts.segments == {"image": FILES}
