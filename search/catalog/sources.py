"""Sources: the roots that hold media."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from search.catalog.assets import delete_assets
from search.catalog.models import asset, job, segment, source
from search.catalog.records import SourceRecord
from search.catalog.segments import lock_assets
from search.catalog.sequence import now_or, record_deletions, settle
from search.catalog.sql.cleaning import clean_text
from search.catalog.states import AssetStatus, SourceState
from search.errors import NotFoundError


def add_source(
    connection: Connection,
    root: str,
    recursive: bool | None = None,
    watched: bool | None = None,
    excludes: str | None = None,
    now: float | None = None,
    profile: str | None = None,
) -> SourceRecord:
    """The source of this root; made when there is none, then recursive and watched unless told otherwise.

    A known one takes on the flags that are given; None leaves what it was.
    """
    flags = {"recursive": recursive, "watched": watched}
    given: dict[str, Any] = {name: flag for name, flag in flags.items() if flag is not None}
    new: dict[str, Any] = {name: True if flag is None else flag for name, flag in flags.items()}
    if excludes is not None:
        given["excludes"] = new["excludes"] = clean_text(excludes)
    if profile is not None:
        given["profile"] = new["profile"] = clean_text(profile)
    make: Any = {"sqlite": sqlite_insert, "postgresql": postgresql_insert}[connection.dialect.name]
    statement = make(source).values(root=clean_text(root), state=SourceState.ACTIVE, created_at=now_or(now), **new)
    statement = statement.on_conflict_do_update(
        index_elements=[source.c.root],
        set_=given or {"root": statement.excluded.root},  # without a change nothing would be returned
    )
    return SourceRecord(*connection.execute(statement.returning(source)).one())


def list_sources(connection: Connection) -> list[SourceRecord]:
    """All sources, oldest first."""
    return [SourceRecord(*row) for row in connection.execute(select(source).order_by(source.c.id))]


def get_source(connection: Connection, source_id: int) -> SourceRecord:
    """The source with this id. Raises NotFoundError."""
    row = connection.execute(select(source).where(source.c.id == source_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no source {source_id}")
    return SourceRecord(*row)


def find_source(connection: Connection, root: str) -> SourceRecord | None:
    """The source with exactly this root; None without one."""
    row = connection.execute(select(source).where(source.c.root == clean_text(root))).one_or_none()
    return SourceRecord(*row) if row else None


def set_source_state(connection: Connection, source_id: int, state: SourceState, reason: str | None = None) -> None:
    """Set a source to `active`, or to `paused` with a reason for people."""
    values = {"state": state, "reason": clean_text(reason)}
    connection.execute(update(source).where(source.c.id == source_id).values(**values))


def keep_skipped(connection: Connection, source_id: int, skipped: Mapping[str, int]) -> None:
    """Keep what the last whole scan left out, counted by reason."""
    text = msgspec.json.encode(dict(sorted(skipped.items()))).decode()
    connection.execute(update(source).where(source.c.id == source_id).values(skipped=clean_text(text)))


def mark_scanned(connection: Connection, source_id: int, now: float | None = None) -> None:
    """Record that a scan of the whole source has ended."""
    connection.execute(update(source).where(source.c.id == source_id).values(scanned_at=now_or(now)))


def delete_source(connection: Connection, source_id: int) -> None:
    """Remove a source with its assets; the media stay. Raises NotFoundError."""
    get_source(connection, source_id)
    settle(connection, only_if_showing=True)
    lock_assets(connection, asset.c.source_id == source_id)
    owned = select(asset.c.id).where(asset.c.source_id == source_id)
    gone = connection.scalars(delete(segment).where(segment.c.asset_id.in_(owned)).returning(segment.c.id)).all()
    connection.execute(delete(asset).where(asset.c.source_id == source_id))
    connection.execute(delete(source).where(source.c.id == source_id))
    record_deletions(connection, list(gone))


def rebase_source(connection: Connection, source_id: int, root: str) -> None:
    """Change a source's root, and the paths of its files with it. Raises NotFoundError."""
    before, after = get_source(connection, source_id).root, clean_text(root)
    connection.execute(update(source).where(source.c.id == source_id).values(root=after))
    _rebase_assets(connection, source_id, before, after)


def merge_source(connection: Connection, source_id: int, into: int, root: str) -> None:
    """The files of this source are found in another one, too: they become its assets and keep their ids.

    `root` is what the other source calls this one's root. Of a file that both knew, the asset that is
    further (searchable before waiting before missing), then the older one, stays. Raises NotFoundError.
    """
    before = get_source(connection, source_id).root
    get_source(connection, into)
    lock_assets(connection, asset.c.source_id.in_((source_id, into)))
    _rebase_assets(connection, source_id, before, clean_text(root))
    delete_assets(connection, _doubles(connection, source_id, into))
    connection.execute(update(asset).where(asset.c.source_id == source_id).values(source_id=into))
    connection.execute(update(job).where(job.c.source_id == source_id).values(source_id=into))
    connection.execute(delete(source).where(source.c.id == source_id))


def _doubles(connection: Connection, source_id: int, into: int) -> list[int]:
    """The assets to give up where both sources have one for the same file."""
    other = asset.alias()
    pairs = select(asset.c.id, asset.c.status, other.c.id, other.c.status).where(
        asset.c.source_id == source_id, other.c.source_id == into, asset.c.path_bytes == other.c.path_bytes
    )
    return [
        max((_distance(status), asset_id), (_distance(other_status), other_id))[1]
        for asset_id, status, other_id, other_status in connection.execute(pairs)
    ]


def _distance(status: str) -> int:
    """How far an asset is from being searchable."""
    return {AssetStatus.INDEXED: 0, AssetStatus.MISSING: 2}.get(AssetStatus(status), 1)


def _rebase_assets(connection: Connection, source_id: int, before: str, after: str) -> None:
    if before == after:
        return
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
