"""Copies: one picture is one hit, on whichever page it comes, and different pictures never are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from msgspec.structs import replace
from support.word_library import WordLibrary, opened

from search.catalog.database import Database
from search.duplicates.perceptual_hash import perceptual_hash
from search.engine import SearchEngine
from search.query.parse import parse_query
from search.results import Hit
from search.settings import Settings
from search.signals import Signal


@pytest.fixture
def library(database: Database) -> WordLibrary:
    return WordLibrary(database)


@pytest.fixture
def engine(library: WordLibrary, settings: Settings) -> Iterator[SearchEngine]:
    with opened(library, settings) as engine:
        yield engine


def picture(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((20, 20, 1), np.uint8))


def add(library: WordLibrary, name: str, pixels: np.ndarray, words: str = "red car", content: str = "") -> str:
    looks = perceptual_hash(np.ascontiguousarray(pixels))
    passages = [(Signal.IMAGE, words, None, None)]
    return str(library.add(name, "image", passages, content_hash=content, perceptual_hash=looks))


def held(hits: Sequence[Hit]) -> list[set[str]]:
    return [{hit.asset.id, *hit.copies} for hit in hits]


def test_the_same_bytes_and_altered_copies_are_one_hit(library: WordLibrary, engine: SearchEngine) -> None:
    one = {
        add(library, "a.jpg", picture(1), content="same"),
        add(library, "b.jpg", picture(1), content="same"),
        add(library, "small.jpg", picture(1)[::2, ::2]),
        add(library, "mirrored.jpg", picture(1)[:, ::-1]),
        add(library, "cropped.jpg", picture(1)[8:-8, 8:-8]),
    }
    other = add(library, "other.jpg", picture(2))
    engine.catch_up()
    hits = engine.search(parse_query("red car")).hits
    assert sorted(map(sorted, held(hits))) == sorted([sorted(one), [other]])


def test_folding_can_be_switched_off(library: WordLibrary, engine: SearchEngine) -> None:
    ids = {add(library, f"{number}.jpg", picture(1), content="same") for number in range(4)}
    engine.catch_up()
    hits = engine.search(replace(parse_query("red car"), fold_copies=False)).hits
    assert {hit.asset.id for hit in hits} == ids
    assert not any(hit.copies for hit in hits)


def test_pages_show_every_picture_once_however_many_copies_there_are(
    library: WordLibrary, engine: SearchEngine
) -> None:
    every = set()
    for number in range(90):
        every.add(add(library, f"{number}.jpg", picture(number % 7), "red car" if number % 2 else "red boat"))
    engine.catch_up()
    shown: list[set[str]] = []
    cursor = None
    for _ in range(10):
        page = engine.search(replace(parse_query("red car"), limit=2, cursor=cursor))
        shown += held(page.hits)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(shown) == 7
    assert sum(map(len, shown)) == len(set().union(*shown)), "no asset is in two hits"


def test_copies_that_a_filter_leaves_out_are_not_counted(library: WordLibrary, engine: SearchEngine) -> None:
    kept = add(library, "keep/a.jpg", picture(1), content="same")
    add(library, "away/b.jpg", picture(1), content="same")
    engine.catch_up()
    [hit] = engine.search(parse_query("red car path:keep/*")).hits
    assert (hit.asset.id, hit.copies) == (kept, ())


def test_what_does_not_match_is_less_likely_and_is_not_counted(library: WordLibrary, engine: SearchEngine) -> None:
    add(library, "car.jpg", picture(1))
    for number in range(2, 30):
        add(library, f"{number}.jpg", picture(number), "green tree snow")
    engine.catch_up()
    result = engine.search(parse_query("red car"))
    assert [hit.less_likely for hit in result.hits] == [False] + [True] * (len(result.hits) - 1)
    assert result.matching == 1


def test_a_misspelled_word_is_looked_for_as_it_may_be_meant_and_the_answer_says_so(
    library: WordLibrary, engine: SearchEngine
) -> None:
    library.add("race.mp3", "audio", [(Signal.SPEECH, "the bicycle race", 0.0, 5.0)])
    engine.catch_up()
    result = engine.search(parse_query("bycicle"))
    assert [hit.asset.path for hit in result.hits] == ["race.mp3"]
    assert result.query["suggestions"] == [{"word": "bycicle", "suggestion": "bicycle", "reason": "spelling"}]
    assert result.query["text"] == "bycicle"
    as_typed = engine.search(replace(parse_query("bycicle"), correct=False))
    assert as_typed.query["suggestions"] == []


def test_a_name_is_found_as_the_library_spells_it(library: WordLibrary, engine: SearchEngine) -> None:
    library.add("call.mp3", "audio", [(Signal.SPEECH, "hi this is Lina calling", 0.0, 5.0)])
    engine.catch_up()
    result = engine.search(parse_query("Lena"))
    assert [hit.asset.path for hit in result.hits] == ["call.mp3"]
    assert result.query["suggestions"] == [{"word": "Lena", "suggestion": "lina", "reason": "sound"}]


def test_pictures_are_looked_for_by_the_name_as_it_was_typed(library: WordLibrary, engine: SearchEngine) -> None:
    library.add("call.mp3", "audio", [(Signal.SPEECH, "this is rosy", 0.0, 5.0)])
    add(library, "as-typed.jpg", picture(1), "rosie")
    add(library, "as-heard.jpg", picture(2), "rosy")
    engine.catch_up()
    result = engine.search(parse_query("Rosie"))
    assert [one["suggestion"] for one in result.query["suggestions"]] == ["rosy"]
    best = {hit.moments[0].signal: hit.asset.path for hit in reversed(result.hits)}
    assert best == {Signal.SPEECH: "call.mp3", Signal.IMAGE: "as-typed.jpg"}
