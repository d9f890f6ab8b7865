"""Hashes that tell which files are alike: of their contents, and perceptual ones of pictures."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, func, select

from search.catalog.models import asset, segment
from search.catalog.sql.bulk import in_chunks
from search.catalog.states import AssetStatus

_INDEXED = asset.c.status == AssetStatus.INDEXED
_CHUNK = 5000


def shared_content_hashes(connection: Connection) -> dict[int, str]:
    """Content hash by asset id, for searchable assets that share their contents with another one."""
    shared = select(asset.c.content_hash).where(_INDEXED).group_by(asset.c.content_hash).having(func.count() > 1)
    statement = select(asset.c.id, asset.c.content_hash).where(_INDEXED, asset.c.content_hash.in_(shared))
    return {row.id: row.content_hash for row in connection.execute(statement)}


def perceptual_hashes(connection: Connection) -> dict[int, bytes]:
    """Perceptual hash by asset id, of all searchable assets that have one."""
    statement = select(asset.c.id, asset.c.perceptual_hash).where(_INDEXED, asset.c.perceptual_hash.is_not(None))
    return {asset_id: bytes(stored) for asset_id, stored in connection.execute(statement)}


def hashes_of(connection: Connection, asset_ids: Iterable[int]) -> dict[int, tuple[str | None, bytes | None]]:
    """Content hash and perceptual hash by asset id, of those that are there."""
    hashes: dict[int, tuple[str | None, bytes | None]] = {}
    columns = asset.c.id, asset.c.content_hash, asset.c.perceptual_hash
    for ids in in_chunks([int(asset_id) for asset_id in asset_ids], _CHUNK):
        for asset_id, content, picture in connection.execute(select(*columns).where(asset.c.id.in_(ids))):
            hashes[asset_id] = content, None if picture is None else bytes(picture)
    return hashes


def assets_of_segments(connection: Connection, segment_ids: Iterable[int]) -> dict[int, int]:
    """Asset id by segment id, for the segments that are there."""
    owners: dict[int, int] = {}
    for ids in in_chunks([int(segment_id) for segment_id in segment_ids], _CHUNK):
        rows = connection.execute(select(segment.c.id, segment.c.asset_id).where(segment.c.id.in_(ids)))
        owners |= {row.id: row.asset_id for row in rows}
    return owners
