"""Assets: the files that scans find, what is known of each, and how many are in which state.

The numbers always add up, because every file is one row and its status is one of five.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    LargeBinary,
    TextClause,
    and_,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    text,
    update,
)

from search.catalog.models import asset
from search.catalog.records import AssetRecord, Counts, FoundFile, SyncCounts
from search.catalog.removals import remember_removal, removed_paths
from search.catalog.segments import (
    hide_segments_of,
    lock_assets,
    remove_segments_of,
    segments_by_signal,
    show_segments_of,
)
from search.catalog.sequence import now_or
from search.catalog.sql.bulk import fetch_ids, in_chunks, insert_rows, new_ids
from search.catalog.sql.cleaning import clean_text
from search.catalog.sql.filters import asset_clause
from search.catalog.states import AssetStatus, NoteKind
from search.errors import NotFoundError
from search.query.conditions import Condition

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
    "etag",
    "status",
    "created_at",
    "changed_ns",
)
_AS_NEW = {
    "status": AssetStatus.PENDING,
    "attempts": 0,
    "not_before": 0.0,
    "lease_owner": None,
    "lease_expires_at": None,
    "error": None,
    "indexed_at": None,
}


def sync_assets(
    connection: Connection, source_id: int, files: Sequence[FoundFile], now: float | None = None
) -> SyncCounts:
    """Bring the assets of these files up to date: new and changed ones become pending.

    One that is being worked on and has changed is taken away from its worker. Files that were missing
    and are back as they were are searchable again at once.
    """
    by_path = {file.path_bytes: file for file in files}
    removed = removed_paths(connection, source_id, list(by_path))
    files = [file for path, file in by_path.items() if path not in removed]
    _lock_paths(connection, source_id)
    known = files_of(connection, source_id, [file.path_bytes for file in files])
    new = [file for file in files if file.path_bytes not in known]
    changed, returned, unmarked = [], [], []
    for file in files:
        row = known.get(file.path_bytes)
        if row is None:
            continue
        if row.changed_ns is None or row.status == AssetStatus.MISSING:
            unmarked.append((row, file))  # from before it was kept; or renamed on its way back
        if row.state != file.state or _is_touched(row, file):
            changed.append((row, file))
        elif row.status == AssetStatus.MISSING:
            returned.append(row)
    ids = {row.path_bytes: row.id for row in known.values()} | _add(connection, source_id, new, now_or(now))
    _mark_changed(connection, changed)
    _keep_inode_times(connection, unmarked)
    _bring_back(connection, returned)
    return SyncCounts(
        added=len(new),
        changed=len(changed),
        returned=len(returned),
        removed=len(removed),
        unchanged=len(files) - len(new) - len(changed) - len(returned),
        ids=tuple(ids[file.path_bytes] for file in files),
    )


def _lock_paths(connection: Connection, source_id: int) -> None:
    """Until commit, no other transaction adds or moves files of this source: two scans would add a file twice."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_PATHS_LOCK + source_id)))


def files_of(connection: Connection, source_id: int, paths: Sequence[bytes]) -> dict[bytes, AssetRecord]:
    """The assets at these paths of a source, by path; locked until commit in a transaction that writes."""
    known: dict[bytes, AssetRecord] = {}
    for chunk in in_chunks(paths, _CHUNK):
        # Locked in the order of ids, as everywhere: two scans can't wait for each other.
        statement = select(asset).where(_at_paths(connection, source_id, chunk))
        records = (AssetRecord(*row) for row in connection.execute(statement.order_by(asset.c.id).with_for_update()))
        known |= {record.path_bytes: record for record in records}
    # One that moved while its lock was waited for is elsewhere now.
    return {path: known[path] for path in paths if path in known}


def _at_paths(connection: Connection, source_id: int, paths: Sequence[bytes]) -> ColumnElement[bool] | TextClause:
    if connection.dialect.name == "sqlite":
        return and_(asset.c.source_id == source_id, asset.c.path_bytes.in_(paths))
    return _AT_PATHS.bindparams(in_source=source_id, paths=list(paths))


# Each path by the unique index, whatever the planner believes: in a table that grew since it was last analysed, it
# would rather walk through the whole source, once for each block of an import.
_AT_PATHS = text(
    "asset.id = ANY(ARRAY(SELECT (SELECT there.id FROM asset AS there WHERE there.source_id = :in_source "
    "AND there.path_bytes = given.path) FROM unnest(:paths) AS given (path)))"
).bindparams(bindparam("paths", type_=ARRAY(LargeBinary)))


