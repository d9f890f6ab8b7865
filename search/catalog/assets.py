"""Assets: what scans find, what is known of each file, and the account of all of them.

The account always balances, because every file is one row and its status is one of five words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from sqlalchemy import Connection, and_, bindparam, case, delete, func, or_, select, update

from search.catalog.bulk import fetch_ids, in_chunks, insert_rows, new_ids
from search.catalog.cleaning import clean_text
from search.catalog.filters import asset_clause
from search.catalog.models import asset
from search.catalog.records import AssetRecord, Counts, FoundFile, SyncCounts
from search.catalog.segments import (
    hide_segments_of,
    lock_assets,
    remove_segments_of,
    segments_by_signal,
    show_segments_of,
)
from search.catalog.sequence import now_or
from search.errors import NotFoundError
from search.filters import Condition

_CHUNK = 5000
_PATHS_LOCK = 0x4D65 << 40  # the range of advisory locks that stand for sources' paths
_NEW_COLUMNS = (
    "id",
    "source_id",
    "path",
    "path_bytes",
    "size_bytes",
    "modified_ns",
    "side_car",
    "status",
    "created_at",
)
_AS_NEW = {
    "status": "pending",
    "attempts": 0,
    "not_before": 0.0,
    "lease_owner": None,
    "lease_expires_at": None,
    "error": None,
    "indexed_at": None,
}


def sync_assets(
    connection: Connection, source_id: int, found: Sequence[FoundFile], now: float | None = None
) -> SyncCounts:
    """Bring the assets of these files up to date: new and changed ones become pending.

    One that is being worked on and has changed is taken away from its worker. Files that were missing
    and are back as they were are searchable again at once.
    """
    found = list({file.path_bytes: file for file in found}.values())
    _lock_paths(connection, source_id)
    known = _known(connection, source_id, [file.path_bytes for file in found])
    new = [file for file in found if file.path_bytes not in known]
    changed, returned = [], []
    for file in found:
        row = known.get(file.path_bytes)
        if row is None:
            continue
        if row.state != file.state:
            changed.append((row, file))
        elif row.status == "missing":
            returned.append(row)
    ids = {row.path_bytes: row.id for row in known.values()} | _add(connection, source_id, new, now_or(now))
    _mark_changed(connection, changed)
    _bring_back(connection, returned)
    return SyncCounts(
        added=len(new),
        changed=len(changed),
        returned=len(returned),
        unchanged=len(found) - len(new) - len(changed) - len(returned),
        ids=tuple(ids[file.path_bytes] for file in found),
    )


def _lock_paths(connection: Connection, source_id: int) -> None:
    """Until commit nobody else adds or moves files of this source: two scans at once would add a new file twice."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_PATHS_LOCK + source_id)))


def _known(connection: Connection, source_id: int, paths: Sequence[bytes]) -> dict[bytes, AssetRecord]:
    known: dict[bytes, AssetRecord] = {}
    for chunk in in_chunks(paths, _CHUNK):
        # Locked in the order of ids, as everywhere: two scans can't wait for each other.
        statement = select(asset).where(asset.c.source_id == source_id, asset.c.path_bytes.in_(chunk))
        for row in connection.execute(statement.order_by(asset.c.id).with_for_update()):
            known[row.path_bytes] = AssetRecord(*row)
    return known


def _add(connection: Connection, source_id: int, files: Sequence[FoundFile], now: float) -> dict[bytes, int]:
    ids = new_ids(connection, asset, len(files))
    rows = [
        (new_id, source_id, clean_text(file.path), file.path_bytes, *file.state, "pending", now)
        for new_id, file in zip(ids, files, strict=True)
    ]
    insert_rows(connection, asset, _NEW_COLUMNS, rows)
    return {file.path_bytes: new_id for new_id, file in zip(ids, files, strict=True)}


def _mark_changed(connection: Connection, changed: Sequence[tuple[AssetRecord, FoundFile]]) -> None:
    if not changed:
        return
    # The old segments stay searchable until the new ones replace them, unless the file was away.
    remove_segments_of(connection, [row.id for row, _ in changed if row.status == "missing"])
    statement = update(asset).where(asset.c.id == bindparam("of_asset"))
    statement = statement.values(
        size_bytes=bindparam("size"),
        modified_ns=bindparam("time"),
        side_car=bindparam("beside"),
        content_hash=bindparam("hash"),
        **_AS_NEW,
    )
    connection.execute(statement, [_changed_values(row, file) for row, file in changed])


