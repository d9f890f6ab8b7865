"""Fixtures that many tests share: a home folder, settings, and an empty catalogue on each database.

Keep it light: what loads a model or starts a server belongs beside the tests that need it.
"""

from __future__ import annotations

import gc
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from search.catalog.database import Database
from search.catalog.models import metadata
from search.settings import Settings

if TYPE_CHECKING:
    from support.service_world import World

POSTGRES_URL = os.environ.get("MEDLEY_TEST_POSTGRES_URL") or "postgresql://postgres@127.0.0.1:5432/postgres"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: where processes share the files, no long one is left to the last of them."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Libraries that were imported until now are no garbage: looking for some among them took a fifth of the tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 20)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home folder for Medley."""
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def settings(home: Path) -> Settings:
    """The defaults, with everything in `home`, whatever the environment says.

    But for `vision`: captions of every picture are a second's work each, and tests about them have senses of their own.
    """
    return Settings.load(environment={}, home=home, vision=False)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty, migrated catalogue; every test that takes it runs on both databases."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open, empty, migrated catalogue; every test that takes it runs on both databases."""
    database = Database.open(database_url)
    yield database
    database.close()


@pytest.fixture
def sqlite_url(home: Path, migrated_sqlite: Path) -> str:
    """A fresh SQLite catalogue in `home`."""
    shutil.copy(migrated_sqlite, home / "medley.sqlite")
    return f"sqlite:///{home / 'medley.sqlite'}"


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy: migrating anew for every test would take longer than most tests."""
    path = tmp_path_factory.mktemp("catalogue") / "empty.sqlite"
    database = Database.open(f"sqlite:///{path}")
    database.migrate()
    database.close()
    return path


@pytest.fixture
def postgresql_url(migrated_postgresql: str) -> str:
    """The session's PostgreSQL catalogue, emptied, with its counters where they were born."""
    # Row by row: TRUNCATE writes every table and index anew, which takes half a second.
    tables = [table for table in reversed(metadata.sorted_tables) if table.name != "counter"]
    statements = [f"DELETE FROM {table.name}" for table in tables]
    statements += [f"ALTER SEQUENCE {table.name}_id_seq RESTART" for table in tables if "id" in table.columns]
    statements.append("DELETE FROM counter WHERE name = 'uploads'")
    statements.append("UPDATE counter SET value = 0 WHERE name <> 'identity'")
    with psycopg.connect(migrated_postgresql, autocommit=True) as connection:
        connection.execute("; ".join(statements))
    return migrated_postgresql


@pytest.fixture(scope="session")
def migrated_postgresql(empty_postgresql_urls: PostgresqlScratch) -> str:
    """A migrated scratch database of this session."""
    url = empty_postgresql_urls.create()
    database = Database.open(url)
    database.migrate()
    database.close()
    return url


class PostgresqlScratch:
    """Makes scratch databases on the test server, and drops them."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._names: list[str] = []

    def create(self, encoding: str = "UTF8") -> str:
        """The URL of a new, empty database."""
        name = f"medley_test_{uuid.uuid4().hex[:12]}"
        places = "" if encoding == "UTF8" else " LC_COLLATE 'C' LC_CTYPE 'C'"
        self._run(f"CREATE DATABASE {{}} TEMPLATE template0 ENCODING '{encoding}'{places}", name)
        self._names.append(name)
        # Nothing here must survive a power cut, and waiting for the disk is most of a small test.
        self._run("ALTER DATABASE {} SET synchronous_commit = off", name)
        return make_url(self._server).set(database=name).render_as_string(hide_password=False)

    def drop_all(self) -> None:
        """Also with connections that a killed process left behind."""
        for name in self._names:
            self._run("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _run(self, statement: str, name: str) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def empty_postgresql_urls() -> Iterator[PostgresqlScratch]:
    """Scratch databases. Skips where no server answers, but fails in CI, where one is required."""
    try:
        psycopg.connect(POSTGRES_URL, connect_timeout=3).close()
    except psycopg.OperationalError as error:
        reason = f"no PostgreSQL at {POSTGRES_URL} (set MEDLEY_TEST_POSTGRES_URL): {error}"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(reason)
        pytest.skip(reason)
    scratch = PostgresqlScratch(POSTGRES_URL)
    yield scratch
    scratch.drop_all()


@pytest.fixture
def world(settings: Settings, sqlite_url: str, tmp_path: Path) -> Iterator[World]:
    """A small library behind a service, with a space that needs no model."""
    from support.service_world import World  # only tests of the service pay for its imports

    world = World(settings, sqlite_url, tmp_path / "media")
    yield world
    world.service.close()


@pytest.fixture
def client(world: World) -> Iterator[httpx.Client]:
    """A client of the world's service, which runs on a free port of loopback."""
    from support.service_world import running

    with running(world.service) as client:
        yield client
