"""Words that name a time are filters; the same words in quotation marks, or naming no day, are only words."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.query.dates import dates_in
from search.query.parse import parse_query

TODAY = date(2026, 11, 28)  # a Saturday


@pytest.mark.parametrize(
    ("text", "rest", "filters"),
    [
        ("a dog in December 2022", "a dog", "date:2022-12"),
        ("December 2022", "", "date:2022-12"),
        ("schnee im Dezember 2022", "schnee", "date:2022-12"),
        ("la plage en août 2021", "la plage", "date:2021-08"),
        ("boats last summer", "boats", "after:2026-06-01 before:2026-08-31"),
        ("photos from last summer", "", "after:2026-06-01 before:2026-08-31 kind:image"),
        ("last winter", "", "after:2025-12-01 before:2026-02-28"),
        ("this autumn", "", "after:2026-09-01 before:2026-11-30"),
        ("snow in winter 2023", "snow", "after:2023-12-01 before:2024-02-29"),
        ("birthday on July 14th, 2023", "birthday", "date:2023-07-14"),
        ("taken on 3rd of March 2024", "", "date:2024-03-03"),
        ("yesterday", "", "date:2026-11-27"),
        ("last week", "", "after:2026-11-16 before:2026-11-22"),
        ("the walk last weekend", "the walk", "after:2026-11-21 before:2026-11-22"),
        ("last month", "", "date:2026-10"),
        ("two years ago", "", "date:2024"),
        ("11 months ago", "", "date:2025-12"),
        ("last May", "", "date:2026-05"),
        ("a sunset in 2019", "a sunset", "date:2019"),
        ("trains since 2020", "trains", "after:2020"),
        ("trains before 2020", "trains", "before:2019"),
        ("cats between 2019 and 2021", "cats", "after:2019 before:2021"),
        ("parties in the 90s", "parties", "after:1990 before:1999"),
        ("beach kind:video last year", "beach kind:video", "date:2025"),
    ],
)
def test_words_of_time_become_filters(text: str, rest: str, filters: str) -> None:
    dated = dates_in(text, TODAY)
    assert dated.text == rest
    assert " ".join(time.filter for time in dated.times) == filters
    parse_query(text, today=TODAY)


@pytest.mark.parametrize(
    "text",
    [
        'he said "in December 2022"',
        "the moon landing in 1969",
        "on 31 February 2022",
        "may the force be with you",
        "a march in spring",
        "the last summers of my life",
        "date:2022-12",
        "the last March of the penguins",
        "2001 a space odyssey",
        "room 2019",
    ],
)
def test_other_words_stay_words(text: str) -> None:
    assert dates_in(text, TODAY).text == text
    assert dates_in(text, TODAY).times == ()


def test_without_a_day_to_count_from_words_are_words() -> None:
    assert parse_query("last summer").parts[0].text == "last summer"
    query = parse_query("boats last summer", today=TODAY)
    assert [part.text for part in query.parts] == ["boats"]
    assert query.text == "boats last summer"
    assert query.filters.where == "((after:2026-06-01 before:2026-08-31))"


def test_the_same_season_is_last_from_the_day_after_it_ended() -> None:
    assert dates_in("last summer", date(2026, 8, 31)).times[0].filter.startswith("after:2025-06")
    assert dates_in("last summer", date(2026, 9, 1)).times[0].filter.startswith("after:2026-06")
    assert dates_in("last winter", date(2026, 1, 5)).times[0].filter.startswith("after:2024-12")
    assert dates_in("this winter", date(2026, 1, 5)).times[0].filter.startswith("after:2025-12")


@given(st.text(max_size=60), st.dates(min_value=date(1900, 1, 1), max_value=date(2200, 1, 1)))
def test_any_text_is_taken(text: str, today: date) -> None:
    dates_in(text, today)
