"""The queue: workers claim pending assets with a lease, renew it, and finish, fail or hand back.

The catalogue is the queue, so there is nothing to keep in step. A lease that ran out may be taken over by anyone
else. Every claim has a number of its own, the fencing token (Kleppmann, "How to do distributed locking", 2016): what is
written must carry the number of the latest claim, so work that was overtaken writes nothing, whatever any clock says.
Leases are measured by the database's clock alone; a caller's `now` is for tests. Assets that are searchable but for
the text in them come last, and stay `indexed` while they are read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, and_, bindparam, case, func, or_, select, update

from search.catalog.embeddings import insert_embeddings, lock_spaces
from search.catalog.models import asset, segment
from search.catalog.records import AssetFacts, AssetRecord, IndexedAsset, NewSegment, ReadAsset
from search.catalog.segments import lock_assets, remove_segments_of
from search.catalog.sequence import database_time, now_or
from search.catalog.sql.bulk import among, in_chunks, insert_rows, new_ids, update_rows
from search.catalog.sql.cleaning import clean_facts, clean_text
from search.catalog.sql.places import place_of, remember_places
from search.catalog.states import AssetStatus, NoteKind
from search.gazetteer import Place

_CHUNK = 5000
_SEGMENT_COLUMNS = (
    "id",
    "asset_id",
    "ordinal",
    "signal",
    "start_seconds",
    "end_seconds",
    "text",
    "details",
    "page",
    "line",
)
Claims = Mapping[int, int]  # claim number by asset id
HELD = 1e15  # as `not_before`: until a person lets them go on
NO_LEASE = {"lease_owner": None, "lease_expires_at": None, "alone": False}
FRESH = {"attempts": 0, "takeovers": 0, "deaths": 0, "not_before": 0.0, "error": None}
_BEFORE = case((asset.c.attempts > 0, asset.c.attempts - 1), else_=0)
# What a claimed asset becomes when it goes back: one that is only to be read has been searchable all the time.
_WAITING = case((asset.c.status == AssetStatus.INDEXED, AssetStatus.INDEXED), else_=AssetStatus.PENDING)


def claim(
    connection: Connection,
    owner: str,
    limit: int,
    lease_seconds: float,
    now: float | None = None,
    sources: Collection[int] | None = None,
    holding: Collection[int] = (),
    passing: Collection[int] = (),
) -> list[AssetRecord]:
    """Up to `limit` assets to work on: expired leases first, then pending ones whose time has come, then unread ones.

    A claim counts as an attempt, but a takeover does not: a worker that was killed says little about what it held.
    Only if the asset was alone with its worker the death is counted against it. Those to be read only stay
    `indexed`. With `sources` (ids), only their assets: a worker takes nothing that it can't see.
    Nobody takes over from itself: what the owner still works on is named in `holding`, and its leases are renewed.
    Those of `passing` (ids) are left to others.
    """
    now = database_time(connection) if now is None else now
    silent = and_(asset.c.lease_expires_at < now, asset.c.id.not_in(holding))
    expired = and_(asset.c.status == AssetStatus.WORKING, silent)
    ready = and_(asset.c.status == AssetStatus.PENDING, asset.c.not_before <= now)
    free = or_(asset.c.lease_expires_at.is_(None), silent)
    unread = and_(asset.c.unread, asset.c.status == AssetStatus.INDEXED, asset.c.not_before <= now, free)
    claimed: list[AssetRecord] = []
    visible = _visible(sources, passing)
    for which, status in ((expired, AssetStatus.WORKING), (ready, AssetStatus.WORKING), (unread, AssetStatus.INDEXED)):
        if len(claimed) < limit:
            claimed += take(connection, and_(which, *visible), status, owner, limit - len(claimed), now + lease_seconds)
    return claimed


def _visible(sources: Collection[int] | None, passing: Collection[int]) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if sources is not None:
        found.append(asset.c.source_id.in_(sources))
    if passing:
        found.append(asset.c.id.not_in(passing))
    return found


def take(
    connection: Connection, which: ColumnElement[bool], status: AssetStatus, owner: str, limit: int, expires_at: float
) -> list[AssetRecord]:
    """Up to `limit` assets that fit, with a lease, a new claim number and this status from now on."""
    candidates = select(asset.c.id).where(which)
    # The order of the index: the oldest first, without sorting a million pending ones.
    candidates = candidates.order_by(asset.c.not_before, asset.c.id).limit(limit).with_for_update(skip_locked=True)
    values = {"status": status, "lease_owner": owner, "lease_expires_at": expires_at}
    statement = update(asset).where(asset.c.id.in_(candidates.scalar_subquery()))
    taken_over = asset.c.lease_owner.is_not(None)
    counted = {
        "attempts": asset.c.attempts + case((taken_over, 0), else_=1),
        "takeovers": asset.c.takeovers + case((taken_over, 1), else_=0),
        "deaths": asset.c.deaths + case((and_(taken_over, asset.c.alone), 1), else_=0),
        "alone": False,
        "claim_number": asset.c.claim_number + 1,
    }
    rows = connection.execute(statement.values(**counted, **values).returning(asset))
    return sorted((AssetRecord(*row) for row in rows), key=lambda record: record.id)


def claim_these(
    connection: Connection, owner: str, ids: Sequence[int], lease_seconds: float, now: float | None = None
) -> list[AssetRecord]:
    """Claim these assets, even if other workers hold them: those can't write any more. Searchable ones stay so.

    For a caller that has their results at hand and writes them in the same transaction.
    """
    expires_at = (database_time(connection) if now is None else now) + lease_seconds
    claimed: list[AssetRecord] = []
    for chunk in in_chunks(sorted(ids), _CHUNK):
        these = among(connection, asset.c.id, chunk)
        lock_assets(connection, these)
        statement = update(asset).where(these)
        values = {
            "status": case((asset.c.status == AssetStatus.INDEXED, AssetStatus.INDEXED), else_=AssetStatus.WORKING),
            "lease_owner": owner,
            "lease_expires_at": expires_at,
            "alone": False,
            "claim_number": asset.c.claim_number + 1,
        }
        claimed += [AssetRecord(*row) for row in connection.execute(statement.values(**values).returning(asset))]
    return claimed


def claims_of(claimed: Iterable[AssetRecord]) -> Claims:
    """What must be shown to write of these claimed assets."""
    return {record.id: record.claim_number for record in claimed}


def mark_alone(connection: Connection, claimed: AssetRecord) -> None:
    """Its worker holds nothing else now, so the worker's death would be the asset's doing."""
    held = hold(connection, claims_of([claimed]))
    connection.execute(update(asset).where(asset.c.id.in_(held)).values(alone=True))


def renew(connection: Connection, claims: Claims, lease_seconds: float, now: float | None = None) -> set[int]:
    """Keep the leases for longer; returns the ids still held. The others were taken over or have changed."""
    held = hold(connection, claims)
    expires_at = (database_time(connection) if now is None else now) + lease_seconds
    _set(connection, held, {"lease_expires_at": expires_at})
    return held


def release(connection: Connection, claims: Claims) -> set[int]:
    """Hand back unfinished work; the next claim counts as the same attempt."""
    held = hold(connection, claims)
    _set(connection, held, {"status": _WAITING, "attempts": _BEFORE, **NO_LEASE})
    return held


def seconds_until_due(
    connection: Connection, sources: Collection[int] | None = None, passing: Collection[int] = ()
) -> float | None:
    """Until a time comes or a lease ends; not above 0 when an asset can be claimed now, None when there is none.

    `sources` and `passing` are as for `claim`.
    """
    visible = _visible(sources, passing)
    free_from = func.coalesce(asset.c.lease_expires_at, asset.c.not_before)
    statements = (
        select(func.min(asset.c.not_before)).where(asset.c.status == AssetStatus.PENDING, *visible),
        select(func.min(asset.c.lease_expires_at)).where(asset.c.status == AssetStatus.WORKING, *visible),
        select(func.min(free_from)).where(asset.c.unread, asset.c.status == AssetStatus.INDEXED, *visible),
    )
    times = [time for statement in statements if (time := connection.scalar(statement)) is not None]
    return min(times) - database_time(connection) if times else None


def finish(
    connection: Connection, claims: Claims, results: Sequence[IndexedAsset], now: float | None = None
) -> set[int]:
    """Write everything that indexing produced; returns the ids written: those whose claim is still the latest.

    Earlier segments are replaced. Call it once per batch.
    """
    held = hold(connection, claims, [result.asset_id for result in results])
    written = [result for result in results if result.asset_id in held]
    if not written:
        return set()
    spaces = lock_spaces(connection)
    remove_segments_of(connection, [result.asset_id for result in written])
    cleaned = [clean_facts(result.facts) for result in written]
    places = [place_of(facts) for facts in cleaned]
    remember_places(connection, places)
    rows = [_finished(*known, now_or(now)) for known in zip(written, cleaned, places, strict=True)]
    update_rows(connection, asset, ("id", *_FINISHED), rows, status=AssetStatus.INDEXED.value, **FRESH, **NO_LEASE)
    _add_segments(connection, written, spaces)
    return held


def finish_reading(connection: Connection, claims: Claims, results: Sequence[ReadAsset]) -> set[int]:
    """Add the text that was read in assets that are indexed; returns the ids written, as `finish` does."""
    held = hold(connection, claims, [result.asset_id for result in results])
    written = [result for result in results if result.asset_id in held]
    if not written:
        return set()
    spaces = lock_spaces(connection)
    done = update(asset).where(asset.c.id == bindparam("of_asset"))
    more = bindparam("more", type_=Text)
    note = func.coalesce(asset.c.note + "; " + more, more, asset.c.note)
    words = NoteKind.WORDS.value
    kinds = case((more.is_(None), asset.c.note_kinds), else_=func.coalesce(asset.c.note_kinds + "," + words, words))
    done = done.values(unread=False, note=note, note_kinds=kinds, **FRESH, **NO_LEASE)
    connection.execute(done, [{"of_asset": read.asset_id, "more": clean_text(read.note)} for read in written])
    _add_segments(connection, written, spaces)
    return held


def _add_segments(connection: Connection, results: Sequence[IndexedAsset | ReadAsset], spaces: Collection[int]) -> None:
    """Number and write the segments of these assets, with their vectors."""
    taken = _ordinals_taken(connection, [result.asset_id for result in results])
    drafts = [
        (result.asset_id, ordinal, draft)
        for result in results
        for ordinal, draft in enumerate(result.segments, start=taken.get(result.asset_id, 0))
    ]
    ids = list(new_ids(connection, segment, len(drafts)))
    rows = [_segment_row(new_id, *drafted) for new_id, drafted in zip(ids, drafts, strict=True)]
    insert_rows(connection, segment, _SEGMENT_COLUMNS, rows, references_hold=True)
    vectors = [
        (space_id, new_id, draft.signal, vector)
        for new_id, (*_, draft) in zip(ids, drafts, strict=True)
        for space_id, vector in draft.vectors.items()
        if space_id in spaces  # not of a space that was dropped meanwhile
    ]
    insert_embeddings(connection, vectors)


def _ordinals_taken(connection: Connection, asset_ids: Sequence[int]) -> dict[int, int]:
    """By asset id, the first ordinal that none of its segments has; those without segments are left out."""
    statement = select(segment.c.asset_id, func.max(segment.c.ordinal) + 1)
    statement = statement.where(among(connection, segment.c.asset_id, asset_ids))
    rows = connection.execute(statement.group_by(segment.c.asset_id))
    return {asset_id: first for asset_id, first in rows}  # noqa: C416 - a Row is not a pair to the type checker


def _segment_row(segment_id: int, asset_id: int, ordinal: int, draft: NewSegment) -> tuple[Any, ...]:
    text = clean_text(draft.text) or None
    return (
        segment_id,
        asset_id,
        ordinal,
        str(draft.signal),
        draft.start_seconds,
        draft.end_seconds,
        text,
        draft.details,
        draft.page,
        draft.line,
    )


_FACTS = (
    "width",
    "height",
    "duration_seconds",
    "captured_at",
    "captured_offset",
    "latitude",
    "longitude",
    "camera",
    "title",
    "language",
    "perceptual_hash",
    "pages",
)
_FINISHED = ("kind", "content_hash", "note", "note_kinds", "unread", "caption", "indexed_at", "place", *_FACTS)


def _finished(result: IndexedAsset, facts: AssetFacts, place: Place | None, now: float) -> tuple[object, ...]:
    return (
        result.asset_id,
        str(result.kind),
        result.content_hash,
        clean_text(result.note),
        ",".join(result.note_kinds) or None,
        result.unread,
        result.caption,
        now,
        None if place is None else place.name,
        *(getattr(facts, name) for name in _FACTS),
    )


def finish_unchanged(connection: Connection, claims: Claims, ids: Sequence[int], now: float | None = None) -> set[int]:
    """The contents turned out to be those already indexed: keep the segments; returns the ids written."""
    held = hold(connection, claims, ids)
    _set(connection, held, {"status": AssetStatus.INDEXED, "indexed_at": now_or(now), **FRESH, **NO_LEASE})
    return held


def retry_later(
    connection: Connection, claims: Claims, asset_id: int, error: str, wait_seconds: float, *, counts: bool = True
) -> bool:
    """A transient failure: not to be claimed again for `wait_seconds`. False when the claim was lost.

    With `counts=False` the attempt does not count: nothing failed, the file is only not ready yet.
    """
    not_before = database_time(connection) + wait_seconds
    values: dict[str, object] = {"status": _WAITING, "error": clean_text(error), "not_before": not_before}
    return _fail(connection, claims, asset_id, values if counts else values | {"attempts": _BEFORE})


def quarantine(connection: Connection, claims: Claims, asset_id: int, error: str, kind: str | None = None) -> bool:
    """A permanent failure: out of the queue, with the reason. False when the claim was lost."""
    values = {"status": AssetStatus.QUARANTINED, "error": clean_text(error), "indexed_at": None}
    if not _fail(connection, claims, asset_id, values | ({"kind": kind} if kind else {})):
        return False
    remove_segments_of(connection, [asset_id])  # what they say is no longer what the file holds
    return True


def give_up(connection: Connection, claimed: AssetRecord, reason: str) -> None:
    """Don't try again: quarantine the asset, or, if it is searchable, leave only its text unread."""
    claims = claims_of([claimed])
    if claimed.only_reading:
        note = f"text in it could not be read: {reason}"
        finish_reading(connection, claims, [ReadAsset(asset_id=claimed.id, segments=(), note=note)])
    else:
        quarantine(connection, claims, claimed.id, reason)


