"""The way into the catalogue: connections, transactions (the only commit), migrations.

Knows the engine and the migrations; knows no table. Whatever SQLAlchemy or a driver raises inside a
transaction leaves it as CatalogError with one plain sentence.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from sqlalchemy import URL, Engine, make_url
from sqlalchemy import Connection as Connection  # the one name of SQLAlchemy that leaves this package
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from search.catalog import sequence, upgrading
from search.catalog.connections import BUSY_SECONDS, make_engines
from search.errors import CatalogError
from search.settings import Settings


class Database:
    """One catalogue. Threads may share it; a spawned process opens its own."""

    def __init__(self, reading: Engine, writing: Engine) -> None:
        self._reading = reading
        self._writing = writing
        # Writers of one process queue here, fairly: SQLite's own waiting is a lottery of sleeps.
        self._writer = threading.Lock()
        self._local = threading.local()

    @classmethod
    def open(cls, where: Settings | str) -> Self:
        """From the settings or an SQLAlchemy URL; connects lazily. Raises CatalogError."""
        try:
            return cls(*make_engines(_url(where)))
        except (ArgumentError, NoSuchModuleError):
            raise CatalogError("database_url is no SQLAlchemy URL of SQLite or PostgreSQL") from None

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._reading.dialect.name

    @property
    def _postgresql(self) -> bool:
        return self._reading.dialect.name == "postgresql"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the catalogue and changes nothing."""
        with self._translated(), self._reading.connect() as connection:
            yield connection
            if self._postgresql:
                # Nothing to commit; but at a rollback psycopg forgets its prepared statements.
                connection.commit()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that commits at the end, or leaves no trace when the body raises."""
        if getattr(self._local, "writing", False):
            raise CatalogError("a write to the catalogue began inside another one")
        with self._translated(), self._turn(), self._writing.begin() as connection:
            try:
                yield connection
                sequence.settle(connection)
            finally:
                sequence.forget_put_off(connection)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        self._local.writing = True
        try:
            if self._postgresql:
                yield
            else:
                with self._writer:
                    yield
        finally:
            self._local.writing = False

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, self._reading.dialect.loaded_dbapi.Error) as error:  # COPY raises the driver's own
            raise CatalogError(self._explain(error)) from error

    def _explain(self, error: Exception) -> str:
        if isinstance(error, PoolTimeoutError):
            return "the catalogue is overloaded: no connection became free"
        if isinstance(error, SQLAlchemyError) and not isinstance(error, DBAPIError):
            return f"the catalogue could not do this: {_line(error)}"
        reason = _line(error.orig if isinstance(error, DBAPIError) else error)
        if "database is locked" in reason:
            return f"the catalogue is busy: another process has been writing for {BUSY_SECONDS} seconds"
        where = self._reading.url.render_as_string(hide_password=True)
        return f"the catalogue at {where} refused: {reason}"

    def migrate(self, revision: str = "head") -> None:
        """Bring the tables to this version's form; quick when they are. Safe when many processes start at once."""
        with self._translated():
            with self._reading.connect() as connection:
                if upgrading.is_current(connection, revision):
                    return
            with self.write() as connection:
                upgrading.upgrade(connection, revision)

    def close(self) -> None:
        """Let go of every connection."""
        self._reading.dispose()
        self._writing.dispose()


def _url(where: Settings | str) -> URL:
    if isinstance(where, Settings) and not where.database_url:
        # Not by parsing text: a home folder may hold any character.
        return URL.create("sqlite", database=str(where.home / "medley.sqlite"))
    url = make_url(where.database_url if isinstance(where, Settings) else where)
    # The plain scheme may pick psycopg 2; we ship psycopg 3.
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgresql", "postgres") else url


def _line(error: BaseException | None) -> str:
    """The first line of what the driver says: the rest is SQL and parameters, which may be private."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
