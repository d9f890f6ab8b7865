"""Deliveries: events on their way to webhooks.

Claimed as assets are, each with a number that what is written must carry. Leases are measured by the database's clock;
a caller's `now` is for tests.
"""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Connection, select, update

from search.catalog.alerts.saved_searches import saved_searches_of
from search.catalog.models import delivery, saved_event
from search.catalog.records import DeliveryRecord, SavedEventRecord, SavedSearchRecord
from search.catalog.sequence import database_time, now_or
from search.catalog.sql.cleaning import clean_text
from search.catalog.states import DeliveryState


class Told(Struct, frozen=True):
    """An event with what is to be sent of it."""

    event: SavedEventRecord
    saved: SavedSearchRecord
    delivery: DeliveryRecord


def deliveries_are_due(connection: Connection) -> bool:
    """Whether there is something to send now."""
    due = (delivery.c.state == DeliveryState.PENDING, delivery.c.not_before <= database_time(connection))
    return connection.scalar(select(delivery.c.event_id).where(*due).limit(1)) is not None


def claim_deliveries(connection: Connection, limit: int, lease_seconds: float, now: float | None = None) -> list[Told]:
    """Up to `limit` events that are due, each with a lease: no other process sends them until it ends."""
    now = database_time(connection) if now is None else now
    due = select(delivery.c.event_id).where(delivery.c.state == DeliveryState.PENDING, delivery.c.not_before <= now)
    due = due.order_by(delivery.c.not_before, delivery.c.event_id).limit(limit).with_for_update(skip_locked=True)
    statement = update(delivery).where(delivery.c.event_id.in_(due.scalar_subquery()))
    statement = statement.values(
        not_before=now + lease_seconds, attempts=delivery.c.attempts + 1, claim_number=delivery.c.claim_number + 1
    )
    claimed = {row.event_id: DeliveryRecord(*row) for row in connection.execute(statement.returning(delivery))}
    rows = connection.execute(select(saved_event).where(saved_event.c.id.in_(claimed)).order_by(saved_event.c.id))
    events = [SavedEventRecord(*row) for row in rows]
    searches = {
        search.id: search for search in saved_searches_of(connection, [event.saved_search_id for event in events])
    }
    return [Told(event, searches[event.saved_search_id], claimed[event.id]) for event in events]


def finish_delivery(
    connection: Connection,
    claimed: DeliveryRecord,
    state: DeliveryState,
    *,
    status: int | None = None,
    error: str | None = None,
    wait_seconds: float = 0.0,
    now: float | None = None,
) -> bool:
    """Write what became of a claimed delivery; False where the claim was lost."""
    statement = update(delivery).where(
        delivery.c.event_id == claimed.event_id, delivery.c.claim_number == claimed.claim_number
    )
    not_before = (database_time(connection) if now is None else now) + wait_seconds
    values = {"state": state, "status": status, "error": clean_text(error), "not_before": not_before}
    return bool(connection.execute(statement.values(**values, updated_at=now_or(now))).rowcount)


def list_deliveries(
    connection: Connection, saved_id: int, cursor: int | None = None, limit: int = 100
) -> list[DeliveryRecord]:
    """What became of a saved search's events, the newest first, those before `cursor` (the last event id seen)."""
    statement = select(delivery).join(saved_event, saved_event.c.id == delivery.c.event_id)
    statement = statement.where(saved_event.c.saved_search_id == saved_id)
    if cursor is not None:
        statement = statement.where(delivery.c.event_id < cursor)
    return [
        DeliveryRecord(*row) for row in connection.execute(statement.order_by(delivery.c.event_id.desc()).limit(limit))
    ]


def retry_deliveries(connection: Connection, saved_id: int) -> int:
    """Send what was given up once more; returns how many."""
    events = select(saved_event.c.id).where(saved_event.c.saved_search_id == saved_id)
    dead = update(delivery).where(delivery.c.state == DeliveryState.DEAD, delivery.c.event_id.in_(events))
    return connection.execute(dead.values(state=DeliveryState.PENDING, attempts=0, not_before=0.0)).rowcount