def _add(connection: Connection, source_id: int, files: Sequence[FoundFile], now: float) -> dict[bytes, int]:
    ids = new_ids(connection, asset, len(files))
    rows = [
        (
            new_id,
            source_id,
            clean_text(file.path),
            file.path_bytes,
            *file.state,
            AssetStatus.PENDING,
            now,
            file.changed_ns,
        )
        for new_id, file in zip(ids, files, strict=True)
    ]
    insert_rows(connection, asset, _NEW_COLUMNS, rows)
    return {file.path_bytes: new_id for new_id, file in zip(ids, files, strict=True)}


def _is_touched(row: AssetRecord, file: FoundFile) -> bool:
    """Say whether the inode changed under the same size and time: the contents may be others, their hash will tell."""
    if row.status == AssetStatus.MISSING or None in (row.changed_ns, file.changed_ns):
        return False
    return row.changed_ns != file.changed_ns


def _keep_inode_times(connection: Connection, files: Sequence[tuple[AssetRecord, FoundFile]]) -> None:
    values = [{"of_asset": row.id, "inode_time": file.changed_ns} for row, file in files if file.changed_ns is not None]
    if values:
        statement = update(asset).where(asset.c.id == bindparam("of_asset"))
        connection.execute(statement.values(changed_ns=bindparam("inode_time")), values)


def _mark_changed(connection: Connection, changed: Sequence[tuple[AssetRecord, FoundFile]]) -> None:
    if not changed:
        return
    # The old segments stay searchable until the new ones replace them, unless the file was away.
    remove_segments_of(connection, [row.id for row, _ in changed if row.status == AssetStatus.MISSING])
    statement = update(asset).where(asset.c.id == bindparam("of_asset"))
    statement = statement.values(
        size_bytes=bindparam("size"),
        modified_ns=bindparam("time"),
        changed_ns=bindparam("inode_time"),
        side_car=bindparam("beside"),
        etag=bindparam("tag"),
        content_hash=bindparam("hash"),
        **_AS_NEW,
    )
    connection.execute(statement, [_changed_values(row, file) for row, file in changed])


def _changed_values(row: AssetRecord, file: FoundFile) -> dict[str, object]:
    # With other words beside it, the same contents make other segments: that they are known means nothing.
    known = row.content_hash if row.side_car == file.side_car else None
    size, time, beside, tag = file.state
    values = {"of_asset": row.id, "size": size, "time": time, "beside": beside, "tag": tag, "hash": known}
    return {**values, "inode_time": file.changed_ns}


def _bring_back(connection: Connection, returned: Sequence[AssetRecord]) -> None:
    indexed = [row.id for row in returned if row.indexed_at is not None]
    unfinished = [row.id for row in returned if row.indexed_at is None]
    _set(connection, indexed, status=AssetStatus.INDEXED)
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
        asset.c.source_id == source_id, asset.c.status != AssetStatus.MISSING, asset.c.created_at < before
    )
    gone: list[int] = np.setdiff1d(fetch_ids(connection, present), np.fromiter(seen, np.int64)).tolist()
    return gone


def media_bytes(connection: Connection) -> int:
    """The size of all files together."""
    return int(connection.scalar(select(func.sum(asset.c.size_bytes))) or 0)


def present_ids(connection: Connection, source_id: int, below: bytes | None = None) -> np.ndarray:
    """Ids of the source's assets that are not missing, `(n,) int64`; only this file, or files below this folder."""
    statement = select(asset.c.id).where(asset.c.source_id == source_id, asset.c.status != AssetStatus.MISSING)
    if below is not None:
        folder = below.rstrip(b"/")
        inside = and_(asset.c.path_bytes >= folder + b"/", asset.c.path_bytes < folder + b"0")  # "0" follows "/"
        statement = statement.where(or_(asset.c.path_bytes == below, inside))
    return fetch_ids(connection, statement)


def set_missing(connection: Connection, asset_ids: Sequence[int]) -> None:
    """Mark these files as missing: no search finds them, but their vectors are kept for their return."""
    lock_assets(connection, asset.c.id.in_(asset_ids))
    _set(connection, asset_ids, status=AssetStatus.MISSING, lease_owner=None, lease_expires_at=None)
    hide_segments_of(connection, asset_ids)


