"""How much work a text makes, counted in calls: it grows with the text and no faster, and it has an end.

Times would say little on a machine that does other things; calls are the same on every one.
"""

from __future__ import annotations

import base64
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from types import FrameType
from typing import Any

import pytest

from search.errors import QueryError
from search.query.parse import MAX_FILTER_CHARACTERS, condition_of, parse_query
from search.ranking import cursor
from search.results import Filters

# A few hundredths of a second on one core, where a call takes a tenth of a microsecond or a few.
MOST_CALLS = 150_000
PIECES = (
    "a ", "(", ")", "()", "(a)", "(a ", '"a" ', '"', "“a", "OR ", "AND ", "NOT ", "- ", "-a ", "+", "1* ", "a:b ",
    "kimd:a ", "kind:image ", "kind:image OR ", "(kind:image ", "NOT kind:image ", "kind:image,", "date:2020 ",
    "duration:1..2 ", "near:1,", "path:*a", "path:? ", "camera:x ", "asset:1@1-2 ", "image:1 ", "last summer ",
    "2019 ", "\u202e", "a\u0301", "\u6f22", "\x00", "\\", "%", "_",
)  # fmt: skip


def calls_of(act: Callable[[], object]) -> int:
    """How many functions of Python and C are called. What is refused is refused."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        with suppress(QueryError):
            act()
    finally:
        sys.setprofile(None)
    return count


@pytest.fixture(autouse=True)
def _forgetful() -> Iterator[None]:
    condition_of.cache_clear()
    yield
    condition_of.cache_clear()


@pytest.mark.parametrize("piece", PIECES)
def test_reading_a_query_takes_work_in_proportion_to_its_length(piece: str) -> None:
    def reading(length: int) -> int:
        text = (piece * length)[:length]
        return calls_of(lambda: parse_query(text, today=date(2024, 7, 15)))

    reading(100)  # tables that are made once
    short, long = reading(1000), reading(4000)
    assert long <= 8 * short + 1000  # what is refused is read once more, for the place of the mistake
    assert long <= MOST_CALLS


@pytest.mark.parametrize("piece", PIECES)
def test_an_expression_of_filters_makes_little_work_however_long_it_is(piece: str) -> None:
    def reading(length: int) -> int:
        return calls_of(lambda: condition_of(Filters(where=(piece * length)[:length])))

    reading(100)
    assert max(reading(MAX_FILTER_CHARACTERS), reading(2 * MAX_FILTER_CHARACTERS)) <= MOST_CALLS


@pytest.mark.parametrize(
    "filters",
    [
        Filters(path=("*a",) * 100_000),
        Filters(path=("*a" * 100_000,)),
        Filters(source=("1",) * 100_000),
        Filters(after="2" * 100_000),
        Filters(kind=("image",) * 100_000),  # type: ignore[arg-type]
    ],
    ids=["globs", "one glob", "sources", "a date", "kinds"],
)
def test_filters_that_are_too_many_are_counted_and_not_read(filters: Filters) -> None:
    with pytest.raises(QueryError, match="are allowed"):
        condition_of(filters)
    condition_of.cache_clear()
    assert calls_of(lambda: condition_of(filters)) < 100


@pytest.mark.parametrize(
    "text",
    [
        base64.urlsafe_b64encode(zlib.compress(bytes(40_000_000), 9)).decode(),
        "eJ" * 2_000_000,
        "\u6f22" * 1000,
        "",
    ],
    ids=["unpacks to 40 MB", "long", "not ASCII", "empty"],
)
def test_a_cursor_is_unpacked_to_its_limit_and_no_further(text: str) -> None:
    with pytest.raises(QueryError):
        cursor.decode(text, "a query")
    assert calls_of(lambda: cursor.decode(text, "a query")) < 50


def test_globs_are_kept_for_the_latest_filters_only() -> None:
    for number in range(2000):
        condition_of(Filters(path=(f"*{number}.jpg",)))
    kept = condition_of.cache_info()
    assert kept.maxsize is not None
    assert kept.currsize <= kept.maxsize <= 100
