"""The queue: workers claim pending assets with a lease, renew it, and finish, fail or hand back.

The catalogue is the queue, so there is nothing to keep in step. A lease that ran out may be taken over
by anyone; whoever lost a lease writes nothing. Assets that are searchable but for the text in them come
last, and stay `indexed` while somebody reads them. The clock is the caller's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, Text, and_, bindparam, case, func, or_, select, update

from search.catalog.bulk import in_chunks, insert_rows, new_ids
from search.catalog.cleaning import clean_facts, clean_text
from search.catalog.embeddings import insert_embeddings, lock_spaces
from search.catalog.models import asset, segment
from search.catalog.records import AssetRecord, IndexedAsset, NewSegment, ReadAsset
from search.catalog.segments import remove_segments_of
from search.catalog.sequence import now_or

_CHUNK = 5000
_SEGMENT_COLUMNS = ("id", "asset_id", "signal", "start_seconds", "end_seconds", "text", "details")
HELD = 1e15  # as `not_before`: until a person lets them go on
_NO_LEASE = {"lease_owner": None, "lease_expires_at": None}
# What a claimed asset becomes when it goes back: one that is only to be read has been searchable all the time.
_WAITING = case((asset.c.status == "indexed", "indexed"), else_="pending")


def claim(
    connection: Connection, owner: str, limit: int, lease_seconds: float, now: float | None = None
) -> list[AssetRecord]:
    """Up to `limit` assets to work on: expired leases first, then pending ones whose time has come, then unread ones.

    Each claim counts as an attempt, so an asset that kills its workers shows by `attempts`. Those to be
    read only stay `indexed`.
    """
    now = now_or(now)
    expired = and_(asset.c.status == "working", asset.c.lease_expires_at < now)
    ready = and_(asset.c.status == "pending", asset.c.not_before <= now)
    free = or_(asset.c.lease_expires_at.is_(None), asset.c.lease_expires_at < now)
    unread = and_(asset.c.unread, asset.c.status == "indexed", asset.c.not_before <= now, free)
    claimed: list[AssetRecord] = []
    for which, status in ((expired, "working"), (ready, "working"), (unread, "indexed")):
        if len(claimed) < limit:
            claimed += _take(connection, which, status, owner, limit - len(claimed), now + lease_seconds)
    return claimed


def _take(
    connection: Connection, which: ColumnElement[bool], status: str, owner: str, limit: int, expires_at: float
) -> list[AssetRecord]:
    candidates = select(asset.c.id).where(which)
    # The order of the index: the oldest first, without sorting a million pending ones.
    candidates = candidates.order_by(asset.c.not_before, asset.c.id).limit(limit).with_for_update(skip_locked=True)
    values = {"status": status, "lease_owner": owner, "lease_expires_at": expires_at}
    statement = update(asset).where(asset.c.id.in_(candidates.scalar_subquery()))
    rows = connection.execute(statement.values(attempts=asset.c.attempts + 1, **values).returning(asset))
    return sorted((AssetRecord(*row) for row in rows), key=lambda record: record.id)


def renew(
    connection: Connection, owner: str, ids: Sequence[int], lease_seconds: float, now: float | None = None
) -> set[int]:
    """Keep the leases for longer; returns the ids still held. The others were taken over or have changed."""
    held = hold(connection, owner, ids)
    expires_at = now_or(now) + lease_seconds
    connection.execute(update(asset).where(asset.c.id.in_(held)).values(lease_expires_at=expires_at))
    return held


def release(connection: Connection, owner: str, ids: Sequence[int]) -> set[int]:
    """Hand back unfinished work, without counting the attempt."""
    held = hold(connection, owner, ids)
    values = {"status": _WAITING, "attempts": asset.c.attempts - 1, **_NO_LEASE}
    connection.execute(update(asset).where(asset.c.id.in_(held)).values(**values))
    return held


def next_due(connection: Connection) -> float | None:
    """When the next asset can be claimed: a pending one's time, or the end of a lease. None: there is none."""
    pending = select(func.min(asset.c.not_before)).where(asset.c.status == "pending")
    working = select(func.min(asset.c.lease_expires_at)).where(asset.c.status == "working")
    free_from = func.coalesce(asset.c.lease_expires_at, asset.c.not_before)
    unread = select(func.min(free_from)).where(asset.c.unread, asset.c.status == "indexed")
    times = [connection.scalar(statement) for statement in (pending, working, unread)]
    return min((time for time in times if time is not None), default=None)


