"""How to answer one search of a partition: which way is exact, or else audited, and cheapest.

Pure functions over counts. The costs are nanoseconds measured by `benchmarks/search.py`; only their ratios
matter. Knows no FAISS.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from functools import lru_cache

import msgspec

_CHECK = 1.2  # asking a bitmap whether a row may be looked at
_LIST_CHECK = 2.0  # asking whether a matching row's list is among those probed
_VALUE = 0.1  # one dimension of one exact row, read in place
_SEEK = 190.0  # reaching a row that does not follow the one before
_GATHERED_VALUE = 0.45  # one dimension when the row is copied first, from anywhere in a large file
_CODE_VALUE = 0.08  # one dimension of a one-bit code
_CENTROID_VALUE = 0.1
_BATCH = 4  # filtered queries from which copying the rows for one matrix product pays
# An exact answer may cost so many times what an approximate one costs, or this many nanoseconds at all: nobody
# notices half a millisecond, everybody a missing photo.
_EXACT_BONUS = 2.0
_UNNOTICED = 500_000.0
# Below this share of matches, codes mislead: the neighbours that are left differ by less than the codes'
# error (measured: recall 0.6 at a tenth), so rows are scored exactly.
_DENSE = 0.3
_GROWTH = 2.0
_DEAD_SHARE = 0.3
_SHRINK = 0.5
TENTH = 0.1  # the share of matches for which the lists of filtered queries are measured


class Way(Enum):
    """How rows are looked at. All but NARROW and PROBE are exact."""

    SCAN = "scan"  # all rows, or those in a bitmap, in place
    PICK = "pick"  # listed rows, in place
    GATHER = "gather"  # listed rows, copied together
    NARROW = "narrow"  # those listed rows that are in the lists closest to the query, exactly
    PROBE = "probe"  # codes in the lists closest to the query, then exact scores of the best


class Plan(msgspec.Struct, frozen=True):
    """A way, with the number of lists where it probes some."""

    way: Way
    nprobe: int = 0


class Costed(msgspec.Struct, frozen=True):
    """A plan and its cost in nanoseconds."""

    plan: Plan
    cost: float


class Lists(msgspec.Struct, frozen=True):
    """The shape of an approximate store: lists, and how many of them a query needs."""

    count: int
    nprobe: int  # without a filter
    filtered: int  # when a tenth of the rows may be found


Planner = Callable[[int, int | None, int, Lists], Plan]  # rows, matches, dimension, lists


def plan_flat(matches: int | None, queries: int) -> Plan:
    """For rows in memory. `matches` is the number of rows that a filter leaves; None: there is no filter."""
    if matches is None:
        return Plan(Way.SCAN)
    return Plan(Way.PICK if queries < _BATCH else Way.GATHER)


@lru_cache(maxsize=256)
def plan_lists(rows: int, matches: int | None, dimension: int, lists: Lists) -> Plan:
    """For an approximate store of `rows` rows: exactly if that is cheap."""
    exact, approximate = plan_exact(rows, matches, dimension), plan_approximate(rows, matches, dimension, lists)
    return (exact if exact.cost <= max(approximate.cost * _EXACT_BONUS, _UNNOTICED) else approximate).plan


def plan_exact(rows: int, matches: int | None, dimension: int) -> Costed:
    """The cheapest exact way."""
    chosen = rows if matches is None else matches
    seeking = _SEEK * (1 - chosen / max(1, rows))
    scan = Costed(Plan(Way.SCAN), rows * _CHECK + chosen * (dimension * _VALUE + seeking))
    gather = Costed(Plan(Way.GATHER), chosen * dimension * _GATHERED_VALUE)
    return min(scan, gather, key=lambda way: way.cost)


def plan_approximate(rows: int, matches: int | None, dimension: int, lists: Lists) -> Costed:
    """The approximate way that reaches the recall."""
    chosen = rows if matches is None else matches
    share = chosen / max(1, rows)
    nprobe = widened(lists, share)
    if share >= _DENSE:
        # As many matching rows as are seen without a filter are always enough here.
        nprobe = min(nprobe, round(lists.nprobe / share))
        looking = nprobe / lists.count * (rows * _CHECK + chosen * dimension * _CODE_VALUE)
        plan = Plan(Way.PROBE, nprobe)
    else:
        looking = chosen * (_LIST_CHECK + nprobe / lists.count * dimension * _GATHERED_VALUE)
        plan = Plan(Way.NARROW, nprobe)
    return Costed(plan, lists.count * dimension * _CENTROID_VALUE + looking)


def widened(lists: Lists, share: float) -> int:
    """Lists to look into when `share` of the rows match: between what was measured for all and for a tenth, and below
    that as many times more as fewer rows match."""
    if share * lists.count <= lists.filtered * TENTH:
        return lists.count
    if share <= TENTH:
        return round(lists.filtered * TENTH / share)
    power = math.log(max(lists.filtered, lists.nprobe) / lists.nprobe) / math.log(1 / TENTH)
    return round(lists.nprobe * share**-power)


def list_count(rows: int) -> int:
    """Lists for a partition of so many rows: 4 sqrt(n) balances finding lists against reading them."""
    return max(1, min(65_536, round(4 * rows**0.5)))


def wants_lists(rows: int, threshold: int | None, has_lists: bool) -> bool:
    """Whether so many rows belong in lists. Lists stay until the partition has shrunk well below the threshold:
    or it would change with every file."""
    if threshold is None:
        return False
    return rows >= (threshold * _SHRINK if has_lists else threshold)


def are_stale(rows: int, extent: int, trained_rows: int) -> bool:
    """Whether lists should be built anew: the partition has grown much, or many of its slots are dead."""
    return rows > trained_rows * _GROWTH or extent - rows > rows * _DEAD_SHARE
