"""Looks for what must never occur: rows without parents, vectors in the wrong state, words not indexed.

Foreign keys and transactions rule all of it out, but a database that was edited by hand or restored in parts
may still contain it. Every number of a healthy catalogue is zero. Reads everything: for audits, not for requests.
"""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import Connection, Select, func, or_, select, text

from search.catalog.models import asset, embedding, segment, space
from search.catalog.sequence import database_time, latest_sequence, settle
from search.catalog.states import AssetStatus

_SAME = (
    segment.c.asset_id,
    segment.c.signal,
    func.coalesce(segment.c.start_seconds, -1.0),
    func.coalesce(segment.c.end_seconds, -1.0),
    func.coalesce(segment.c.text, ""),
)
_GROUPS = select(func.count().label("size")).select_from(segment).group_by(*_SAME).having(func.count() > 1).subquery()
_DOUBLED = select(func.coalesce(func.sum(_GROUPS.c.size - 1), 0))


class CatalogHealth(Struct, frozen=True, kw_only=True):
    """How many rows are wrong, and in which way."""

    segments_without_asset: int
    embeddings_without_segment: int
    embeddings_without_space: int
    hidden_embeddings_of_present_assets: int
    shown_embeddings_of_missing_assets: int
    embeddings_beyond_the_counter: int
    working_without_lease: int
    doubled_segments: int  # that say the same of the same stretch of the same asset as another one does
    words_out_of_step: int  # segments with text less entries of the full-text index, either way

    @property
    def healthy(self) -> bool:
        """Whether every number is zero."""
        return not any(getattr(self, name) for name in self.__struct_fields__)


def inspect(connection: Connection) -> CatalogHealth:
    """Count what is wrong in the catalogue, at one moment."""
    settle(connection)

    def number(statement: Select[int]) -> int:
        return connection.scalar(statement) or 0

    owner = select(segment.c.id).where(segment.c.id == embedding.c.segment_id)
    home = select(space.c.id).where(space.c.id == embedding.c.space_id)
    parent = select(asset.c.id).where(asset.c.id == segment.c.asset_id)
    of_asset = embedding.join(segment, segment.c.id == embedding.c.segment_id).join(
        asset, asset.c.id == segment.c.asset_id
    )
    placed = select(func.count()).select_from(of_asset)
    return CatalogHealth(
        segments_without_asset=number(select(func.count()).select_from(segment).where(~parent.exists())),
        embeddings_without_segment=number(select(func.count()).select_from(embedding).where(~owner.exists())),
        embeddings_without_space=number(select(func.count()).select_from(embedding).where(~home.exists())),
        hidden_embeddings_of_present_assets=number(
            placed.where(embedding.c.sequence == 0, asset.c.status == AssetStatus.INDEXED)
        ),
        shown_embeddings_of_missing_assets=number(
            placed.where(embedding.c.sequence > 0, asset.c.status == AssetStatus.MISSING)
        ),
        embeddings_beyond_the_counter=number(
            select(func.count()).select_from(embedding).where(embedding.c.sequence > latest_sequence(connection))
        ),
        working_without_lease=number(
            select(func.count())
            .select_from(asset)
            .where(
                asset.c.status == AssetStatus.WORKING,
                or_(asset.c.lease_owner.is_(None), asset.c.lease_expires_at.is_(None)),
            )
        ),
        doubled_segments=number(_DOUBLED),
        words_out_of_step=_words_out_of_step(connection),
    )


def _words_out_of_step(connection: Connection) -> int:
    if connection.dialect.name == "postgresql":  # a generated column can't fall behind
        return 0
    texts = connection.scalar(select(func.count()).select_from(segment).where(segment.c.text.is_not(None))) or 0
    indexed = connection.scalar(text("SELECT count(*) FROM segment_words_docsize")) or 0
    return abs(texts - indexed)


def damage(connection: Connection) -> list[str]:
    """What SQLite's own check of its pages and indexes finds, at most ten lines; empty when the file is sound.

    PostgreSQL looks after its own pages (checksums, amcheck), so there it is always empty.
    """
    if connection.dialect.name == "postgresql":
        return []
    lines = [str(line) for line in connection.exec_driver_sql("PRAGMA integrity_check(10)").scalars()]
    return [] if lines == ["ok"] else lines


def expired_leases(connection: Connection, now: float | None = None) -> int:
    """Assets whose worker fell silent; the next worker to ask takes them over."""
    silent = asset.c.lease_expires_at < (database_time(connection) if now is None else now)
    return connection.scalar(select(func.count()).select_from(asset).where(silent)) or 0
