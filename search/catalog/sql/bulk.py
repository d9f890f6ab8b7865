"""Many rows at once: `executemany` on SQLite, `COPY` on PostgreSQL, and columns of numbers to NumPy.

Measured in the design: 255k and 272k rows a second, against 10k through an ORM. Knows no table's meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Float,
    Integer,
    LargeBinary,
    Select,
    String,
    Table,
    any_,
    bindparam,
    func,
    literal_column,
    select,
    text,
)

from search.arrays import Int64Array

ValueT = TypeVar("ValueT")

# Binary COPY takes each value as exactly the column's type. Order matters: BigInteger is an Integer.
_POSTGRESQL_TYPES: tuple[tuple[type, str], ...] = (
    (BigInteger, "int8"),
    (Integer, "int4"),
    (Float, "float8"),
    (Boolean, "bool"),
    (LargeBinary, "bytea"),
    (String, "text"),
)

_UNCHECKED_FROM = 1000  # rows; plans are made anew afterwards, which small batches would not earn
_MAY_GO_UNCHECKED = text(
    "SELECT current_setting('is_superuser') = 'on' AND current_setting('session_replication_role') = 'origin' "
    "AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass(:name) AND NOT tgisinternal)"
)


def insert_rows(
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    references_hold: bool = False,
) -> None:
    """Insert tuples whose values stand in the order of `columns`.

    `references_hold`: what they refer to was made or locked by this transaction, so that foreign keys need no check.
    """
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_insert_statement(table, tuple(columns)), list(rows))
    elif references_hold and len(rows) >= _UNCHECKED_FROM:
        with _unchecked(connection, table):
            _copy(connection, table, columns, rows)
    else:
        _copy(connection, table, columns, rows)


@cache
def _insert_statement(table: Table, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def _copy(connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    # Core statements begin the transaction by themselves; the driver's own cursor must not come first.
    driver: Any = connection.connection.driver_connection
    names = ", ".join(columns)
    with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({names}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(_types(table, tuple(columns)))
        for row in rows:
            copy.write_row(row)


@contextmanager
def _unchecked(connection: Connection, table: Table) -> Iterator[None]:
    """Foreign keys go unchecked, where PostgreSQL lets us: they take half of its time for an imported segment.

    It lets superusers only. Triggers do not fire either, so a table on which an operator has made some is left alone.
    """
    if not connection.scalar(_MAY_GO_UNCHECKED, {"name": table.name}):
        yield
        return
    # Until the transaction ends, at the latest: an error ends it, too.
    connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
    yield
    connection.exec_driver_sql("SET LOCAL session_replication_role = origin")


def update_rows(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Sequence[Any]], **same: Any
) -> None:
    """Set `columns[1:]` to these values in the rows that `columns[0]` (a key) names; and `same` in all of them.

    One statement on PostgreSQL, with an array a column: a statement a row takes longer.
    """
    if not rows:
        return
    key, *others = columns
    fixed = "".join(f", {name} = {{mark}}" for name in same)
    if connection.dialect.name == "sqlite":
        places = ", ".join(f"{name} = ?" for name in others) + fixed.format(mark="?")
        values = [(*row[1:], *same.values(), row[0]) for row in rows]
        connection.exec_driver_sql(f"UPDATE {table.name} SET {places} WHERE {key} = ?", values)
        return
    places = ", ".join(f"{name} = given.{name}" for name in others) + fixed.format(mark="%s")
    types = _types(table, tuple(columns))
    arrays = ", ".join(f"%s::{of_column}[]" for of_column in types)
    statement = (
        f"UPDATE {table.name} SET {places} FROM unnest({arrays}) AS given ({', '.join(columns)}) "
        f"WHERE {table.name}.{key} = given.{key}"
    )
    given = [
        [None if value is None else float(value) for value in column] if of_column == "float8" else list(column)
        for of_column, column in zip(types, zip(*rows, strict=True), strict=True)
    ]
    connection.exec_driver_sql(statement, (*same.values(), *given))


@cache
def _types(table: Table, columns: tuple[str, ...]) -> list[str]:
    return [_postgresql_type(table.columns[name].type) for name in columns]


def _postgresql_type(column_type: object) -> str:
    return next(name for kind, name in _POSTGRESQL_TYPES if isinstance(column_type, kind))


def new_ids(connection: Connection, table: Table, count: int) -> range | list[int]:
    """Ids never used before, for rows that are about to be inserted with them, in a write transaction."""
    if connection.dialect.name == "sqlite":
        # AUTOINCREMENT remembers the highest id ever used, also one that we gave ourselves.
        statement = "SELECT seq FROM sqlite_sequence WHERE name = ?"
        last = connection.exec_driver_sql(statement, (table.name,)).scalar() or 0
        return range(last + 1, last + 1 + count)
    drawn = select(func.nextval(f"{table.name}_id_seq")).select_from(func.generate_series(1, count))
    return sorted(connection.scalars(drawn))


def fetch_ids(connection: Connection, statement: Select[int]) -> Int64Array:
    """The one integer column of `statement` as `(n,) int64`, without making a Python object per row."""
    column = statement.subquery("chosen").c[0]
    if connection.dialect.name == "sqlite":
        joined = connection.scalar(select(func.group_concat(column, ",")))
        return np.fromstring(joined, np.int64, sep=",") if joined else np.empty(0, np.int64)
    # Each id as eight big-endian bytes, all in one value.
    packed = connection.scalar(select(func.string_agg(func.int8send(column), literal_column("''::bytea"))))
    return np.frombuffer(packed or b"", ">i8").astype(np.int64)


def fetch_rows(connection: Connection, statement: str, parameters: Sequence[Any]) -> Sequence[Sequence[Any]]:
    """All rows as plain tuples, straight from the driver, in a third of the time of a Core statement."""
    if not connection.in_transaction():
        connection.begin()
    driver: Any = connection.connection.driver_connection
    rows: Sequence[Sequence[Any]] = driver.execute(statement, parameters).fetchall()
    return rows


def among(connection: Connection, column: Column[ValueT], values: Sequence[ValueT]) -> ColumnElement[bool]:
    """Whether the column has one of these values, of which there may be thousands.

    One array on PostgreSQL: a parameter a value takes several times as long on this side, and a statement that was
    prepared puts them together anew for each row that it looks at.
    """
    if connection.dialect.name == "sqlite":
        return column.in_(values)
    return column == any_(bindparam(None, list(values), ARRAY(column.type)))


def in_chunks(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    """Pieces of at most `size`: a statement holds at most 65,535 parameters on PostgreSQL."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
