"""What a text says must not be there is told apart, and ends where the rest of the scene goes on."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.query.negation import negated


@pytest.mark.parametrize(
    ("text", "wanted", "unwanted"),
    [
        ("beach without people", "beach", ["people"]),
        ("A beach, without any people.", "A beach", ["people"]),
        ("a beach with no people at sunset", "a beach at sunset", ["people"]),
        ("street without cars in winter", "street in winter", ["cars"]),
        ("an empty street with no cars, no people", "an empty street", ["cars", "people"]),
        ("a dog but no ball", "a dog", ["ball"]),
        ("rain without thunder", "rain", ["thunder"]),
        ("a cat without a collar, black", "a cat, black", ["collar"]),
        ("Strand ohne Menschen im Winter", "Strand im Winter", ["Menschen"]),
        ("plage sans personne", "plage", ["personne"]),
        ("playa sin gente", "playa", ["gente"]),
        ("spiaggia senza persone", "spiaggia", ["persone"]),
        ("pláž bez lidí", "pláž", ["lidí"]),
        ("пляж без людей", "пляж", ["людей"]),
    ],
)
def test_what_is_unwanted_is_told_apart(text: str, wanted: str, unwanted: list[str]) -> None:
    found = negated(text)
    assert found
    assert (found.wanted, list(found.unwanted)) == (wanted, unwanted)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "beach",
        "no smoking",
        "without people",
        "there is no way home",
        "sin city",
        "comic sans font",
        "a font sans serif",
        "casino withoutabox",
        "a man without",
    ],
)
def test_other_texts_stay_whole(text: str) -> None:
    assert negated(text) is None


@given(st.lists(st.sampled_from(["without", "no", ",", "at", "a", "beach", "but no", "ohne", "."]), max_size=30))
def test_nothing_that_was_typed_is_added_to(words: list[str]) -> None:
    found = negated(" ".join(words))
    if found:
        assert all(piece.strip() for piece in found.pieces)
        assert set(" ".join(found.pieces).replace(",", " ").split()) <= set(" ".join(words).replace(",", " ").split())


@pytest.mark.parametrize("text", ["x " * 2000, "a" * 4000, " without" * 500, ", no" * 1000, "a without b " * 300])
def test_long_texts_take_no_time(text: str) -> None:
    started = time.process_time()
    found = negated(text)
    assert time.process_time() - started < 0.5
    assert found is None or len(found.unwanted) <= 4
