"""The tuning of a space: what was learnt from judgements, beside the space, so that removing the row takes it back."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from search.catalog.models import tuning
from search.catalog.records import TuningRecord
from search.catalog.sequence import now_or


def store_tuning(connection: Connection, space_id: int, weights: bytes, record: str, now: float | None = None) -> None:
    """Store what was learnt for a space, replacing what was stored before."""
    connection.execute(delete(tuning).where(tuning.c.space_id == space_id))
    values = {"space_id": space_id, "weights": weights, "record": record, "created_at": now_or(now)}
    connection.execute(insert(tuning).values(**values))


def find_tuning(connection: Connection, space_id: int) -> TuningRecord | None:
    """What was learnt for a space; None without any."""
    row = connection.execute(select(tuning).where(tuning.c.space_id == space_id)).one_or_none()
    return TuningRecord(*row) if row else None


def tuned_at(connection: Connection, space_id: int) -> float | None:
    """When a space was tuned; None if it is not. Cheap: asked at every poll."""
    statement = select(tuning.c.created_at).where(tuning.c.space_id == space_id)
    return connection.execute(statement).scalar_one_or_none()


def forget_tuning(connection: Connection, space_id: int) -> bool:
    """Take it back; was there any?"""
    return bool(connection.execute(delete(tuning).where(tuning.c.space_id == space_id)).rowcount)
