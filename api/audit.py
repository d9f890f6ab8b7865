"""The audit: whether every part holds what the catalogue says, and search finds what exact search finds.

Only reads, and runs while everything else goes on; a difference counts only if it is still there at a
second look, because work in progress causes some.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from api.schemas import AssetCounts
from api.serializers import asset_counts
from search.active_space import check_fingerprint
from search.catalog import assets, segments, spaces
from search.catalog.database import Database
from search.catalog.records import SpaceRecord
from search.catalog.upkeep import health
from search.catalog.upkeep.health import CatalogHealth
from search.engine import SearchEngine
from search.errors import MedleyError
from search.index.audit import PartitionAudit, audit_partitions
from search.signals import Signal
from search.spaces import self_test

#: recall below this is a problem: the goal of docs/benchmarks/partitions.md
LEAST_RECALL = 0.95


class Holdings(Struct, frozen=True, kw_only=True):
    """What a partition holds, compared with what the catalogue says."""

    signal: str
    vectors: int
    segments: int  # searchable ones, in the catalogue
    orphans: int  # vectors whose segment is gone
    missing: int  # segments without a vector


class SpaceAudit(Struct, frozen=True, kw_only=True):
    """Whether a space is still the one that made its vectors."""

    name: str
    state: str
    fingerprint: str
    problem: str | None


class Audit(Struct, frozen=True, kw_only=True):
    """The results of an audit; `problems` is empty when all is well."""

    assets: AssetCounts
    noted: int  # searchable files that promise more than is searched of them; their notes say what
    noted_by_kind: dict[str, int]  # what those are about
    catalogue: CatalogHealth
    spaces: list[SpaceAudit]
    holdings: list[Holdings]
    partitions: list[PartitionAudit]
    problems: list[str]


def audit(engine: SearchEngine) -> Audit:
    """Check everything. Takes seconds per million vectors. Raises CatalogError when the catalogue can't be read."""
    with engine.database.read() as connection:
        counts = assets.counts(connection)
        records = spaces.list_spaces(connection)
        damage = health.damage(connection)
        inspected = health.inspect(connection)
    engine.catch_up()
    looked = [_space(engine, record) for record in records]
    holdings = _holdings(engine)
    if any(holding.orphans or holding.missing for holding in holdings):
        engine.catch_up()
        holdings = _holdings(engine)
    partitions = list(audit_partitions(engine.partitions))
    account = asset_counts(counts)
    return Audit(
        assets=account,
        noted=counts.noted,
        noted_by_kind=dict(counts.noted_by_kind),
        catalogue=inspected,
        spaces=looked,
        holdings=holdings,
        partitions=partitions,
        problems=[
            *(f"catalogue: {line}" for line in damage),
            *_wrong_rows(inspected),
            *_problems(account, looked, holdings, partitions),
        ],
    )


def _space(engine: SearchEngine, record: SpaceRecord) -> SpaceAudit:
    problem = None
    if record.id == engine.active_space.record.id:
        try:
            check_fingerprint(record, engine.active_space.space)
            if record.probe:
                self_test.check(engine.active_space.space, record.probe, record.name)
        except MedleyError as error:
            problem = str(error)
    return SpaceAudit(name=record.name, state=record.state, fingerprint=record.fingerprint, problem=problem)


def _holdings(engine: SearchEngine) -> list[Holdings]:
    partitions = engine.partitions
    return [_held(engine.database, signal, partition.ids()) for signal, partition in partitions.items()]


def _held(database: Database, signal: Signal, ids: np.ndarray) -> Holdings:
    with database.read() as connection:
        searchable = segments.filter_segments(connection, None, signal)
    return Holdings(
        signal=signal.value,
        vectors=len(ids),
        segments=len(searchable),
        orphans=len(np.setdiff1d(ids, searchable)),
        missing=len(np.setdiff1d(searchable, ids)),
    )


def _wrong_rows(inspected: CatalogHealth) -> list[str]:
    wrong = {name: getattr(inspected, name) for name in inspected.__struct_fields__}
    return [f"catalogue: {number} {name.replace('_', ' ')}" for name, number in wrong.items() if number]


def _problems(
    counts: AssetCounts, looked: list[SpaceAudit], holdings: list[Holdings], partitions: list[PartitionAudit]
) -> list[str]:
    states = counts.pending + counts.working + counts.indexed + counts.quarantined + counts.missing
    problems = [] if states == counts.total else [f"{counts.total} files are known, but {states} have a state"]
    problems += [space.problem for space in looked if space.problem]
    for holding in holdings:
        if holding.orphans:
            problems.append(f"{holding.signal}: {holding.orphans} vectors belong to no searchable segment")
        if holding.missing:
            problems.append(
                f"{holding.signal}: {holding.missing} searchable segments have no vector (medley spaces fill)"
            )
    for partition in partitions:
        for row in partition.recall:
            where = f"{partition.signal}, {row.selectivity:.1%} of it"
            if row.recall < LEAST_RECALL:
                problems.append(f"{where}: recall is {row.recall:.3f}, below {LEAST_RECALL}")
            if row.returned_too_few:
                problems.append(f"{where}: {row.returned_too_few} queries returned too few")
            if row.outside_filter:
                problems.append(f"{where}: {row.outside_filter} results lie outside the filter")
    return problems