def move_asset(connection: Connection, asset_id: int, source_id: int, file: FoundFile) -> None:
    """Record that a file moved, keeping its segments and vectors; an asset made for the new path is replaced.

    If there are other sidecars beside it there, it is pending at once.
    """
    _lock_paths(connection, source_id)
    occupant = files_of(connection, source_id, [file.path_bytes]).get(file.path_bytes)
    if occupant is not None and occupant.id != asset_id:
        delete_assets(connection, [occupant.id])
    moved = get_asset(connection, asset_id)
    values = {
        "source_id": source_id,
        "path": clean_text(file.path),
        "path_bytes": file.path_bytes,
        "size_bytes": file.size_bytes,
        "modified_ns": file.modified_ns,
        "changed_ns": file.changed_ns,
        "etag": file.etag,
    }
    _set(connection, [asset_id], **values)
    if moved.status == AssetStatus.MISSING:
        _bring_back(connection, [moved])
    if moved.side_car != file.side_car:
        _mark_changed(connection, [(get_asset(connection, asset_id), file)])


def get_asset(connection: Connection, asset_id: int) -> AssetRecord:
    """The asset with this id. Raises NotFoundError."""
    row = connection.execute(select(asset).where(asset.c.id == asset_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no asset {asset_id}")
    return AssetRecord(*row)


def get_assets(connection: Connection, asset_ids: Sequence[int]) -> list[AssetRecord]:
    """The assets with these ids, in the order asked for; unknown ids are left out."""
    records: dict[int, AssetRecord] = {}
    for chunk in in_chunks([int(asset_id) for asset_id in asset_ids], _CHUNK):
        for row in connection.execute(select(asset).where(asset.c.id.in_(chunk))):
            records[row.id] = AssetRecord(*row)
    return [records[asset_id] for asset_id in asset_ids if asset_id in records]


def find_asset(connection: Connection, path: str) -> AssetRecord | None:
    """The asset at this path, in any source; a present one is preferred to a missing one."""
    statement = select(asset).where(asset.c.path == clean_text(path))
    row = connection.execute(
        statement.order_by(asset.c.status == AssetStatus.MISSING, asset.c.id).limit(1)
    ).one_or_none()
    return AssetRecord(*row) if row else None


def find_by_hash(connection: Connection, content_hash: str) -> list[AssetRecord]:
    """All assets with this content hash, including missing ones."""
    rows = connection.execute(select(asset).where(asset.c.content_hash == content_hash).order_by(asset.c.id))
    return [AssetRecord(*row) for row in rows]


def known_paths(connection: Connection, source_id: int, paths: Collection[bytes]) -> set[bytes]:
    """Those of these paths that the source has an asset for."""
    known: set[bytes] = set()
    for chunk in in_chunks(list(paths), _CHUNK):
        statement = select(asset.c.path_bytes).where(asset.c.source_id == source_id, asset.c.path_bytes.in_(chunk))
        known.update(connection.scalars(statement))
    return known


def hash_by_etag(connection: Connection, source_id: int, etag: str, size_bytes: int) -> str | None:
    """The content hash of a file in this source that has the same etag and size, if one was read already."""
    statement = select(asset.c.content_hash).where(
        asset.c.etag == etag,
        asset.c.etag != "",
        asset.c.source_id == source_id,
        asset.c.size_bytes == size_bytes,
        asset.c.content_hash.is_not(None),
        asset.c.indexed_at.is_not(None),  # of one that has changed, the hash is that of the contents before
    )
    return connection.scalars(statement.limit(1)).first()


def list_assets(
    connection: Connection,
    condition: Condition | None = None,
    cursor: int | None = None,
    limit: int = 100,
    status: AssetStatus | None = None,
) -> list[AssetRecord]:
    """Assets in the order of their ids, after `cursor` (the last id seen), so pages neither repeat nor skip any."""
    statement = select(asset).where(asset.c.id > (cursor or 0)).order_by(asset.c.id).limit(limit)
    clause = asset_clause(condition, connection.dialect.name)
    if clause is not None:
        statement = statement.where(clause)
    if status is not None:
        statement = statement.where(asset.c.status == status)
    return [AssetRecord(*row) for row in connection.execute(statement)]


def some_paths(connection: Connection, source_id: int, count: int) -> list[bytes]:
    """Paths of files of a source that should be there: the `count` oldest and the `count` newest."""
    statement = select(asset.c.path_bytes).where(asset.c.source_id == source_id, asset.c.status != AssetStatus.MISSING)
    ends = (statement.order_by(order).limit(count) for order in (asset.c.id, asset.c.id.desc()))
    return [path for end in ends for path in connection.scalars(end)]


def indexed_behind(connection: Connection, behind: tuple[float, int], limit: int) -> list[AssetRecord]:
    """Searchable assets in the order in which they became so, those after this time (epoch seconds) and id."""
    time, asset_id = behind
    later = or_(asset.c.indexed_at > time, and_(asset.c.indexed_at == time, asset.c.id > asset_id))
    statement = select(asset).where(asset.c.status == AssetStatus.INDEXED, later)
    rows = connection.execute(statement.order_by(asset.c.indexed_at, asset.c.id).limit(limit))
    return [AssetRecord(*row) for row in rows]


def noted(connection: Connection, cursor: int | None = None, limit: int = 100) -> list[AssetRecord]:
    """Indexed assets of which something was left out, by id; `note` says what."""
    statement = select(asset).where(
        asset.c.status == AssetStatus.INDEXED, asset.c.note.is_not(None), asset.c.id > (cursor or 0)
    )
    return [AssetRecord(*row) for row in connection.execute(statement.order_by(asset.c.id).limit(limit))]


def failures(connection: Connection, cursor: int | None = None, limit: int = 100) -> list[AssetRecord]:
    """Quarantined assets, by id; `error` says why."""
    return list_assets(connection, cursor=cursor, limit=limit, status=AssetStatus.QUARANTINED)


def delete_asset(connection: Connection, asset_id: int) -> None:
    """Remove an asset from the catalogue; the file stays. Raises NotFoundError."""
    get_asset(connection, asset_id)
    delete_assets(connection, [asset_id])


def remove_asset(connection: Connection, asset_id: int) -> None:
    """Forget an asset for good: the file stays, and scans pass it by until it is asked for. Raises NotFoundError."""
    gone = get_asset(connection, asset_id)
    delete_assets(connection, [asset_id])
    remember_removal(connection, gone.source_id, gone.path_bytes)


def delete_assets(connection: Connection, asset_ids: Sequence[int]) -> None:
    """Remove these assets with their segments and vectors; the files stay."""
    lock_assets(connection, asset.c.id.in_(asset_ids))
    remove_segments_of(connection, asset_ids)
    for chunk in in_chunks(asset_ids, _CHUNK):
        connection.execute(delete(asset).where(asset.c.id.in_(chunk)))


def counts(connection: Connection, source_id: int | None = None) -> Counts:
    """How many files are in which state, at one moment; of one source without counting its segments."""
    by_status: dict[str, int] = {}
    by_kind: dict[str, int] = {}
    columns = (asset.c.status, asset.c.kind)
    unread = func.count(case((asset.c.unread, 1)))
    statement = select(*columns, func.count(), func.count(asset.c.note), unread).group_by(*columns)
    if source_id is not None:
        statement = statement.where(asset.c.source_id == source_id)
    with_note = to_read = 0
    for status, kind, number, notes, unread_ones in connection.execute(statement):
        if status == AssetStatus.INDEXED:
            with_note, to_read = with_note + notes, to_read + unread_ones
        by_status[status] = by_status.get(status, 0) + number
        by_kind[kind or "unknown"] = by_kind.get(kind or "unknown", 0) + number
    segments = segments_by_signal(connection) if source_id is None else {}
    by_note = _notes_by_kind(connection) if source_id is None and with_note else {}
    return Counts(
        **by_status,
        known=sum(by_status.values()),
        unread=to_read,
        noted=with_note,
        noted_by_kind=by_note,
        by_kind=by_kind,
        segments=segments,
    )


def _notes_by_kind(connection: Connection) -> dict[str, int]:
    """How many searchable assets have notes about each thing."""
    is_noted = and_(asset.c.status == AssetStatus.INDEXED, asset.c.note.is_not(None))
    statement = select(asset.c.note_kinds, func.count()).where(is_noted).group_by(asset.c.note_kinds)
    found: Counter[str] = Counter()
    for kinds, count in connection.execute(statement):
        for kind in set((kinds or NoteKind.OTHER).split(",")):
            found[kind] += count
    return dict(found)
