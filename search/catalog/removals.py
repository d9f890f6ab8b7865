"""Removals: files that were removed from the library. Scans skip them until they are asked for again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, or_, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from search.catalog.models import removal
from search.catalog.sql.bulk import among, in_chunks

_CHUNK = 5000


def remember_removal(connection: Connection, source_id: int, path: bytes) -> None:
    """The file stays out of the library from now on."""
    make: Any = {"sqlite": sqlite_insert, "postgresql": postgresql_insert}[connection.dialect.name]
    connection.execute(make(removal).values(source_id=source_id, path_bytes=path).on_conflict_do_nothing())


def removed_paths(connection: Connection, source_id: int, paths: Sequence[bytes]) -> set[bytes]:
    """Those of `paths` that were removed."""
    removed: set[bytes] = set()
    for chunk in in_chunks(paths, _CHUNK):
        statement = select(removal.c.path_bytes).where(
            removal.c.source_id == source_id, among(connection, removal.c.path_bytes, chunk)
        )
        removed.update(connection.scalars(statement))
    return removed


def restore(connection: Connection, source_id: int, path: bytes) -> int:
    """Let scans find this file again, or everything below this folder; how many files that are."""
    folder = path.rstrip(b"/")
    inside = and_(removal.c.path_bytes >= folder + b"/", removal.c.path_bytes < folder + b"0")  # "0" follows "/"
    matching = and_(removal.c.source_id == source_id, or_(removal.c.path_bytes == path, inside))
    return len(connection.scalars(delete(removal).where(matching).returning(removal.c.path_bytes)).all())
