"""How many of the true neighbours a partition finds, measured on live queries against exact search.

Knows partitions and numbers; who reports them is others' affair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from search.index.building import DEPTH, held_out, recall
from search.index.protocol import VectorIndex
from search.results import Signal

SELECTIVITIES = (1.0, 0.5, 0.1, 0.01, 0.001)
_QUERIES = 32  # enough to see a percent: 320 neighbours


class RecallRow(msgspec.Struct, frozen=True, kw_only=True):
    """Recall@10 where a filter leaves `selectivity` of the partition."""

    selectivity: float
    recall: float
    returned_too_few: int  # queries that returned fewer than min(k, matches); must be 0
    outside_filter: int  # results that the filter excludes; must be 0


class PartitionAudit(msgspec.Struct, frozen=True, kw_only=True):
    """One partition's account."""

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
    """All partitions that hold anything. Takes seconds per million rows; searches go on meanwhile."""
    return tuple(
        audit(signal, partition, selectivities, seed) for signal, partition in partitions.items() if len(partition)
    )


def audit(
    signal: Signal, partition: VectorIndex, selectivities: Sequence[float] = SELECTIVITIES, seed: int = 0
) -> PartitionAudit:
    """Ask what was asked lately, with random filters, one query at a time as searches come."""
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


def _made_queries(partition: VectorIndex, rng: np.random.Generator) -> np.ndarray:
    sample = partition.vectors(rng.permutation(partition.ids())[: 4 * _QUERIES])
    return np.concatenate(
        [kind[: _QUERIES // 2] for kind in held_out(sample, np.empty((0, partition.dimension), "f4"))]
    )


def _measure(partition: VectorIndex, queries: np.ndarray, share: float, rng: np.random.Generator) -> RecallRow:
    ids = partition.ids()
    allowed = rng.permutation(ids)[: max(1, round(share * len(ids)))] if share < 1 else None
    found = np.concatenate([_ask(partition, query, allowed) for query in queries])
    truth = partition.truth(queries, DEPTH, allowed)
    outside = 0 if allowed is None else np.count_nonzero((found >= 0) & ~np.isin(found, allowed))
    return RecallRow(
        selectivity=share,
        recall=recall(truth, found),
        # A file may go between the two searches: only rows that both could see count.
        returned_too_few=int(np.count_nonzero((found >= 0).sum(axis=1) < (truth >= 0).sum(axis=1))),
        outside_filter=int(outside),
    )


def _ask(partition: VectorIndex, query: np.ndarray, allowed: np.ndarray | None) -> np.ndarray:
    return partition.search(query[None], DEPTH, allowed, remember=False)[1]
