"""Finds copies in three tiers: the same bytes, the same picture altered, the same meaning.

Works on arrays from the catalogue and the partitions; knows neither. Matching takes near-linear
time: hash tables find pairs that share low frequencies, and only those are compared in full.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import faiss
import numpy as np
from msgspec import Struct

from search.duplicates.perceptual_hash import BITS, BYTES, VIEWS, mirrored, views_of

# Of BITS. Of copies that were resized, recompressed, cropped up to 5 % an edge, recoloured or mirrored 95 % lie
# within; the nearest of 2 million pairs of different photos lay at 26 (docs/benchmarks/ranking.md).
PERCEPTUAL_DISTANCE = 22
# Cosine in the space of a picture's own vectors above which two pictures mean the same.
MEANING_COSINE = 0.95
# Hash tables that a pair must meet in one of, bit for bit save one. Longer keys keep the buckets of a large
# library small; more tables make up for the pairs that longer keys miss (of true pairs 99 and 96 % meet).
_LARGE = 200_000
_TABLES, _TABLE_BITS = 3, 20
_LARGE_TABLES, _LARGE_TABLE_BITS = 5, 24
_QUERY_ROWS = 65_536  # bounds the memory of one search


class Tier(StrEnum):
    """How alike the assets of a group are."""

    EXACT = "exact"
    PERCEPTUAL = "perceptual"
    MEANING = "meaning"


class Group(Struct, frozen=True, kw_only=True):
    """Assets that are copies of each other, lowest id first."""

    tier: Tier
    asset_ids: tuple[int, ...]
    likeness: float  # of the weakest link that holds the group together; 1 for the same bytes


class Pair(Struct, frozen=True):
    """Two assets, first < second, and how alike they are in [0, 1]."""

    first: int
    second: int
    likeness: float


def exact_groups(content_hashes: Mapping[int, str]) -> list[Group]:
    """Assets with the same bytes, from their content hashes by asset id."""
    same: dict[str, list[int]] = defaultdict(list)
    for asset_id, content_hash in content_hashes.items():
        same[content_hash].append(asset_id)
    groups = [tuple(sorted(ids)) for ids in same.values() if len(ids) > 1]
    return [Group(tier=Tier.EXACT, asset_ids=ids, likeness=1.0) for ids in sorted(groups)]


def perceptual_pairs(hashes: Mapping[int, bytes], distance: int = PERCEPTUAL_DISTANCE) -> list[Pair]:
    """Pairs of altered copies, from the results of `perceptual_hash` by asset id."""
    views = {
        asset_id: asset_views for asset_id, stored in hashes.items() if (asset_views := views_of(stored)) is not None
    }
    if len(views) < 2:
        return []
    ids = np.fromiter(views, dtype=np.int64, count=len(views))
    table = np.stack(list(views.values()))  # (n, VIEWS, BYTES)
    large = len(views) > _LARGE
    index = faiss.IndexBinaryMultiHash(
        BITS, _LARGE_TABLES if large else _TABLES, _LARGE_TABLE_BITS if large else _TABLE_BITS
    )
    index.nflip = 1
    index.add(np.ascontiguousarray(table.reshape(-1, BYTES)))
    nearest: dict[tuple[int, int], int] = {}
    rows = max(1, _QUERY_ROWS // 4)
    for start in range(0, len(ids), rows):
        whole = np.ascontiguousarray(table[start : start + rows, 0])
        for queries in mirrored(whole):
            limits, distances, neighbours = index.range_search(np.ascontiguousarray(queries), distance + 1)
            counts = np.diff(limits).astype(np.int64)
            asking = np.repeat(np.arange(start, start + len(whole)), counts)
            _keep_nearest(nearest, ids[asking], ids[neighbours // VIEWS], distances)
    return [Pair(first, second, 1 - bits / BITS) for (first, second), bits in sorted(nearest.items())]


def _keep_nearest(
    nearest: dict[tuple[int, int], int], asking: np.ndarray, neighbours: np.ndarray, distances: np.ndarray
) -> None:
    others = asking != neighbours
    first, second = np.minimum(asking, neighbours)[others], np.maximum(asking, neighbours)[others]
    for left, right, bits in zip(first.tolist(), second.tolist(), distances[others].tolist(), strict=True):
        nearest[left, right] = min(int(bits), nearest.get((left, right), BITS))


def meaning_pairs(
    asset_ids: np.ndarray, neighbours: np.ndarray, cosines: np.ndarray, cosine: float = MEANING_COSINE
) -> list[Pair]:
    """Pairs that mean the same: `asset_ids (n,)`, and per row its nearest assets and cosines `(n, k)`, -1 pads."""
    rows, columns = np.nonzero((cosines >= cosine) & (neighbours >= 0) & (neighbours != asset_ids[:, None]))
    best: dict[tuple[int, int], float] = {}
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        left, right = sorted((int(asset_ids[row]), int(neighbours[row, column])))
        best[left, right] = max(best.get((left, right), -1.0), float(cosines[row, column]))
    return [Pair(left, right, min(1.0, value)) for (left, right), value in sorted(best.items())]


def groups_of(tier: Tier, pairs: Iterable[Pair]) -> list[Group]:
    """Groups of connected pairs, most alike first."""
    parent: dict[int, int] = {}

    def root(asset_id: int) -> int:
        while parent.setdefault(asset_id, asset_id) != asset_id:
            parent[asset_id] = asset_id = parent[parent[asset_id]]
        return asset_id

    weakest: dict[int, float] = {}
    # Strongest links first: what joins two parts last is the weakest link that holds them together.
    for pair in sorted(pairs, key=lambda pair: -pair.likeness):
        left, right = root(pair.first), root(pair.second)
        if left != right:
            parent[max(left, right)] = min(left, right)
            weakest[min(left, right)] = pair.likeness
    return _groups(tier, {asset_id: root(asset_id) for asset_id in list(parent)}, weakest)


def _groups(tier: Tier, roots: Mapping[int, int], weakest: Mapping[int, float]) -> list[Group]:
    members: dict[int, list[int]] = defaultdict(list)
    for asset_id, its_root in roots.items():
        members[its_root].append(asset_id)
    groups = [
        Group(tier=tier, asset_ids=tuple(sorted(ids)), likeness=weakest[its_root]) for its_root, ids in members.items()
    ]
    return sorted(groups, key=lambda group: (-group.likeness, group.asset_ids))


def without(groups: Sequence[Group], better: Sequence[Group]) -> list[Group]:
    """The groups that are not contained in one of a better tier's groups."""
    known = {asset_id: number for number, group in enumerate(better) for asset_id in group.asset_ids}
    return [group for group in groups if len({known.get(asset_id, -1 - asset_id) for asset_id in group.asset_ids}) > 1]
