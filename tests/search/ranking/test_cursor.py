"""Cursors: bound to their query, unreadable ones refused, and pages that hold while the library changes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.errors import QueryError
from search.ranking.cursor import Cursor, decode, digest, encode


def cursor(shown: tuple[int, ...] = (), newest: int = 10) -> Cursor:
    return Cursor(query="q", newest_segment=newest, relevance=0.5, shown=shown)


@given(st.sets(st.integers(1, 2**60)), st.integers(0, 2**62), st.floats(0, 1))
def test_a_cursor_survives_its_journey(shown: set[int], newest: int, relevance: float) -> None:
    sent = Cursor(query="q", newest_segment=newest, relevance=relevance, shown=tuple(sorted(shown)))
    assert decode(encode(sent), "q") == sent


def test_a_cursor_of_many_pages_stays_small() -> None:
    shown = tuple(sorted(random.Random(0).sample(range(1, 100_000), 2000)))
    assert len(encode(cursor(shown))) < 6000


def test_a_page_adds_to_what_was_shown_and_never_raises_the_ceiling() -> None:
    after = cursor((3,)).after([9, 1], 0.7)
    assert after.shown == (1, 3, 9)
    assert after.relevance == 0.5
    assert after.after([2], 0.2).relevance == 0.2


def test_a_cursor_of_another_query_is_refused() -> None:
    with pytest.raises(QueryError, match="another query"):
        decode(encode(cursor()), "other")


@given(st.one_of(st.text(max_size=60), st.binary(max_size=60).map(lambda raw: raw.hex())))
def test_what_is_no_cursor_is_refused_in_plain_words(text: str) -> None:
    with pytest.raises(QueryError):
        decode(text, "q")


def test_the_digest_of_a_query_keeps_its_parts_apart() -> None:
    assert digest(b"ab", b"c") != digest(b"a", b"bc")
