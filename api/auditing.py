"""The audit: does every part hold what the catalogue says, and does search find what exact search finds?

Reads only, and works while everything else goes on; a difference that comes from work in progress is
seen twice before it counts.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from api.schemas import AssetCounts
from api.views import asset_counts
from search import probe
from search.catalog import assets, health, segments, spaces
from search.catalog.database import Database
from search.catalog.health import Health
from search.catalog.records import SpaceRecord
from search.engine import SearchEngine
from search.errors import MedleyError
from search.index.audit import PartitionAudit, audit_partitions
from search.results import Signal
from search.serving import check_fingerprint

#: recall below this is a problem: the goal of docs/benchmarks.md
LEAST_RECALL = 0.95


class Holdings(Struct, frozen=True, kw_only=True):
    """What a partition holds beside what the catalogue says."""

    signal: str
    vectors: int
    segments: int  # searchable ones, in the catalogue
    orphans: int  # vectors whose segment is gone
    missing: int  # segments without a vector


class SpaceAudit(Struct, frozen=True, kw_only=True):
    """Is the space still what its vectors were made with?"""

    name: str
    state: str
    fingerprint: str
    problem: str | None


class Audit(Struct, frozen=True, kw_only=True):
    """Everything that was looked at; `problems` is empty when all is well."""

    assets: AssetCounts
    catalogue: Health
    spaces: list[SpaceAudit]
    holdings: list[Holdings]
    partitions: list[PartitionAudit]
    problems: list[str]


def audit(engine: SearchEngine) -> Audit:
    """Look at everything. Takes seconds per million vectors."""
    with engine.database.read() as connection:
        counts = assets.counts(connection)
        records = spaces.list_spaces(connection)
        inspected = health.inspect(connection)
    engine.serving.follower.catch_up()
    looked = [_space(engine, record) for record in records]
    holdings = _holdings(engine)
    if any(one.orphans or one.missing for one in holdings):
        engine.serving.follower.catch_up()
        holdings = _holdings(engine)
    partitions = list(audit_partitions(engine.serving.follower.partitions))
    account = asset_counts(counts)
    return Audit(
        assets=account,
        catalogue=inspected,
        spaces=looked,
        holdings=holdings,
        partitions=partitions,
        problems=[*_wrong_rows(inspected), *_problems(account, looked, holdings, partitions)],
    )


def _space(engine: SearchEngine, record: SpaceRecord) -> SpaceAudit:
    problem = None
    if record.id == engine.serving.record.id:
        try:
            check_fingerprint(record, engine.serving.space)
            if record.probe:
                probe.check(engine.serving.space, record.probe, record.name)
        except MedleyError as error:
            problem = str(error)
    return SpaceAudit(name=record.name, state=record.state, fingerprint=record.fingerprint, problem=problem)


def _holdings(engine: SearchEngine) -> list[Holdings]:
    partitions = engine.serving.follower.partitions
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


def _wrong_rows(inspected: Health) -> list[str]:
    wrong = {name: getattr(inspected, name) for name in inspected.__struct_fields__}
    return [f"catalogue: {number} {name.replace('_', ' ')}" for name, number in wrong.items() if number]


def _problems(
    counts: AssetCounts, looked: list[SpaceAudit], holdings: list[Holdings], partitions: list[PartitionAudit]
) -> list[str]:
    states = counts.pending + counts.working + counts.indexed + counts.quarantined + counts.missing
    found = [] if states == counts.total else [f"{counts.total} files are known, but {states} have a state"]
    found += [space.problem for space in looked if space.problem]
    for one in holdings:
        if one.orphans:
            found.append(f"{one.signal}: {one.orphans} vectors belong to no searchable segment")
        if one.missing:
            found.append(f"{one.signal}: {one.missing} searchable segments have no vector (medley spaces fill)")
    for partition in partitions:
        for row in partition.recall:
            where = f"{partition.signal}, {row.selectivity:.1%} of it"
            if row.recall < LEAST_RECALL:
                found.append(f"{where}: recall is {row.recall:.3f}, below {LEAST_RECALL}")
            if row.returned_too_few:
                found.append(f"{where}: {row.returned_too_few} queries returned too few")
            if row.outside_filter:
                found.append(f"{where}: {row.outside_filter} results lie outside the filter")
    return found
