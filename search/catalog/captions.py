"""Captions of images and sounds: which are still to be made, and what was made.

Claimed with a lease as all work is, once one is searchable and its text is read; it stays searchable
meanwhile. What is indexed anew, because its file changed, has no caption any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, and_, bindparam, func, or_, select, text, update

from search.catalog.models import WITHOUT_CAPTION, asset
from search.catalog.queue import FRESH, NO_LEASE, Claims, hold, take
from search.catalog.records import AssetRecord
from search.catalog.sequence import database_time
from search.catalog.sql.cleaning import clean_text
from search.catalog.states import AssetStatus
from search.results import Kind


def claim_without_caption(
    connection: Connection,
    owner: str,
    limit: int,
    lease_seconds: float,
    kinds: Sequence[Kind] = (Kind.IMAGE,),
    now: float | None = None,
) -> list[AssetRecord]:
    """Up to `limit` indexed images, or other `kinds`, without a caption, oldest first.

    Each claim counts as an attempt.
    """
    now = database_time(connection) if now is None else now
    silent = and_(asset.c.lease_expires_at < now, asset.c.lease_owner != owner)
    free = or_(asset.c.lease_expires_at.is_(None), silent)
    waiting = and_(text(WITHOUT_CAPTION), asset.c.kind.in_(kinds), ~asset.c.unread, asset.c.not_before <= now, free)
    return take(connection, waiting, AssetStatus.INDEXED, owner, limit, now + lease_seconds)


def count_without(connection: Connection) -> int:
    """How many searchable images no model has looked at yet."""
    waiting = select(func.count()).where(text(WITHOUT_CAPTION), asset.c.kind == Kind.IMAGE)
    return int(connection.execute(waiting).scalar_one())


def write_captions(connection: Connection, claims: Claims, captions: Mapping[int, str]) -> set[int]:
    """By asset id; an empty one says that the model could not tell. Returns the ids whose claim was the latest."""
    held = hold(connection, claims, captions)
    if held:
        done = update(asset).where(asset.c.id == bindparam("of_asset"))
        rows = [{"of_asset": asset_id, "words": clean_text(captions[asset_id]) or ""} for asset_id in sorted(held)]
        connection.execute(done.values(caption=bindparam("words"), **FRESH, **NO_LEASE), rows)
    return held
