"""Saved searches, and the events that tell of files that match them.

One matcher at a time compares what is new in a space: it holds a lease, by the database's clock, and writes how far it
came together with the events, so that each pair of search and file gets one event.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from search.catalog.models import asset, delivery, matching, saved_event, saved_search
from search.catalog.records import Match, SavedEventRecord, SavedSearchRecord
from search.catalog.sequence import database_time, latest_sequence, now_or
from search.catalog.sql.bulk import in_chunks
from search.catalog.sql.cleaning import clean_text
from search.catalog.states import DeliveryState
from search.errors import NotFoundError, UsageError

MOST_EVENTS = 100_000  # kept; older ones are forgotten
_CHUNK = 500


def create_saved_search(
    connection: Connection,
    space_id: int,
    name: str,
    query: str,
    *,
    least: float | None = None,
    notify: bool = True,
    webhook_url: str | None = None,
    webhook_secret: str | None = None,
    now: float | None = None,
) -> SavedSearchRecord:
    """Keep a search, whose new files are those that the space gets from now on. Raises UsageError for a taken name."""
    name = clean_text(name) or ""
    if connection.scalar(select(saved_search.c.id).where(saved_search.c.notify).limit(1)) is None:
        # Nobody has compared anything for a while.
        connection.execute(delete(matching))
    begin_matching(connection, space_id)
    if connection.scalar(select(saved_search.c.id).where(saved_search.c.name == name)) is not None:
        raise UsageError(f"there is a saved search {name!r} already")
    statement = insert(saved_search).values(
        name=name,
        query=query,
        least=least,
        notify=notify,
        webhook_url=webhook_url,
        webhook_secret=webhook_secret,
        created_at=now_or(now),
    )
    try:
        return SavedSearchRecord(*connection.execute(statement.returning(saved_search)).one())
    except IntegrityError:  # somebody was quicker
        raise UsageError(f"there is a saved search {name!r} already") from None


def change_saved_search(connection: Connection, saved_id: int, **values: object) -> SavedSearchRecord:
    """Set these columns. Raises NotFoundError, and UsageError where another one has the name."""
    if name := values.get("name"):
        other = select(saved_search.c.id).where(saved_search.c.name == name, saved_search.c.id != saved_id)
        if connection.scalar(other) is not None:
            raise UsageError(f"there is a saved search {name!r} already")
    statement = update(saved_search).where(saved_search.c.id == saved_id)
    statement = statement.values(**values, revision=saved_search.c.revision + 1)
    row = connection.execute(statement.returning(saved_search)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no saved search {saved_id}")
    return SavedSearchRecord(*row)


def get_saved_search(connection: Connection, saved: int | str) -> SavedSearchRecord:
    """The one with this id, or of this name. Raises NotFoundError."""
    column = saved_search.c.id if isinstance(saved, int) else saved_search.c.name
    row = connection.execute(select(saved_search).where(column == saved)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no saved search {saved!r}")
    return SavedSearchRecord(*row)


def list_saved_searches(
    connection: Connection, cursor: int | None = None, limit: int | None = None
) -> list[SavedSearchRecord]:
    """All after `cursor`, by id."""
    statement = select(saved_search).where(saved_search.c.id > (cursor or 0)).order_by(saved_search.c.id)
    return [SavedSearchRecord(*row) for row in connection.execute(statement.limit(limit))]


def count_saved_searches(connection: Connection) -> int:
    """How many there are."""
    return connection.scalar(select(func.count()).select_from(saved_search)) or 0


def revisions(connection: Connection) -> dict[int, int]:
    """By id of those that tell of new files, the revision: what a matcher has to load anew."""
    rows = connection.execute(select(saved_search.c.id, saved_search.c.revision).where(saved_search.c.notify))
    return {row.id: row.revision for row in rows}


def saved_searches_of(connection: Connection, ids: Sequence[int]) -> list[SavedSearchRecord]:
    """Those with these ids, by id."""
    records: list[SavedSearchRecord] = []
    for chunk in in_chunks(sorted(ids), _CHUNK):
        statement = select(saved_search).where(saved_search.c.id.in_(chunk)).order_by(saved_search.c.id)
        records += [SavedSearchRecord(*row) for row in connection.execute(statement)]
    return records


def keep_resolved(connection: Connection, fingerprint: str, resolved: Sequence[tuple[int, bytes]]) -> None:
    """Keep what queries are in the space of this fingerprint, so that no process has to embed them again."""
    if resolved:
        statement = update(saved_search).where(saved_search.c.id == bindparam("of_search"))
        statement = statement.values(resolved=bindparam("made"), fingerprint=fingerprint)
        connection.execute(statement, [{"of_search": saved_id, "made": made} for saved_id, made in resolved])


def remove_saved_search(connection: Connection, saved_id: int) -> None:
    """Forget one, with its events. Raises NotFoundError."""
    if not connection.execute(delete(saved_search).where(saved_search.c.id == saved_id)).rowcount:
        raise NotFoundError(f"there is no saved search {saved_id}")


def matched_up_to(connection: Connection, space_id: int) -> int | None:
    """How far a space's files have been compared; None if they never were."""
    return connection.scalar(select(matching.c.sequence).where(matching.c.space_id == space_id))


