"""Looks for what must never be: rows without their parents, vectors in the wrong state, words not indexed.

Foreign keys and transactions rule all of it out; a database edited by hand or restored in parts may
still hold it. Every number of a healthy catalogue is zero. Reads everything: for audits, not for requests.
"""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Connection, Select, func, or_, select, text

from search.catalog.models import asset, embedding, segment, space
from search.catalog.sequence import latest_sequence, now_or, settle


class Health(Struct, frozen=True, kw_only=True):
    """How many rows are wrong, by kind of wrong."""

    segments_without_asset: int
    embeddings_without_segment: int
    embeddings_without_space: int
    hidden_embeddings_of_present_assets: int
    shown_embeddings_of_missing_assets: int
    embeddings_beyond_the_counter: int
    working_without_lease: int
    words_out_of_step: int  # segments with text less entries of the full-text index, either way

    @property
    def healthy(self) -> bool:
        """Whether every number is zero."""
        return not any(getattr(self, name) for name in self.__struct_fields__)


def inspect(connection: Connection) -> Health:
    """The catalogue's health at one moment."""

    settle(connection)

    def number(statement: Select) -> int:
        return connection.scalar(statement) or 0

    owner = select(segment.c.id).where(segment.c.id == embedding.c.segment_id)
    home = select(space.c.id).where(space.c.id == embedding.c.space_id)
    parent = select(asset.c.id).where(asset.c.id == segment.c.asset_id)
    of_asset = embedding.join(segment, segment.c.id == embedding.c.segment_id).join(
        asset, asset.c.id == segment.c.asset_id
    )
    placed = select(func.count()).select_from(of_asset)
    return Health(
        segments_without_asset=number(select(func.count()).select_from(segment).where(~parent.exists())),
        embeddings_without_segment=number(select(func.count()).select_from(embedding).where(~owner.exists())),
        embeddings_without_space=number(select(func.count()).select_from(embedding).where(~home.exists())),
        hidden_embeddings_of_present_assets=number(
            placed.where(embedding.c.sequence == 0, asset.c.status == "indexed")
        ),
        shown_embeddings_of_missing_assets=number(placed.where(embedding.c.sequence > 0, asset.c.status == "missing")),
        embeddings_beyond_the_counter=number(
            select(func.count()).select_from(embedding).where(embedding.c.sequence > latest_sequence(connection))
        ),
        working_without_lease=number(
            select(func.count())
            .select_from(asset)
            .where(asset.c.status == "working", or_(asset.c.lease_owner.is_(None), asset.c.lease_expires_at.is_(None)))
        ),
        words_out_of_step=_words_out_of_step(connection),
    )


def _words_out_of_step(connection: Connection) -> int:
    if connection.dialect.name == "postgresql":  # a generated column can't fall behind
        return 0
    texts = connection.scalar(select(func.count()).select_from(segment).where(segment.c.text.is_not(None))) or 0
    indexed = connection.scalar(text("SELECT count(*) FROM segment_words_docsize")) or 0
    return abs(texts - indexed)


def expired_leases(connection: Connection, now: float | None = None) -> int:
    """Assets whose worker fell silent; the next worker to ask takes them over."""
    silent = asset.c.lease_expires_at < now_or(now)
    return connection.scalar(select(func.count()).select_from(asset).where(silent)) or 0