def _changed_values(row: AssetRecord, file: FoundFile) -> dict[str, object]:
    # With other words beside it, the same contents make other segments: that they are known means nothing.
    known = row.content_hash if row.side_car == file.side_car else None
    size, time, beside = file.state
    return {"of_asset": row.id, "size": size, "time": time, "beside": beside, "hash": known}


def _bring_back(connection: Connection, returned: Sequence[AssetRecord]) -> None:
    indexed = [row.id for row in returned if row.indexed_at is not None]
    unfinished = [row.id for row in returned if row.indexed_at is None]
    _set(connection, indexed, status="indexed")
    _set(connection, unfinished, **_AS_NEW)
    remove_segments_of(connection, unfinished)  # of an older file than the one that went missing
    show_segments_of(connection, indexed)


def _set(connection: Connection, ids: Sequence[int], **values: object) -> None:
    for chunk in in_chunks(ids, _CHUNK):
        connection.execute(update(asset).where(asset.c.id.in_(chunk)).values(**values))


def mark_missing(connection: Connection, source_id: int, seen: Iterable[int], before: float) -> int:
    """After a whole scan: assets of the source that were not seen are missing; returns how many.

    `seen` are ids (those of SyncCounts). Assets made since the scan began (`before`) are left alone:
    an upload may have added them behind the scan's back.
    """
    gone = unseen_ids(connection, source_id, seen, before)
    set_missing(connection, gone)
    return len(gone)


def unseen_ids(connection: Connection, source_id: int, seen: Iterable[int], before: float) -> list[int]:
    """The assets that `mark_missing` would take, for a caller that looks once more."""
    present = select(asset.c.id).where(
        asset.c.source_id == source_id, asset.c.status != "missing", asset.c.created_at < before
    )
    return np.setdiff1d(fetch_ids(connection, present), np.fromiter(seen, np.int64)).tolist()


def present_ids(connection: Connection, source_id: int, below: bytes | None = None) -> np.ndarray:
    """Ids of the source's assets that are not missing, `(n,) int64`; only this file and what lies below this folder."""
    statement = select(asset.c.id).where(asset.c.source_id == source_id, asset.c.status != "missing")
    if below is not None:
        folder = below.rstrip(b"/")
        inside = and_(asset.c.path_bytes >= folder + b"/", asset.c.path_bytes < folder + b"0")  # "0" follows "/"
        statement = statement.where(or_(asset.c.path_bytes == below, inside))
    return fetch_ids(connection, statement)


def set_missing(connection: Connection, asset_ids: Sequence[int]) -> None:
    """These files are gone: out of every search, but their vectors are kept for their return."""
    lock_assets(connection, asset.c.id.in_(asset_ids))
    _set(connection, asset_ids, status="missing", lease_owner=None, lease_expires_at=None)
    hide_segments_of(connection, asset_ids)


def move_asset(connection: Connection, asset_id: int, source_id: int, found: FoundFile) -> None:
    """The file lies elsewhere now: keep its segments and vectors. A fresh asset of the new place gives way.

    If other words lie beside it there, it is pending at once.
    """
    _lock_paths(connection, source_id)
    occupant = _known(connection, source_id, [found.path_bytes]).get(found.path_bytes)
    if occupant is not None and occupant.id != asset_id:
        delete_assets(connection, [occupant.id])
    moved = get_asset(connection, asset_id)
    values = {
        "source_id": source_id,
        "path": clean_text(found.path),
        "path_bytes": found.path_bytes,
        "size_bytes": found.size_bytes,
        "modified_ns": found.modified_ns,
    }
    _set(connection, [asset_id], **values)
    if moved.status == "missing":
        _bring_back(connection, [moved])
    if moved.side_car != found.side_car:
        _mark_changed(connection, [(get_asset(connection, asset_id), found)])


