"""Copies in one ranking: assets with the same bytes, or of the same picture altered, are one hit.

The best ranked stands for its copies, and what an earlier page stood for is not shown again. Copies are compared with
the one that stands for them, never along a chain of ever less alike pictures. Knows hashes; knows no catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from search.duplicates.matching import PERCEPTUAL_DISTANCE
from search.duplicates.perceptual_hash import BITS, BYTES, mirrored, views_of

# Pictures of a ranking that are compared with each other; further down only the same bytes count, until a later page
# comes to them.
COMPARED = 100


class Hashes(Struct, frozen=True):
    """What tells that an asset is a copy of another."""

    content: str | None
    picture: bytes | None  # as `perceptual_hash` gives it


class Standing(Struct, frozen=True):
    """A ranked asset that represents itself and its copies, best first."""

    asset_id: int
    relevance: float
    copies: tuple[int, ...]


def fold(
    ranked: Sequence[tuple[int, float]], hashes: Mapping[int, Hashes], shown: Sequence[int] = ()
) -> tuple[list[Standing], list[int]]:
    """`(asset id, relevance)`, best first -> those that stand for others too; and the copies of what was `shown`."""
    alike = _alike([asset_id for asset_id, _ in ranked], hashes, shown)
    by_content = {hashed.content: other for other in shown if (hashed := hashes.get(other)) and hashed.content}
    copies: dict[int, list[int]] = {other: [] for other in shown}
    relevances: dict[int, float] = {}
    for asset_id, relevance in ranked:
        hashed = hashes.get(asset_id)
        original = by_content.get(hashed.content) if hashed and hashed.content else None
        if original is None:
            original = next((other for other in alike.get(asset_id, ()) if other in copies), None)
        if original is None:
            copies[asset_id], relevances[asset_id] = [], relevance
            if hashed and hashed.content:
                by_content[hashed.content] = asset_id
        else:
            copies[original].append(asset_id)
    standing = [Standing(other, relevance, tuple(copies[other])) for other, relevance in relevances.items()]
    return standing, [copy for other in shown for copy in copies[other]]


def _alike(asset_ids: Sequence[int], hashes: Mapping[int, Hashes], shown: Sequence[int]) -> dict[int, list[int]]:
    """By asset, those that were shown or stand before it and whose picture is the same; shown ones first."""
    views = {other: other_views for other in (*shown, *asset_ids) if (other_views := _views(hashes, other)) is not None}
    fresh = [other for other in asset_ids if other in views][:COMPARED]
    known = [other for other in shown if other in views]
    if not fresh:
        return {}
    every = [*known, *fresh]
    table = np.stack([views[other] for other in every])
    near = _distances(table[len(known) :], table) <= PERCEPTUAL_DISTANCE
    return {
        asset_id: [every[column] for column in np.flatnonzero(row[: len(known) + number]).tolist()]
        for number, (asset_id, row) in enumerate(zip(fresh, near, strict=True))
    }


def _views(hashes: Mapping[int, Hashes], asset_id: int) -> np.ndarray | None:
    hashed = hashes.get(asset_id)
    return views_of(hashed.picture) if hashed and hashed.picture else None


def _distances(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """`(n, VIEWS, BYTES)`, `(m, VIEWS, BYTES)` -> `(n, m)` differing bits, whichever was cropped or mirrored."""

    def one_way(whole: np.ndarray, cropped: np.ndarray) -> np.ndarray:
        asking = np.ascontiguousarray(mirrored(np.ascontiguousarray(whole[:, 0])))
        words, views = asking.view(np.uint64), np.ascontiguousarray(cropped).view(np.uint64)
        nearest = np.full((len(whole), len(cropped)), BITS, np.uint8)
        for mirror in words:
            for view in views.transpose(1, 0, 2):
                bits = np.bitwise_count(mirror[:, None] ^ view[None]).sum(axis=-1, dtype=np.uint8)
                np.minimum(nearest, bits, out=nearest)
        return nearest

    nearest: np.ndarray = np.minimum(one_way(some, others), one_way(others, some).T)
    return nearest


if BYTES % 8:
    raise TypeError(f"hashes of {BYTES} bytes are not whole 64-bit words")
