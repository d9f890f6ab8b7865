"""Embedding spaces as the catalogue knows them: name, identity, state, calibration.

Exactly one space is active once any is; switching is one transaction. Knows no model.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, update

from search.catalog.models import space
from search.catalog.records import SpaceRecord
from search.catalog.sequence import now_or, settle
from search.catalog.sql.cleaning import clean_text
from search.catalog.states import SpaceState
from search.errors import NotFoundError, UsageError


def create_space(
    connection: Connection,
    name: str,
    specification: str,
    fingerprint: str,
    *,
    state: SpaceState = SpaceState.FILLING,
    probe: bytes | None = None,
    now: float | None = None,
) -> SpaceRecord:
    """Create a space, `filling` unless said otherwise. Raises UsageError when the name is taken."""
    name = clean_text(name)
    if find_space(connection, name) is not None:
        raise UsageError(f"there is already a space {name!r}")
    statement = insert(space).values(
        name=name,
        specification=specification,
        fingerprint=fingerprint,
        state=state,
        probe=probe,
        created_at=now_or(now),
    )
    return SpaceRecord(*connection.execute(statement.returning(space)).one())


def list_spaces(connection: Connection) -> list[SpaceRecord]:
    """All spaces, oldest first."""
    return [SpaceRecord(*row) for row in connection.execute(select(space).order_by(space.c.id))]


def find_space(connection: Connection, name: str) -> SpaceRecord | None:
    """The space with this name; None without one."""
    row = connection.execute(select(space).where(space.c.name == clean_text(name))).one_or_none()
    return SpaceRecord(*row) if row else None


def get_space(connection: Connection, name: str) -> SpaceRecord:
    """The space with this name. Raises NotFoundError, which lists the spaces there are."""
    space_record = find_space(connection, name)
    if space_record is None:
        known = ", ".join(record.name for record in list_spaces(connection)) or "none"
        raise NotFoundError(f"there is no space {name!r}; there are: {known}")
    return space_record


def active_space(connection: Connection) -> SpaceRecord | None:
    """The space that searches use; None before one is active."""
    row = connection.execute(select(space).where(space.c.state == SpaceState.ACTIVE)).one_or_none()
    return SpaceRecord(*row) if row else None


def activate_space(connection: Connection, name: str) -> SpaceRecord:
    """Make this space the one that searches use; the one before stays ready. Raises NotFoundError."""
    # Locked in one order, so that of two processes that switch at once one waits for the other.
    # Not their keys, though: writers of vectors hold those, and must not be waited for.
    connection.execute(select(space.c.id).order_by(space.c.id).with_for_update(key_share=True))
    chosen = get_space(connection, name)
    connection.execute(
        update(space).where(space.c.state == SpaceState.ACTIVE, space.c.id != chosen.id).values(state=SpaceState.READY)
    )
    connection.execute(update(space).where(space.c.id == chosen.id).values(state=SpaceState.ACTIVE))
    return get_space(connection, name)


def mark_filled(connection: Connection, space_id: int) -> None:
    """Mark a space that was being filled as complete."""
    connection.execute(
        update(space).where(space.c.id == space_id, space.c.state == SpaceState.FILLING).values(state=SpaceState.READY)
    )


def drop_space(connection: Connection, name: str) -> None:
    """Remove a space with its vectors. Raises NotFoundError, or UsageError for the active one."""
    chosen = get_space(connection, name)
    if chosen.state == SpaceState.ACTIVE:
        raise UsageError(f"space {name!r} is in use: first use another one (medley spaces use NAME)")
    settle(connection, only_if_showing=True)
    connection.execute(delete(space).where(space.c.id == chosen.id))


def set_calibration(connection: Connection, space_id: int, calibration: str | None) -> None:
    """Store a calibration as JSON (see search/ranking/calibration.py)."""
    connection.execute(update(space).where(space.c.id == space_id).values(calibration=calibration))


def set_probe(connection: Connection, space_id: int, probe: bytes | None) -> None:
    """Store the vectors of the fixed probe, as float32 bytes."""
    connection.execute(update(space).where(space.c.id == space_id).values(probe=probe))
