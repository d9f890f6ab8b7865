"""Sources: the roots that hold media."""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from search.catalog.cleaning import clean_text
from search.catalog.models import asset, segment, source
from search.catalog.records import SourceRecord
from search.catalog.segments import lock_assets
from search.catalog.sequence import now_or, record_deletions, settle
from search.errors import NotFoundError

ACTIVE = "active"
PAUSED = "paused"


def add_source(
    connection: Connection, root: str, recursive: bool = True, watched: bool = True, now: float | None = None
) -> SourceRecord:
    """The source of this root; made when there is none. A known one takes on the new flags."""
    flags = {"recursive": recursive, "watched": watched}
    make: Any = {"sqlite": sqlite_insert, "postgresql": postgresql_insert}[connection.dialect.name]
    statement = (
        make(source)
        .values(root=clean_text(root), state=ACTIVE, created_at=now_or(now), **flags)
        .on_conflict_do_update(index_elements=[source.c.root], set_=flags)
        .returning(source)
    )
    return SourceRecord(*connection.execute(statement).one())


def list_sources(connection: Connection) -> list[SourceRecord]:
    """All, oldest first."""
    return [SourceRecord(*row) for row in connection.execute(select(source).order_by(source.c.id))]


def get_source(connection: Connection, source_id: int) -> SourceRecord:
    """Raises NotFoundError."""
    row = connection.execute(select(source).where(source.c.id == source_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no source {source_id}")
    return SourceRecord(*row)


def find_source(connection: Connection, root: str) -> SourceRecord | None:
    """The source of exactly this root."""
    row = connection.execute(select(source).where(source.c.root == clean_text(root))).one_or_none()
    return SourceRecord(*row) if row else None


def set_source_state(connection: Connection, source_id: int, state: str, reason: str | None = None) -> None:
    """`active`, or `paused` with the reason that people read."""
    values = {"state": state, "reason": clean_text(reason)}
    connection.execute(update(source).where(source.c.id == source_id).values(**values))


def mark_scanned(connection: Connection, source_id: int, now: float | None = None) -> None:
    """A scan of the whole source has ended."""
    connection.execute(update(source).where(source.c.id == source_id).values(scanned_at=now_or(now)))


def delete_source(connection: Connection, source_id: int) -> None:
    """Forget a source with its assets; the media themselves stay. Raises NotFoundError."""
    get_source(connection, source_id)
    settle(connection, only_if_showing=True)
    lock_assets(connection, asset.c.source_id == source_id)
    owned = select(asset.c.id).where(asset.c.source_id == source_id)
    gone = connection.scalars(delete(segment).where(segment.c.asset_id.in_(owned)).returning(segment.c.id)).all()
    connection.execute(delete(asset).where(asset.c.source_id == source_id))
    connection.execute(delete(source).where(source.c.id == source_id))
    record_deletions(connection, list(gone))


def rebase_source(connection: Connection, source_id: int, root: str) -> None:
    """The same files lie under another root now: every path follows. Raises NotFoundError."""
    before, after = get_source(connection, source_id).root, clean_text(root)
    connection.execute(update(source).where(source.c.id == source_id).values(root=after))
    columns = select(asset.c.id, asset.c.path, asset.c.path_bytes).where(asset.c.source_id == source_id)
    rows = [
        {"of_asset": row.id, "to": after + row.path[len(before) :], "to_bytes": _moved(row.path_bytes, before, after)}
        for row in connection.execute(columns)
    ]
    if rows:
        statement = update(asset).where(asset.c.id == bindparam("of_asset"))
        connection.execute(statement.values(path=bindparam("to"), path_bytes=bindparam("to_bytes")), rows)


def _moved(path: bytes, before: str, after: str) -> bytes:
    return os.fsencode(after) + path[len(os.fsencode(before)) :]
