"""How many of the true neighbours a partition finds, measured on live queries against exact search.

Knows partitions and numbers; reporting them is left to the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from search.arrays import Float32Array, Int64Array
from search.index.protocol import VectorIndex
from search.index.stores.ivf_building import DEPTH, held_out, recall
from search.signals import Signal

SELECTIVITIES = (1.0, 0.5, 0.1, 0.01, 0.001)
_QUERIES = 32  # enough to see a percent: 320 neighbours


class RecallRow(msgspec.Struct, frozen=True, kw_only=True):
    """Recall@10 where a filter leaves `selectivity` of the partition."""

    selectivity: float
    recall: float
    returned_too_few: int  # queries that returned fewer than min(k, matches); must be 0
    outside_filter: int  # results that the filter excludes; must be 0


class PartitionAudit(msgspec.Struct, frozen=True, kw_only=True):
    """What the audit of one partition found."""

    signal: Signal
    vectors: int
    approximate: bool
    live_queries: int  # of those asked; the others are made from stored rows
    queries: int
    memory_bytes: int
    recall: tuple[RecallRow, ...]


def audit_partitions(
    partitions: Mapping[Signal, VectorIndex], selectivities: Sequence[float] = SELECTIVITIES, seed: int = 0
) -> tuple[PartitionAudit, ...]:
    """Audit every partition that is not empty. Takes seconds per million rows; searches continue meanwhile."""
    return tuple(
        audit(signal, partition, selectivities, seed) for signal, partition in partitions.items() if len(partition)
    )


def audit(
    signal: Signal, partition: VectorIndex, selectivities: Sequence[float] = SELECTIVITIES, seed: int = 0
) -> PartitionAudit:
    """Measure recall with recent queries and random filters, one query at a time, as real searches arrive."""
    rng = np.random.default_rng(seed)
    live = partition.live_queries()[-_QUERIES:]
    queries = live if len(live) == _QUERIES else np.concatenate([live, _made_queries(partition, rng)])[:_QUERIES]
    return PartitionAudit(
        signal=signal,
        vectors=len(partition),
        approximate=partition.approximate,
        live_queries=len(live),
        queries=len(queries),
        memory_bytes=partition.size_bytes,
        recall=tuple(_measure(partition, queries, share, rng) for share in selectivities),
    )


def _made_queries(partition: VectorIndex, rng: np.random.Generator) -> Float32Array:
    sample = partition.vectors(rng.permutation(partition.ids())[: 4 * _QUERIES])
    return np.concatenate(
        [kind[: _QUERIES // 2] for kind in held_out(sample, np.empty((0, partition.dimension), "f4"))]
    )


def _measure(partition: VectorIndex, queries: Float32Array, share: float, rng: np.random.Generator) -> RecallRow:
    ids = partition.ids()
    allowed = rng.permutation(ids)[: max(1, round(share * len(ids)))] if share < 1 else None
    returned = np.concatenate([_ask(partition, query, allowed) for query in queries])
    truth = partition.truth(queries, DEPTH, allowed)
    outside = 0 if allowed is None else np.count_nonzero((returned >= 0) & ~np.isin(returned, allowed))
    return RecallRow(
        selectivity=share,
        recall=recall(truth, returned),
        # A file may go between the two searches: only rows that both could see count.
        returned_too_few=int(np.count_nonzero((returned >= 0).sum(axis=1) < (truth >= 0).sum(axis=1))),
        outside_filter=int(outside),
    )


def _ask(partition: VectorIndex, query: Float32Array, allowed: Int64Array | None) -> Int64Array:
    return partition.search(query[None], DEPTH, allowed, remember=False)[1]