def _fail(connection: Connection, claims: Claims, asset_id: int, values: Mapping[str, object]) -> bool:
    held = hold(connection, claims, [asset_id])
    connection.execute(update(asset).where(asset.c.id.in_(held)).values(**values, **NO_LEASE))
    return bool(held)


def hold_source(connection: Connection, source_id: int) -> int:
    """Keep this source's waiting assets from being claimed until `free_source`; returns how many."""
    waiting = or_(asset.c.status == AssetStatus.PENDING, and_(asset.c.status == AssetStatus.INDEXED, asset.c.unread))
    return _change(connection, {"not_before": HELD}, asset.c.source_id == source_id, waiting)


def free_source(connection: Connection, source_id: int) -> int:
    """Let the assets held by `hold_source` be claimed again; returns how many."""
    return _change(connection, {"not_before": 0.0}, asset.c.source_id == source_id, asset.c.not_before == HELD)


def retry_quarantined(connection: Connection, ids: Sequence[int] | None = None) -> int:
    """Give quarantined assets (these, or all) another chance; returns how many."""
    values = {"status": AssetStatus.PENDING, **FRESH}
    quarantined = asset.c.status == AssetStatus.QUARANTINED
    if ids is None:
        return _change(connection, values, quarantined)
    chunks = in_chunks(sorted(ids), _CHUNK)
    return sum(_change(connection, values, quarantined, among(connection, asset.c.id, chunk)) for chunk in chunks)


