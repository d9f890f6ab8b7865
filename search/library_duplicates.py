"""The duplicates of a whole library, tier by tier, for `medley duplicates` and `GET /v1/duplicates`.

Exact and perceptual duplicates come from the catalogue, those by meaning from the active space.
"""

from __future__ import annotations

import os
from collections.abc import Collection

import msgspec
import numpy as np
from msgspec import Struct

from search.catalog import assets
from search.catalog import hashes as fingerprints
from search.duplicates.matching import Group, Tier, exact_groups, groups_of, meaning_pairs, perceptual_pairs, without
from search.engine import SearchEngine
from search.ranking.hits import asset_view
from search.results import AssetView
from search.signals import Signal

# Neighbours looked at per picture: a group of any size is still found whole, link by link.
_NEIGHBOURS = 8
_BATCH = 256


class DuplicateGroup(Struct, frozen=True, kw_only=True):
    """Assets that are copies of each other, oldest first."""

    tier: Tier
    likeness: float
    assets: tuple[AssetView, ...]


def find_duplicates(engine: SearchEngine, tiers: Collection[Tier] = tuple(Tier)) -> list[Group]:
    """The groups of these tiers, best tier first; groups contained in one of a better tier are left out."""
    with engine.database.read() as connection:
        hashes = fingerprints.shared_content_hashes(connection)
        pictures = fingerprints.perceptual_hashes(connection) if Tier.PERCEPTUAL in tiers else {}
    groups = exact_groups(hashes) if Tier.EXACT in tiers else []
    if Tier.PERCEPTUAL in tiers:
        groups += without(groups_of(Tier.PERCEPTUAL, perceptual_pairs(pictures)), groups)
    if Tier.MEANING in tiers:
        groups += without(_by_meaning(engine), groups)
    return _of_different_files(engine, groups)


def _of_different_files(engine: SearchEngine, groups: Collection[Group]) -> list[Group]:
    """The groups without second names of the same file: removing "the copy" would remove the only one."""
    wanted = sorted({asset_id for group in groups for asset_id in group.asset_ids})
    with engine.database.read() as connection:
        files = {record.id: os.path.realpath(record.path_bytes) for record in assets.get_assets(connection, wanted)}
    firsts = [
        tuple(
            sorted({files[asset_id]: asset_id for asset_id in reversed(group.asset_ids) if asset_id in files}.values())
        )
        for group in groups
    ]
    return [
        msgspec.structs.replace(group, asset_ids=ids) for group, ids in zip(groups, firsts, strict=True) if len(ids) > 1
    ]


def with_assets(engine: SearchEngine, groups: Collection[Group]) -> list[DuplicateGroup]:
    """The groups as results show them."""
    wanted = sorted({asset_id for group in groups for asset_id in group.asset_ids})
    with engine.database.read() as connection:
        records = {record.id: record for record in assets.get_assets(connection, wanted)}
    return [
        DuplicateGroup(
            tier=group.tier,
            likeness=round(group.likeness, 4),
            assets=tuple(asset_view(records[asset_id]) for asset_id in group.asset_ids if asset_id in records),
        )
        for group in groups
    ]


def _by_meaning(engine: SearchEngine) -> list[Group]:
    """Pictures whose vectors nearly coincide: the same scene photographed again."""
    partition = engine.partitions.get(Signal.IMAGE)
    if partition is None or len(partition) < 2:
        return []
    ids = np.sort(partition.ids())
    rows, neighbours, cosines = [], [], []
    for start in range(0, len(ids), _BATCH):
        asking = ids[start : start + _BATCH]
        scores, nearest = partition.search(partition.vectors(asking), min(_NEIGHBOURS, len(ids)))
        rows.append(asking)
        neighbours.append(nearest)
        cosines.append(scores)
    with engine.database.read() as connection:
        asset_of = fingerprints.assets_of_segments(connection, ids)
    to_asset = np.vectorize(lambda segment_id: asset_of.get(segment_id, -1), otypes=[np.int64])
    return groups_of(
        Tier.MEANING,
        meaning_pairs(to_asset(np.concatenate(rows)), to_asset(np.concatenate(neighbours)), np.concatenate(cosines)),
    )
