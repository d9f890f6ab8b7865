"""Access to the catalogue: connections, transactions (the only commits), migrations.

Knows the engine and the migrations; knows no table. What SQLAlchemy or a driver raises inside a
transaction becomes a CatalogError with one plain sentence.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self, TypeVar

from sqlalchemy import URL, Engine, make_url
from sqlalchemy import Connection as Connection  # the only SQLAlchemy name that leaves this package
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, PendingRollbackError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from search.catalog import sequence
from search.catalog.sql.connections import BUSY_SECONDS, make_engines
from search.catalog.upkeep import migrating
from search.errors import CatalogError, CatalogLostError, QueryError
from search.settings import Settings

PATIENCE_SECONDS = 120.0  # for a database to come back: a restart of PostgreSQL takes seconds, a failover a minute
RETRY_SECONDS = 0.5

# SQLite's words for statements beyond its limits. Trying again would not help, and only filters make them so large.
_TOO_LARGE = ("Expression tree is too large", "too many SQL variables", "parser stack overflow")
_DAMAGED = ("malformed", "file is not a database")  # SQLITE_CORRUPT, SQLITE_NOTADB

ResultT = TypeVar("ResultT")


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
        """Open from the settings or a SQLAlchemy URL; connects lazily. Raises CatalogError for an unusable URL."""
        try:
            return cls(*make_engines(_url(where)))
        except (ArgumentError, NoSuchModuleError):
            raise CatalogError("database_url is not a SQLAlchemy URL of SQLite or PostgreSQL") from None

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._reading.dialect.name

    @property
    def _postgresql(self) -> bool:
        return self._reading.dialect.name == "postgresql"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only transaction that sees one state of the catalogue. Raises CatalogError."""
        with self._translated(), self._reading.connect() as connection:
            yield connection
            if self._postgresql:
                # Nothing to commit; but at a rollback psycopg forgets its prepared statements.
                connection.commit()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that commits at the end, or is rolled back when the body raises. Raises CatalogError."""
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
            if any(words in str(error) for words in _TOO_LARGE):
                raise QueryError("the filters are too large for the catalogue; leave some out") from error
            kind = CatalogLostError if self._postgresql and was_lost(error) else CatalogError
            raise kind(self._explain(error)) from error

    def patiently(self, work: Callable[[], ResultT], stopping: Callable[[], bool] = lambda: False) -> ResultT:
        """The result of `work`, which must be safe to begin again, for as long as it takes the database to come back.

        Raises CatalogLostError after PATIENCE_SECONDS, or when `stopping`; and whatever else `work` raises.
        """
        ends = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return work()
            except CatalogLostError:
                if stopping() or time.monotonic() > ends:
                    raise
            time.sleep(RETRY_SECONDS)

    def _explain(self, error: Exception) -> str:
        if isinstance(error, PoolTimeoutError):
            return "the catalogue is overloaded: no connection became free"
        if isinstance(error, SQLAlchemyError) and not isinstance(error, DBAPIError):
            return f"the catalogue could not do this: {_line(error)}"
        reason = _line(error.orig if isinstance(error, DBAPIError) else error)
        if "database is locked" in reason:
            return f"the catalogue is busy: another process has been writing for {BUSY_SECONDS} seconds"
        where = self._reading.url.render_as_string(hide_password=True)
        if any(words in reason for words in _DAMAGED):
            return (
                f"the catalogue at {where} is damaged ({reason}); load the last backup into an empty home "
                "(medley restore), or copy what can still be read with `.recover` of the program sqlite3"
            )
        return f"the catalogue at {where} refused: {reason}"

    def migrate(self, revision: str = "head") -> None:
        """Migrate the tables to `revision`; quick where nothing is left to do, and safe in many processes at once.

        Raises CatalogError.
        """
        with self._translated():
            with self._reading.connect() as connection:
                if migrating.is_current(connection, revision):
                    return
            with self.write() as connection:
                migrating.upgrade(connection, revision)

    def size_bytes(self) -> int:
        """What the catalogue takes on disk, without what only the database knows to be free. Raises CatalogError."""
        statement = (
            "SELECT pg_database_size(current_database())"
            if self._postgresql
            else "SELECT (page_count - freelist_count) * page_size "
            "FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()"
        )
        with self.read() as connection:
            return int(connection.exec_driver_sql(statement).scalar_one())

    def close(self) -> None:
        """Close all connections."""
        self._reading.dispose()
        self._writing.dispose()


def was_lost(error: Exception) -> bool:
    """Whether the connection broke, or none could be made: PostgreSQL restarts, or our backend was ended."""
    if isinstance(error, PendingRollbackError):
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    state = getattr(cause, "sqlstate", None) or ""
    # By name, because the driver is not imported where SQLite serves. Class 53: no memory, no disk; 57014: cancelled.
    broken = {"OperationalError", "InterfaceError"} & {kind.__name__ for kind in type(cause).__mro__}
    return bool(broken) and not state.startswith("53") and state != "57014"


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