def _change(connection: Connection, values: Mapping[str, object], *which: ColumnElement[bool]) -> int:
    """Set these values in the assets that still meet the condition; returns how many."""
    # Locked in the order of ids, as everywhere, and only those that were locked are changed: what begins to fit
    # meanwhile would be locked in any order, and two transactions could wait for each other.
    ids = connection.scalars(select(asset.c.id).where(*which).order_by(asset.c.id).with_for_update()).all()
    _set(connection, ids, values)
    return len(ids)


def _set(connection: Connection, ids: Collection[int], values: Mapping[str, object]) -> None:
    for chunk in in_chunks(sorted(ids), _CHUNK):
        connection.execute(update(asset).where(among(connection, asset.c.id, chunk)).values(**values))


def hold(connection: Connection, claims: Claims, ids: Iterable[int] | None = None) -> set[int]:
    """Of which of these assets (of all, without `ids`) the claim is still the latest; they stay locked until commit.

    Call it first, with all ids, in a transaction that changes them in several ways.
    """
    held: set[int] = set()
    for chunk in in_chunks(sorted(claims if ids is None else claims.keys() & set(ids)), _CHUNK):
        statement = select(asset.c.id, asset.c.claim_number)
        statement = statement.where(among(connection, asset.c.id, chunk), asset.c.lease_owner.is_not(None))
        rows = connection.execute(statement.order_by(asset.c.id).with_for_update())
        held |= {asset_id for asset_id, number in rows if number == claims[asset_id]}
    return held
