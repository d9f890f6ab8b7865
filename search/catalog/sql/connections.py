"""How connections to the two databases are made and set up.

Knows pragmas, pools and drivers; knows no table.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from search import private_files
from search.catalog.sql.globs import folded
from search.errors import CatalogError
from search.query.conditions import EARTH_RADIUS_METERS
from search.words import separated

BUSY_SECONDS = 30  # how long a writer of SQLite waits for the writer before it
CONNECT_SECONDS = 10
IDLE_SECONDS = 1.0  # a connection unused for this long is tried before it is used again
# Connections kept, and how many more at most. Of PostgreSQL's usual hundred, a process takes at most 23.
_FILE_POOL = (8, 24)
_READ_POOL = (5, 10)
_WRITE_POOL = (3, 5)
_REPEATABLE_READ = 3  # psycopg.IsolationLevel, without importing psycopg where SQLite serves
WRITE_OPTION = "medley_write"  # execution option of connections that are going to write

_SetUp = Callable[[Any, Any], None]  # a driver's new connection, and the pool's record of it


def make_engines(url: URL) -> tuple[Engine, Engine]:
    """One engine to read with and one to write with; nothing is connected yet. Raises CatalogError."""
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            raise CatalogError("the catalogue needs a file: processes share it, so SQLite can't keep it in memory")
        _make_file(Path(url.database))
        arguments = {"timeout": BUSY_SECONDS, "check_same_thread": False}
        engine = _engine(url, arguments, _FILE_POOL, _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine, engine.execution_options(**{WRITE_OPTION: True})
    if url.get_backend_name() == "postgresql":
        reading = _postgresql_engine(url, _READ_POOL, _set_up_reading)
        return reading, _postgresql_engine(url, _WRITE_POOL, _set_up_postgresql)
    raise CatalogError(f"the catalogue lives in SQLite or PostgreSQL, not in {url.get_backend_name()!r}")


def _make_file(path: Path) -> None:
    try:
        if not path.parent.exists():
            private_files.make_folder(path.parent)
        private_files.make_file(path)  # its journals get its rights
    except OSError as error:
        raise CatalogError(f"{path}: can't be made to hold the catalogue: {error.strerror}") from None


def _postgresql_engine(url: URL, pool: tuple[int, int], set_up: _SetUp) -> Engine:
    arguments = {"connect_timeout": CONNECT_SECONDS, "application_name": "medley", "client_encoding": "utf8"}
    try:
        engine = _engine(url, arguments, pool, set_up)
    except ModuleNotFoundError as missing:  # SQLAlchemy loads the driver
        told = f"PostgreSQL needs {missing.name}, which is not installed: pip install 'medley-search[postgresql]'"
        raise CatalogError(told) from None
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", partial(_check_idle, engine.dialect.loaded_dbapi.Error))
    return engine


def _engine(url: URL, arguments: dict[str, Any], pool: tuple[int, int], set_up: _SetUp) -> Engine:
    engine = create_engine(url, connect_args=arguments, pool_size=pool[0], max_overflow=pool[1])
    event.listen(engine, "connect", set_up)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver must not begin transactions by itself: it would begin them without IMMEDIATE, and a
    # reader that turns writer fails at once when another process wrote in between.
    connection.isolation_level = None
    _use_wal(connection)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA cache_size = -16384")  # KiB, of each connection; reads go through the map below
    connection.execute("PRAGMA mmap_size = 1073741824")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.create_function("medley_distance", 4, _distance, deterministic=True)
    connection.create_function("medley_folded", 2, folded, deterministic=True)
    connection.create_function("medley_separated", 1, separated, deterministic=True)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switching a new file to WAL ignores the busy timeout, so processes that start together must retry."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    # Straight to the driver: every search passes here, and a Core statement costs 30 microseconds.
    driver: Any = connection.connection.driver_connection
    driver.execute("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITE_OPTION) else "BEGIN")


def _set_up_postgresql(connection: Any, _record: Any) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        # It would take most libraries, and then refuse one file for a letter in its name.
        raise CatalogError(
            f"the database {connection.info.dbname!r} keeps text as {encoding}, and names and words come in every "
            f"script: make it anew with CREATE DATABASE {connection.info.dbname} ENCODING 'UTF8' TEMPLATE template0"
        )
    # Lists as binary arrays, of values of one type: as text, psycopg's default, one of bytes takes nine times as long.
    from psycopg.types.array import ListBinaryDumper

    connection.adapters.register_dumper(list, ListBinaryDumper)
    connection.autocommit = True
    # Compiling a plan takes longer than any of our queries.
    connection.execute("SET jit = off")
    connection.autocommit = False


def _set_up_reading(connection: Any, record: Any) -> None:
    _set_up_postgresql(connection, record)
    # Set once here: changing the level at each checkout takes as long as a small query.
    connection.isolation_level = _REPEATABLE_READ
    connection.read_only = True


def _note_use(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["used_at"] = time.monotonic()


def _check_idle(driver_error: type[Exception], connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
    """A server that restarted must not fail the next request; asking it before each would slow them all."""
    if time.monotonic() - record.info.get("used_at", math.inf) < IDLE_SECONDS:
        return
    try:
        connection.execute("SELECT 1")
        connection.rollback()
    except driver_error as error:
        raise DisconnectionError from error  # the pool then tries a new connection


def _distance(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float | None:
    """Great-circle distance in meters (haversine), None where a place is unknown."""
    if latitude is None or longitude is None:
        return None
    a, b = math.radians(latitude), math.radians(other_latitude)
    half_latitude, half_longitude = (b - a) / 2, math.radians(other_longitude - longitude) / 2
    h = math.sin(half_latitude) ** 2 + math.cos(a) * math.cos(b) * math.sin(half_longitude) ** 2
    return 2 * EARTH_RADIUS_METERS * math.asin(math.sqrt(min(1.0, h)))
