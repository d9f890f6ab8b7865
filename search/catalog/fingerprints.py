"""What tells that files are alike: their content hashes and their pictures' perceptual hashes."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, func, select

from search.catalog.bulk import in_chunks
from search.catalog.models import asset, segment

_INDEXED = asset.c.status == "indexed"
_CHUNK = 5000


def shared_content_hashes(connection: Connection) -> dict[int, str]:
    """Content hash by asset id, of searchable assets whose bytes another one has too."""
    shared = select(asset.c.content_hash).where(_INDEXED).group_by(asset.c.content_hash).having(func.count() > 1)
    found = select(asset.c.id, asset.c.content_hash).where(_INDEXED, asset.c.content_hash.in_(shared))
    return {row.id: row.content_hash for row in connection.execute(found)}


def perceptual_hashes(connection: Connection) -> dict[int, bytes]:
    """Perceptual hash by asset id, of all searchable assets that have one."""
    found = select(asset.c.id, asset.c.perceptual_hash).where(_INDEXED, asset.c.perceptual_hash.is_not(None))
    return {asset_id: bytes(stored) for asset_id, stored in connection.execute(found)}


def assets_of_segments(connection: Connection, segment_ids: Iterable[int]) -> dict[int, int]:
    """Asset id by segment id, for the segments that are there."""
    found: dict[int, int] = {}
    for ids in in_chunks([int(segment_id) for segment_id in segment_ids], _CHUNK):
        rows = connection.execute(select(segment.c.id, segment.c.asset_id).where(segment.c.id.in_(ids)))
        found |= {row.id: row.asset_id for row in rows}
    return found
