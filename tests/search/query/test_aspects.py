"""What a query asks to be seen, heard and said at once is told apart; whatever else has such words stays whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.query.aspects import aspects_of
from search.signals import Sense


@pytest.mark.parametrize(
    ("query", "parts"),
    [
        (
            "a dog on a beach while someone talks about taxes",
            [("a dog on a beach", Sense.SEEN), ("taxes", Sense.SAID)],
        ),
        (
            "A boy jumps while someone says A man, who is old, says that he is tired .",
            [("A boy jumps", Sense.SEEN), ("A man, who is old, says that he is tired", Sense.SAID)],
        ),
        (
            "a woman at a desk as she describes her house",
            [("a woman at a desk", Sense.SEEN), ("her house", Sense.SAID)],
        ),
        ("someone explains fractions while a cat sleeps", [("a cat sleeps", Sense.SEEN), ("fractions", Sense.SAID)]),
        (
            "a city at night, with commentary about football",
            [("a city at night", Sense.SEEN), ("football", Sense.SAID)],
        ),
        ("waves with the sound of seagulls", [("waves", Sense.SEEN), ("seagulls", Sense.HEARD)]),
        ("a child and a dog, and you hear rain", [("a child and a dog", Sense.SEEN), ("rain", Sense.HEARD)]),
        (
            "a clip with the sound of rain while someone talks about the weather",
            [("rain", Sense.HEARD), ("the weather", Sense.SAID)],
        ),
        (
            "a street with the sound of bells while somebody says it is noon",
            [("a street", Sense.SEEN), ("bells", Sense.HEARD), ("it is noon", Sense.SAID)],
        ),
    ],
)
def test_parts_for_different_senses_are_told_apart(query: str, parts: list[tuple[str, Sense]]) -> None:
    assert [(aspect.text, aspect.sense) for aspect in aspects_of(query)] == parts


@pytest.mark.parametrize(
    "query",
    [
        "dog",
        "two people talking on a bench",
        "a man and woman talking on a bench",
        "a man who says goodbye",
        "kids play while people talk",
        "the sound of rain",
        "a video where someone says hello",
        "when does she say that the train leaves",
        "a sign that says open",
        "what happens when she mentions the budget?",
        "find me the time where he is speaking of love",
        "while someone says",
        "a speech about peace",
        "",
        "   ",
    ],
)
def test_what_is_one_thing_stays_whole(query: str) -> None:
    assert aspects_of(query) == ()


CUES = st.lists(st.sampled_from(["a", "dog", "while", "someone", "says", "with", "the", "sound", "of", "and"]))


@given(st.text(max_size=300) | CUES.map(" ".join))
def test_no_text_breaks_it_and_parts_are_never_empty(text: str) -> None:
    aspects = aspects_of(text)
    assert len(aspects) != 1
    assert all(aspect.text.strip() for aspect in aspects)
    assert len({aspect.sense for aspect in aspects}) == len(aspects)