def begin_matching(connection: Connection, space_id: int) -> int:
    """How far a space's files have been compared; the first time that is all of them: what it holds is not new."""
    known = matched_up_to(connection, space_id)
    if known is not None:
        return known
    latest = latest_sequence(connection)
    connection.execute(insert(matching).values(space_id=space_id, sequence=latest))
    return latest


def claim_matching(connection: Connection, space_id: int, owner: str, lease_seconds: float) -> int | None:
    """Claim comparing from the returned number on until the lease ends; None while another process does it."""
    now = database_time(connection)
    free = or_(matching.c.owner.is_(None), matching.c.owner == owner, matching.c.expires_at < now)
    statement = update(matching).where(matching.c.space_id == space_id, free)
    statement = statement.values(owner=owner, expires_at=now + lease_seconds)
    return connection.execute(statement.returning(matching.c.sequence)).scalar_one_or_none()


def finish_matching(
    connection: Connection,
    space_id: int,
    owner: str,
    before: int,
    sequence: int,
    matches: Sequence[Match],
    now: float | None = None,
) -> list[SavedEventRecord] | None:
    """Write the events of everything up to `sequence`; gives those that are new, None where the lease was lost."""
    here = (matching.c.space_id == space_id, matching.c.owner == owner, matching.c.sequence == before)
    if not connection.execute(update(matching).where(*here).values(sequence=sequence)).rowcount:
        return None
    written: list[SavedEventRecord] = []
    for chunk in in_chunks(list(matches), _CHUNK):
        written += _write_events(connection, chunk, now_or(now))
    return written


def _write_events(connection: Connection, matches: Sequence[Match], now: float) -> list[SavedEventRecord]:
    searches = sorted({match.saved_search_id for match in matches})
    files = sorted({match.asset_id for match in matches})
    told = select(saved_event.c.saved_search_id, saved_event.c.asset_id)
    told = told.where(saved_event.c.saved_search_id.in_(searches), saved_event.c.asset_id.in_(files))
    known = {tuple(row) for row in connection.execute(told)}
    # Removed meanwhile: locked, so that they stay until the commit.
    there = select(saved_search.c.id, saved_search.c.webhook_url).where(saved_search.c.id.in_(searches))
    hooks = {row.id: row.webhook_url for row in connection.execute(there.with_for_update(read=True))}
    present = select(asset.c.id).where(asset.c.id.in_(files)).order_by(asset.c.id)  # as everywhere, so that none waits
    held = set(connection.scalars(present.with_for_update(read=True)))
    rows = [
        {
            "saved_search_id": match.saved_search_id,
            "asset_id": match.asset_id,
            "segment_id": match.segment_id,
            "relevance": match.relevance,
            "created_at": now,
        }
        for match in matches
        if (match.saved_search_id, match.asset_id) not in known
        and match.saved_search_id in hooks
        and match.asset_id in held
    ]
    if not rows:
        return []
    made = connection.execute(insert(saved_event).returning(saved_event), rows)
    events = sorted((SavedEventRecord(*row) for row in made), key=lambda event: event.id)
    sent = [
        {"event_id": event.id, "state": DeliveryState.PENDING, "updated_at": now}
        for event in events
        if hooks[event.saved_search_id]
    ]
    if sent:
        connection.execute(insert(delivery), sent)
    return events


def forget_old_events(connection: Connection, most: int = MOST_EVENTS) -> int:
    """Forget the oldest beyond that many; returns how many."""
    last = connection.scalar(select(saved_event.c.id).order_by(saved_event.c.id.desc()).offset(most).limit(1))
    return connection.execute(delete(saved_event).where(saved_event.c.id <= last)).rowcount if last else 0


def latest_event(connection: Connection) -> int:
    """The id of the latest event; 0 before the first."""
    return connection.scalar(select(func.max(saved_event.c.id))) or 0


def events_after(
    connection: Connection, event_id: int, saved_id: int | None = None, limit: int = 100
) -> list[SavedEventRecord]:
    """The next events, the oldest first."""
    statement = select(saved_event).where(saved_event.c.id > event_id).order_by(saved_event.c.id).limit(limit)
    if saved_id is not None:
        statement = statement.where(saved_event.c.saved_search_id == saved_id)
    return [SavedEventRecord(*row) for row in connection.execute(statement)]


def events_before(
    connection: Connection, event_id: int | None = None, saved_id: int | None = None, limit: int = 100
) -> list[SavedEventRecord]:
    """Events, the newest first, those before `event_id`."""
    statement = select(saved_event).order_by(saved_event.c.id.desc()).limit(limit)
    if event_id is not None:
        statement = statement.where(saved_event.c.id < event_id)
    if saved_id is not None:
        statement = statement.where(saved_event.c.saved_search_id == saved_id)
    return [SavedEventRecord(*row) for row in connection.execute(statement)]


def event_counts(connection: Connection, saved_ids: Sequence[int]) -> dict[int, int]:
    """By saved search, how many events are kept."""
    counted = select(saved_event.c.saved_search_id, func.count()).where(saved_event.c.saved_search_id.in_(saved_ids))
    return {saved_id: count for saved_id, count in connection.execute(counted.group_by(saved_event.c.saved_search_id))}  # noqa: C416