def finish(connection: Connection, owner: str, results: Sequence[IndexedAsset], now: float | None = None) -> set[int]:
    """Write everything that indexing produced; returns the ids written: those whose lease is still held.

    Segments from before are replaced. To be called once per batch.
    """
    held = hold(connection, owner, [result.asset_id for result in results])
    written = [result for result in results if result.asset_id in held]
    if not written:
        return set()
    spaces = lock_spaces(connection)
    remove_segments_of(connection, [result.asset_id for result in written])
    connection.execute(_FINISH, [_finished(result, now_or(now)) for result in written])
    _add_segments(connection, written, spaces)
    return held


def finish_reading(connection: Connection, owner: str, results: Sequence[ReadAsset]) -> set[int]:
    """Add the text that was read in assets that are indexed; returns the ids written, as `finish` does."""
    held = hold(connection, owner, [result.asset_id for result in results])
    written = [result for result in results if result.asset_id in held]
    if not written:
        return set()
    spaces = lock_spaces(connection)
    done = update(asset).where(asset.c.id == bindparam("of_asset"))
    more = bindparam("more", type_=Text)
    note = func.coalesce(asset.c.note + "; " + more, more, asset.c.note)
    done = done.values(unread=False, attempts=0, not_before=0.0, error=None, note=note, **_NO_LEASE)
    connection.execute(done, [{"of_asset": one.asset_id, "more": clean_text(one.note)} for one in written])
    _add_segments(connection, written, spaces)
    return held


def _add_segments(connection: Connection, results: Sequence[IndexedAsset | ReadAsset], spaces: Collection[int]) -> None:
    """Number and write the segments of these assets, with their vectors."""
    drafts = [(result.asset_id, draft) for result in results for draft in result.segments]
    ids = list(new_ids(connection, segment, len(drafts)))
    rows = [_segment_row(new_id, asset_id, draft) for new_id, (asset_id, draft) in zip(ids, drafts, strict=True)]
    insert_rows(connection, segment, _SEGMENT_COLUMNS, rows)
    vectors = [
        (space_id, new_id, draft.signal, vector)
        for new_id, (_, draft) in zip(ids, drafts, strict=True)
        for space_id, vector in draft.vectors.items()
        if space_id in spaces  # dropped while we were working: nobody wants its vectors
    ]
    insert_embeddings(connection, vectors)


def _segment_row(segment_id: int, asset_id: int, draft: NewSegment) -> tuple:
    text = clean_text(draft.text) or None
    return (segment_id, asset_id, str(draft.signal), draft.start_seconds, draft.end_seconds, text, draft.details)


_FACTS = (
    "width",
    "height",
    "duration_seconds",
    "captured_at",
    "latitude",
    "longitude",
    "camera",
    "title",
    "language",
    "perceptual_hash",
)
_FINISHED = ("kind", "content_hash", "note", "unread", "indexed_at", *_FACTS)
_FINISH = (
    update(asset)
    .where(asset.c.id == bindparam("of_asset"))
    .values(
        status="indexed",
        attempts=0,
        not_before=0.0,
        error=None,
        **_NO_LEASE,
        **{name: bindparam(f"new_{name}") for name in _FINISHED},
    )
)


def _finished(result: IndexedAsset, now: float) -> dict[str, object]:
    facts = clean_facts(result.facts)
    row: dict[str, object] = {f"new_{name}": getattr(facts, name) for name in _FACTS}
    return row | {
        "of_asset": result.asset_id,
        "new_kind": str(result.kind),
        "new_content_hash": result.content_hash,
        "new_note": clean_text(result.note),
        "new_unread": result.unread,
        "new_indexed_at": now,
    }


