"""Plans one search of a partition: the cheapest way that is exact, or else audited.

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
# An exact answer may cost this many times what an approximate one costs, or this many nanoseconds at all: nobody
# notices half a millisecond, everybody a missing photo.
_EXACT_BONUS = 2.0
_UNNOTICED = 500_000.0
# Below this share of matches, codes mislead: the neighbours that are left differ by less than the codes'
# error (measured: recall 0.6 at a tenth), so rows are scored exactly.
_DENSE = 0.3
# On GPUs: that many scores are computed here in half a millisecond, which a round trip to a card can take. Without
# selectors, of a filter that leaves this share of the rows the best come with the best of all: ten times as many
# proposals cost a card next to nothing. It proposes 2,048 at most.
_FEW_FOR_GPU = 2048
_WIDE_ON_GPU = 0.1
_DEEPEST_ON_GPU = 1024
_GROWTH = 2.0
_DEAD_SHARE = 0.3
_SHRINK = 0.5
TENTH = 0.1  # the share of matches for which the lists of filtered queries are measured


class Way(Enum):
    """How rows are read. All but NARROW and PROBE are exact."""

    SCAN = "scan"  # all rows, or those in a bitmap, in place
    PICK = "pick"  # listed rows, in place
    GATHER = "gather"  # listed rows, copied together
    NARROW = "narrow"  # those listed rows that are in the lists closest to the query, exactly
    PROBE = "probe"  # codes in the lists closest to the query, then exact scores of the best


class Plan(msgspec.Struct, frozen=True):
    """A way, and how many lists it probes (0 where it probes none)."""

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


class GpuWay(Enum):
    """How a flat store on GPUs answers. All are exact."""

    HERE = "here"  # on the CPU
    WHOLE = "whole"  # the cards search everything; what may not be found is dropped from what they propose
    SELECT = "select"  # the cards search what a selector leaves
    GATHER = "gather"  # listed rows, copied to a card together


Planner = Callable[[int, int | None, int, Lists], Plan]  # rows, matches, dimension, lists


def plan_flat(matches: int | None, queries: int) -> Plan:
    """The plan for rows in memory. `matches` is the number of rows that pass the filter; None without a filter."""
    if matches is None:
        return Plan(Way.SCAN)
    return Plan(Way.PICK if queries < _BATCH else Way.GATHER)


def plan_gpu(rows: int, matches: int | None, queries: int, k: int, selectors: bool) -> GpuWay:
    """The way for `rows` rows on GPUs, `matches` of which pass the filter (None: no filter).

    `selectors`: whether the cards heed filters. Computed, not measured: no GPU was at hand.
    """
    chosen = rows if matches is None else matches
    if chosen * queries <= _FEW_FOR_GPU or k > _DEEPEST_ON_GPU:
        return GpuWay.HERE
    if matches is None:
        return GpuWay.WHOLE
    if selectors:
        return GpuWay.SELECT
    if matches / max(1, rows) >= _WIDE_ON_GPU:
        return GpuWay.WHOLE
    # Copying the rows for a single query costs as much as scoring them in place.
    return GpuWay.GATHER if queries >= _BATCH else GpuWay.HERE


@lru_cache(maxsize=256)
def plan_lists(rows: int, matches: int | None, dimension: int, lists: Lists) -> Plan:
    """The plan for an approximate store of `rows` rows: exact where that is cheap."""
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
    """The cheapest approximate way that reaches the target recall."""
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
    """How many lists to probe when `share` (0 to 1) of the rows match a filter.

    Down to a tenth of the rows, interpolated between the two measured values; below that, inversely proportional
    to the share.
    """
    if share * lists.count <= lists.filtered * TENTH:
        return lists.count
    if share <= TENTH:
        return round(lists.filtered * TENTH / share)
    power = math.log(max(lists.filtered, lists.nprobe) / lists.nprobe) / math.log(1 / TENTH)
    return round(lists.nprobe * math.pow(share, -power))


def list_count(rows: int) -> int:
    """How many lists a partition of that many rows gets: 4 sqrt(n) balances finding lists against reading them."""
    return max(1, min(65_536, round(4 * math.sqrt(rows))))


def wants_lists(rows: int, threshold: int | None, has_lists: bool) -> bool:
    """Whether a partition of that many rows belongs in lists.

    Lists stay until the partition has shrunk well below the threshold; otherwise it would switch back and forth
    with every file.
    """
    if threshold is None:
        return False
    return rows >= (threshold * _SHRINK if has_lists else threshold)


def are_stale(rows: int, extent: int, trained_rows: int) -> bool:
    """Whether lists should be rebuilt: the partition has grown a lot, or many of its slots are dead."""
    return rows > trained_rows * _GROWTH or extent - rows > rows * _DEAD_SHARE
