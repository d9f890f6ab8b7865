"""The page about scaling shows what the calculation gives, and the calculation has the figures of the other pages."""

from __future__ import annotations

import re

from support.paths import ROOT

from benchmarks import scaling
from search.settings import Settings

PAGE = (ROOT / "docs" / "scaling.md").read_text("utf-8")
BENCHMARKS = ROOT / "docs" / "benchmarks"


def part(name: str) -> str:
    match = re.search(rf"<!-- {name} -->\n(.+?)\n<!-- /{name} -->", PAGE, re.DOTALL)
    assert match
    return match[1]


def test_the_tables_are_those_that_are_calculated() -> None:
    assert part("needs") == scaling.table(scaling.needs(scaling.SIZES))
    assert part("costs") == scaling.table(scaling.costs(scaling.SIZES, scaling.Prices()))


def test_the_factors_stand_in_the_pages_that_they_come_from() -> None:
    ingestion = (BENCHMARKS / "ingestion.md").read_text("utf-8")
    partitions = (BENCHMARKS / "partitions.md").read_text("utf-8")
    catalogue = (BENCHMARKS / "catalogue.md").read_text("utf-8")
    assert f"**{2 * scaling.PHOTOS_PER_CORE_SECOND:.1f}**" in ingestion
    assert f"| {scaling.LISTS_MEMORY_BYTES:.0f}, and {scaling.LISTS_DISK_BYTES:,.0f} on disk |" in partitions
    assert f"| {scaling.FLAT_MEMORY_BYTES:,.0f} (room to grow included) |" in partitions
    assert f"| {scaling.FOLLOWED_PER_SECOND:,.0f} |" in partitions
    assert f"| segment | 215.6 | 111.6 | {scaling.SEGMENT_BYTES} |" in catalogue
    assert f"| {scaling.VECTOR_BYTES * 1.1:,.0f} |" in catalogue
    assert Settings.load({}).ivf_threshold == scaling.LISTS_FROM


def test_twice_as_many_cost_twice_as_much_but_for_what_is_exact_or_follows() -> None:
    assert scaling.core_hours(2_000_000) == 2 * scaling.core_hours(1_000_000)
    assert scaling.fill_hours(4_000_000) > 4 * scaling.fill_hours(1_000_000)
    assert scaling.memory_bytes(40_000) > scaling.memory_bytes(60_000)