def finish_unchanged(connection: Connection, owner: str, ids: Sequence[int], now: float | None = None) -> set[int]:
    """The contents turned out to be those already indexed: keep the segments; returns the ids written."""
    held = hold(connection, owner, ids)
    values = {"status": "indexed", "attempts": 0, "not_before": 0.0, "error": None, "indexed_at": now_or(now)}
    connection.execute(update(asset).where(asset.c.id.in_(held)).values(**values, **_NO_LEASE))
    return held


def retry_later(
    connection: Connection, owner: str, asset_id: int, error: str, not_before: float, *, counts: bool = True
) -> bool:
    """A transient failure: waiting again, from `not_before` on. False when the lease was lost.

    With `counts=False` the attempt does not count: nothing failed, the file is only not ready yet.
    """
    values: dict[str, object] = {"status": _WAITING, "error": clean_text(error), "not_before": not_before}
    return _fail(connection, owner, asset_id, values if counts else values | {"attempts": asset.c.attempts - 1})


def quarantine(connection: Connection, owner: str, asset_id: int, error: str, kind: str | None = None) -> bool:
    """A permanent failure: out of the queue, with the reason. False when the lease was lost."""
    values = {"status": "quarantined", "error": clean_text(error), "indexed_at": None}
    if not _fail(connection, owner, asset_id, values | ({"kind": kind} if kind else {})):
        return False
    remove_segments_of(connection, [asset_id])  # what they say is no longer what the file holds
    return True


def give_up(connection: Connection, owner: str, claimed: AssetRecord, reason: str) -> None:
    """Nobody shall try again: into quarantine, or, of one that is searchable, only its text stays unread."""
    if claimed.only_reading:
        note = f"text in it could not be read: {reason}"
        finish_reading(connection, owner, [ReadAsset(asset_id=claimed.id, segments=(), note=note)])
    else:
        quarantine(connection, owner, claimed.id, reason)


def _fail(connection: Connection, owner: str, asset_id: int, values: Mapping[str, object]) -> bool:
    held = hold(connection, owner, [asset_id])
    connection.execute(update(asset).where(asset.c.id.in_(held)).values(**values, **_NO_LEASE))
    return bool(held)


def hold_source(connection: Connection, source_id: int) -> int:
    """Nobody claims this source's waiting assets until they are freed; returns how many."""
    waiting = or_(asset.c.status == "pending", and_(asset.c.status == "indexed", asset.c.unread))
    return _change(connection, {"not_before": HELD}, asset.c.source_id == source_id, waiting)


def free_source(connection: Connection, source_id: int) -> int:
    """The assets that were held may be claimed again; returns how many."""
    return _change(connection, {"not_before": 0.0}, asset.c.source_id == source_id, asset.c.not_before == HELD)


def retry_quarantined(connection: Connection, ids: Sequence[int] | None = None) -> int:
    """Give quarantined assets (these, or all) another chance; returns how many."""
    values = {"status": "pending", "attempts": 0, "not_before": 0.0, "error": None}
    quarantined = asset.c.status == "quarantined"
    if ids is None:
        return _change(connection, values, quarantined)
    chunks = in_chunks(sorted(ids), _CHUNK)
    return sum(_change(connection, values, quarantined, asset.c.id.in_(chunk)) for chunk in chunks)


def _change(connection: Connection, values: Mapping[str, object], *which: ColumnElement[bool]) -> int:
    """Set these values in the assets that fit now; returns how many."""
    # Locked in the order of ids, as everywhere, and only those that were locked are changed: what begins to fit
    # meanwhile would be locked in any order, and two transactions could wait for each other.
    ids = connection.scalars(select(asset.c.id).where(*which).order_by(asset.c.id).with_for_update()).all()
    for chunk in in_chunks(ids, _CHUNK):
        connection.execute(update(asset).where(asset.c.id.in_(chunk)).values(**values))
    return len(ids)


def hold(connection: Connection, owner: str, ids: Sequence[int]) -> set[int]:
    """Which of these the owner still holds; they stay locked until commit.

    To be called first, with all ids, in a transaction that does several things with them.
    """
    if not ids:
        return set()
    statement = select(asset.c.id).where(asset.c.id.in_(ids), asset.c.lease_owner == owner)
    return set(connection.scalars(statement.order_by(asset.c.id).with_for_update()))