def get_asset(connection: Connection, asset_id: int) -> AssetRecord:
    """Raises NotFoundError."""
    row = connection.execute(select(asset).where(asset.c.id == asset_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no asset {asset_id}")
    return AssetRecord(*row)


def get_assets(connection: Connection, asset_ids: Sequence[int]) -> list[AssetRecord]:
    """Those that exist, in the order asked for."""
    found: dict[int, AssetRecord] = {}
    for chunk in in_chunks([int(asset_id) for asset_id in asset_ids], _CHUNK):
        for row in connection.execute(select(asset).where(asset.c.id.in_(chunk))):
            found[row.id] = AssetRecord(*row)
    return [found[asset_id] for asset_id in asset_ids if asset_id in found]


def find_asset(connection: Connection, path: str) -> AssetRecord | None:
    """The asset at this path, of whichever source; a present one before a missing one."""
    statement = select(asset).where(asset.c.path == clean_text(path))
    row = connection.execute(statement.order_by(asset.c.status == "missing", asset.c.id).limit(1)).one_or_none()
    return AssetRecord(*row) if row else None


def find_by_hash(connection: Connection, content_hash: str) -> list[AssetRecord]:
    """All assets with these contents, missing ones too."""
    rows = connection.execute(select(asset).where(asset.c.content_hash == content_hash).order_by(asset.c.id))
    return [AssetRecord(*row) for row in rows]


def list_assets(
    connection: Connection,
    condition: Condition | None = None,
    cursor: int | None = None,
    limit: int = 100,
    status: str | None = None,
) -> list[AssetRecord]:
    """Assets by id, those behind `cursor` (the last id seen): none twice, none skipped."""
    statement = select(asset).where(asset.c.id > (cursor or 0)).order_by(asset.c.id).limit(limit)
    clause = asset_clause(condition, connection.dialect.name)
    if clause is not None:
        statement = statement.where(clause)
    if status is not None:
        statement = statement.where(asset.c.status == status)
    return [AssetRecord(*row) for row in connection.execute(statement)]


def noted(connection: Connection, cursor: int | None = None, limit: int = 100) -> list[AssetRecord]:
    """Every indexed asset of which something was left out, with what that is in `note`, by id."""
    statement = select(asset).where(asset.c.status == "indexed", asset.c.note.is_not(None), asset.c.id > (cursor or 0))
    return [AssetRecord(*row) for row in connection.execute(statement.order_by(asset.c.id).limit(limit))]


def failures(connection: Connection, cursor: int | None = None, limit: int = 100) -> list[AssetRecord]:
    """Every quarantined asset with its reason in `error`, by id."""
    return list_assets(connection, cursor=cursor, limit=limit, status="quarantined")


def delete_asset(connection: Connection, asset_id: int) -> None:
    """Forget an asset; the file stays. Raises NotFoundError."""
    get_asset(connection, asset_id)
    delete_assets(connection, [asset_id])


def delete_assets(connection: Connection, asset_ids: Sequence[int]) -> None:
    """Forget these assets with their segments and vectors."""
    lock_assets(connection, asset.c.id.in_(asset_ids))
    remove_segments_of(connection, asset_ids)
    for chunk in in_chunks(asset_ids, _CHUNK):
        connection.execute(delete(asset).where(asset.c.id.in_(chunk)))


def counts(connection: Connection, source_id: int | None = None) -> Counts:
    """The account of every file, of one moment; or of one source's, without its segments."""
    by_status: dict[str, int] = {}
    by_kind: dict[str, int] = {}
    columns = (asset.c.status, asset.c.kind)
    unread = func.count(case((asset.c.unread, 1)))
    statement = select(*columns, func.count(), func.count(asset.c.note), unread).group_by(*columns)
    if source_id is not None:
        statement = statement.where(asset.c.source_id == source_id)
    with_note = to_read = 0
    for status, kind, number, notes, unread_ones in connection.execute(statement):
        if status == "indexed":
            with_note, to_read = with_note + notes, to_read + unread_ones
        by_status[status] = by_status.get(status, 0) + number
        by_kind[kind or "unknown"] = by_kind.get(kind or "unknown", 0) + number
    segments = segments_by_signal(connection) if source_id is None else {}
    return Counts(
        **by_status,
        known=sum(by_status.values()),
        unread=to_read,
        noted=with_note,
        by_kind=by_kind,
        segments=segments,
    )
