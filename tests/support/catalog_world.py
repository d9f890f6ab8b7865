"""A small make-believe library in a catalogue, for tests that need one without media or models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from search.catalog import assets, models, queue, sources, spaces
from search.catalog.database import Database
from search.catalog.records import AssetFacts, FoundFile, IndexedAsset, NewSegment, SourceRecord, SpaceRecord

DIMENSION = 4


def found(name: str, size: int = 10, time: int = 1) -> FoundFile:
    """A file below /media."""
    path = f"/media/{name}"
    return FoundFile(path=path, path_bytes=path.encode(), size_bytes=size, modified_ns=time)


def vector(seed: int) -> np.ndarray:
    """`(4,) float32`, different for each seed."""
    return np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)


def add_library(database: Database, names: Sequence[str]) -> SourceRecord:
    """A source /media with these files, all pending."""
    with database.write() as connection:
        source = sources.add_source(connection, "/media", now=1.0)
        assets.sync_assets(connection, source.id, [found(name) for name in names], now=1.0)
    return source


def add_space(database: Database, name: str = "starter") -> SpaceRecord:
    """A space without any vector."""
    with database.write() as connection:
        return spaces.create_space(connection, name, "{}", "f" * 64, now=1.0)


def result(
    asset_id: int, space_ids: Sequence[int] = (), signals: Sequence[str] = ("image",), **facts: Any
) -> IndexedAsset:
    """What indexing this asset might have produced: one segment per signal."""
    return IndexedAsset(
        asset_id=asset_id,
        kind="image",
        content_hash=f"{asset_id:064x}",
        facts=AssetFacts(**facts),
        segments=[new_segment(signal, f"words {asset_id}", dict.fromkeys(space_ids, asset_id)) for signal in signals],
    )


def new_segment(signal: str, text: str | None = None, seeds: Mapping[int, int] | None = None) -> NewSegment:
    """A segment; `seeds` names a vector per space."""
    vectors = {space_id: vector(seed) for space_id, seed in (seeds or {}).items()}
    return NewSegment(signal=signal, text=text, vectors=vectors)


def index_all(database: Database, *space_ids: int, signals: Sequence[str] = ("image",)) -> list[int]:
    """Claim and finish whatever is pending; returns the ids of the assets, in order."""
    with database.write() as connection:
        claimed = queue.claim(connection, "indexer", 10_000, 60)
    with database.write() as connection:
        results = [result(record.id, space_ids, signals) for record in claimed]
        return sorted(queue.finish(connection, claims_held(connection, "indexer"), results))


def claims_held(connection: Connection, owner: str) -> queue.Claims:
    """What this owner of leases holds now: for tests that look at something else than overtaken claims."""
    statement = select(models.asset.c.id, models.asset.c.claim_number).where(models.asset.c.lease_owner == owner)
    return {row.id: row.claim_number for row in connection.execute(statement)}
