"""Words that may be meant: slips are mended, names are found by their sound, and what is known is left alone."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from search.query.spelling import Known, Reason, corrected, errors_between, sounded, suggestions
from search.ranking.vocabulary import english_words
from search.spaces.common_words import common_words

LIBRARY = frozenset(["hello", "this", "is", "lina", "with", "the", "weather", "meyer", "stephen", "kowalczyk"])


@pytest.fixture(scope="module")
def known() -> Known:
    return Known(common_words(), LIBRARY, english_words)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("bycicle race", "bicycle race"),
        ("teh dgo on the gras", "the dog on the grass"),
        ("playing gitar", "playing guitar"),
        ("sunsett", "sunset"),
        ("kowalzcyk", "kowalczyk"),
    ],
)
def test_slips_of_the_fingers_are_mended(known: Known, typed: str, meant: str) -> None:
    assert corrected(typed, suggestions(typed, known)) == meant


@pytest.mark.parametrize(
    "typed",
    [
        "dogs running on the beach",
        "two giraffes",
        "snowboarder",
        "frisbee",
        "fire crackling",
        "people paragliding",
        "Hund",
        "ein Hund am Strand mit Ball",
        "un chien dans la neige",
        "図書館",
        "🌉",
        "x",
        "",
    ],
)
def test_what_is_known_or_not_english_is_left_alone(known: Known, typed: str) -> None:
    assert suggestions(typed, known) == []


@pytest.mark.parametrize(
    ("asked", "spelled"), [("Lena", "lina"), ("lena", "lina"), ("Maier", "meyer"), ("Steven", "stephen")]
)
def test_a_name_is_found_as_speech_recognition_spelled_it(known: Known, asked: str, spelled: str) -> None:
    [suggestion] = suggestions(asked, known)
    assert (suggestion.word, suggestion.suggestion, suggestion.reason) == (asked, spelled, Reason.SOUND)


def test_a_name_that_the_library_holds_is_not_exchanged(known: Known) -> None:
    assert suggestions("Lina", known) == suggestions("stephen", known) == []


@pytest.mark.parametrize(
    ("one", "other", "errors"),
    [
        ("dog", "dog", 0),
        ("dgo", "dog", 1),
        ("gras", "grass", 1),
        ("bycicle", "bicycle", 2),
        ("cat", "cart", 1),
        ("", "ab", 2),
    ],
)
def test_errors_are_counted_as_people_make_them(one: str, other: str, errors: int) -> None:
    assert errors_between(one, other, 5) == errors_between(other, one, 5) == errors


def test_words_of_one_sound_share_a_key() -> None:
    assert sounded("Meyer") == sounded("maier") == sounded("Mayr")
    assert sounded("Lena") != sounded("Tina")


@pytest.mark.parametrize("query", ["chien", "Mädchen", "garçon", "Hund", "plage"])
def test_a_word_of_another_language_is_no_error(query: str) -> None:
    known = Known({"and": 2, "chin": 9000, "matches": 5000, "plague": 8000, "garion": 9001}, frozenset({"and"}))
    assert not suggestions(query, replace(known, abroad=lambda: frozenset({"chien", "plage", "hund"})))


def test_a_small_word_of_another_language_is_nobodys_name() -> None:
    assert not suggestions("Hund", Known({"dog": 900}, frozenset({"und", "katze"})))


def test_a_word_of_another_language_beside_english_ones_is_one() -> None:
    known = Known({"dog": 900, "on": 1, "the": 0, "grass": 3000}, frozenset(), abroad=lambda: frozenset({"gras"}))
    assert [one.suggestion for one in suggestions("dog on the gras", known)] == ["grass"]


@pytest.mark.parametrize(
    "query", ["Strand ohne Menschen", "Strand Menschen Wasser", "plage sans personne", "Hund Strand Wasser"]
)
def test_an_english_word_among_more_of_another_language_is_one_of_theirs(query: str) -> None:
    abroad = frozenset(["ohne", "menschen", "wasser", "plage", "personne", "hund"])
    assert suggestions(query, Known(common_words(), LIBRARY, english_words, lambda: abroad)) == []
