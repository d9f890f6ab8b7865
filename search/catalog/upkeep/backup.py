"""The whole catalogue as one portable stream: dumped from either database, loaded into either.

Derived data (the full-text index) is left out; it is rebuilt while loading. The stream is a
sequence of frames, each a 4-byte little-endian length and that many bytes of MessagePack: first a
header, then for each table its name with its columns, and batches of its rows; last an empty frame, so
that a stream cut short is noticed. Dumping and loading hold one batch in memory, however large the catalogue is.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Collection, Iterator
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Table, func, inspect, select, text, update

from search.catalog.database import Database
from search.catalog.models import api_key, counter, metadata, rate_bucket
from search.catalog.sequence import forget_uploads_mark
from search.catalog.sql.bulk import insert_rows
from search.catalog.upkeep import migrating
from search.errors import CatalogError

FORMAT = "medley-catalogue-1"
_BATCH_ROWS = 500
_MAX_FRAME_BYTES = 1 << 30  # a length beyond this is damage, not data
_LENGTH = struct.Struct("<I")
# Parents before children. How often callers asked lately is nothing to keep.
_TABLES = tuple(table for table in metadata.sorted_tables if table is not rate_bucket)


class Header(Struct, frozen=True, kw_only=True):
    """The first frame."""

    format: str
    revision: str
    last_ids: dict[str, int]  # by table: the highest id ever given, so that none is given again


class TableStart(Struct, frozen=True, tag="table"):
    """Announces a table: the rows that follow are its."""

    name: str
    columns: list[str]


class Rows(Struct, frozen=True, tag="rows"):
    """A batch of rows of the table announced last."""

    rows: list[list[Any]]


def dump(database: Database, file: BinaryIO) -> int:
    """Write the catalogue as of one moment to `file`; returns the number of rows. Writers continue meanwhile.

    Raises CatalogError, also where there are no tables yet.
    """
    with database.read() as connection:
        revision = migrating.current(connection)
        if revision is None:
            raise CatalogError("there is nothing to back up: the catalogue has no tables yet")
        _write(file, Header(format=FORMAT, revision=revision, last_ids=_last_ids(connection)))
        written = sum(_dump_table(connection, table, file) for table in _TABLES)
    file.write(_LENGTH.pack(0))
    return written


def _dump_table(connection: Connection, table: Table, file: BinaryIO) -> int:
    _write(file, TableStart(str(table.name), [str(name) for name in list(table.columns.keys())]))
    written = 0
    streaming = connection.execution_options(stream_results=True, max_row_buffer=_BATCH_ROWS)
    for batch in streaming.execute(select(table)).partitions(_BATCH_ROWS):
        _write(file, Rows([list(row) for row in batch]))
        written += len(batch)
    return written


def check(file: BinaryIO) -> None:
    """Read a dump to its end without loading it. Raises CatalogError where it is damaged or cut short."""
    frames = _frames(file)
    _checked_header(next(frames, b""))
    for frame in frames:
        _decode(frame, TableStart | Rows)


def load(database: Database, file: BinaryIO, *, with_keys: bool = True) -> int:
    """Fill an empty catalogue from a dump; returns the number of rows. All of it or nothing.

    A dump of an older Medley is loaded into the tables of its time and then migrated. Raises
    CatalogError: the file is damaged or cut short, or the catalogue is not empty.
    """
    frames = _frames(file)
    header = _checked_header(next(frames, b""))
    _make_tables(database, header.revision)
    with database.write() as connection:
        there = set(inspect(connection).get_table_names())
        for table in (table for table in _TABLES if table.name in there):
            if table is not counter and connection.scalar(select(func.count()).select_from(table)):
                raise CatalogError("the catalogue is not empty: restore into a new home or database")
        connection.execute(counter.delete())
        loaded = _load_rows(connection, frames, () if with_keys else (str(api_key.name),))
        _set_last_ids(connection, header.last_ids)
        # Another life begins: snapshots of partitions that followed the old one are not this one's.
        identity = update(counter).where(counter.c.name == "identity")
        connection.execute(identity.values(value=secrets.randbits(62)))
        forget_uploads_mark(connection)  # they lie in another folder now
    database.migrate()
    return loaded


def _make_tables(database: Database, revision: str) -> None:
    with database.read() as connection:
        present = migrating.current(connection)
    if present is None:
        database.migrate(revision)
    elif present != revision:
        raise CatalogError(f"the catalogue has revision {present}, the backup {revision}: restore into a new home")


def _checked_header(frame: bytes) -> Header:
    header: Header = _decode(frame, Header)
    if header.format != FORMAT:
        raise CatalogError(f"this is not a backup that this version can read (its format is {header.format!r})")
    if header.revision not in migrating.revisions():
        raise CatalogError(f"the backup has revision {header.revision}: upgrade medley")
    return header


def _load_rows(connection: Connection, frames: Iterator[bytes], left_out: Collection[str]) -> int:
    loaded, start = 0, TableStart("", [])
    for frame in frames:
        part = _decode(frame, TableStart | Rows)
        if isinstance(part, TableStart):
            start = part
            continue
        if start.name in left_out:
            continue
        table = metadata.tables.get(start.name)
        if table is None or any(name not in table.columns for name in start.columns):
            raise CatalogError(f"the backup holds a table {start.name!r} with unknown columns")
        try:
            insert_rows(connection, table, tuple(start.columns), [tuple(row) for row in part.rows])
        except (TypeError, ValueError, OverflowError) as error:
            raise CatalogError(f"the backup is damaged: {error}") from None
        loaded += len(part.rows)
    return loaded


def _last_ids(connection: Connection) -> dict[str, int]:
    if connection.dialect.name == "sqlite":
        rows = connection.execute(text("SELECT name, seq FROM sqlite_sequence"))
    else:
        rows = connection.execute(
            text(
                "SELECT replace(sequencename, '_id_seq', ''), last_value FROM pg_sequences "
                "WHERE schemaname = current_schema() AND last_value IS NOT NULL"
            )
        )
    known = metadata.tables
    return {name: last for name, last in rows if name in known}


def _set_last_ids(connection: Connection, last_ids: dict[str, int]) -> None:
    for name, last in last_ids.items():
        if name not in metadata.tables or last < 1:
            continue
        if connection.dialect.name == "sqlite":
            connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": name})
            connection.execute(
                text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)"), {"name": name, "last": last}
            )
        else:
            connection.execute(text("SELECT setval(:name, :last)"), {"name": f"{name}_id_seq", "last": last})


def _write(file: BinaryIO, part: Struct) -> None:
    data = msgspec.msgpack.encode(part)
    file.write(_LENGTH.pack(len(data)) + data)


def _frames(file: BinaryIO) -> Iterator[bytes]:
    """The frames up to the empty one at the end."""
    while length := _LENGTH.unpack(_exactly(file, _LENGTH.size))[0]:
        if length > _MAX_FRAME_BYTES:
            raise CatalogError("the backup is damaged: a part of it claims to be larger than any can be")
        yield _exactly(file, length)


def _exactly(file: BinaryIO, size: int) -> bytes:
    pieces = bytearray()
    while len(pieces) < size:
        piece = file.read(size - len(pieces))
        if not piece:
            raise CatalogError("the backup is cut short")
        pieces += piece
    return bytes(pieces)


def _decode(frame: bytes, kind: Any) -> Any:
    try:
        return msgspec.msgpack.decode(frame, type=kind)
    except msgspec.DecodeError as error:
        raise CatalogError(f"the backup is damaged: {error}") from None
