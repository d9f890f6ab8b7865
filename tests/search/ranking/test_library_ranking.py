"""Over a real catalogue: pages that hold while the library changes, and the duplicates of a library."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
from msgspec import UNSET
from msgspec.structs import replace
from support.word_library import WordLibrary, opened

from search.catalog import assets
from search.catalog.database import Database
from search.duplicates.matching import Tier
from search.duplicates.perceptual_hash import perceptual_hash
from search.engine import SearchEngine
from search.errors import QueryError
from search.library_duplicates import find_duplicates, with_assets
from search.query.parse import parse_query
from search.settings import Settings
from search.signals import Signal

WORDS = ["red", "green", "blue", "car", "boat", "dog", "cat", "tree", "house", "snow"]


@pytest.fixture
def library(database: Database) -> WordLibrary:
    return WordLibrary(database)


@pytest.fixture
def engine(library: WordLibrary, settings: Settings) -> Iterator[SearchEngine]:
    with opened(library, settings) as engine:
        yield engine


def fill(library: WordLibrary, count: int, start: int = 0) -> list[int]:
    chosen = random.Random(start)
    found = []
    for number in range(start, start + count):
        said = " ".join(chosen.sample(WORDS, 3))
        passages = [(Signal.IMAGE, said, None, None)] if number % 2 else [(Signal.SPEECH, said, 0.0, 5.0)]
        found.append(library.add(f"/media/{number}", "image" if number % 2 else "audio", passages))
    return found


def test_pages_follow_each_other_without_repeating_or_skipping(library: WordLibrary, engine: SearchEngine) -> None:
    fill(library, 40)
    engine.catch_up()
    query = replace(parse_query("a red car in the snow"), limit=7)
    whole = engine.search(replace(query, limit=100))
    shown, relevances, cursor = [], [], None
    for _ in range(20):
        page = engine.search(replace(query, cursor=cursor))
        shown += [hit.asset.id for hit in page.hits]
        relevances += [hit.relevance for hit in page.hits]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(shown) == sorted(hit.asset.id for hit in whole.hits)
    assert len(shown) == len(set(shown))
    assert relevances == sorted(relevances, reverse=True)


def test_a_few_frames_are_judged_among_all_pictures_and_not_among_what_is_said(
    library: WordLibrary, engine: SearchEngine
) -> None:
    fill(library, 40)
    library.add("/media/film", "video", [(Signal.FRAME, "a red car", 0.0, 5.0), (Signal.SPEECH, "a dog", 0.0, 5.0)])
    engine.catch_up()
    size = engine.active_space.retriever.size
    assert size(Signal.FRAME) == size(Signal.IMAGE) == 21
    assert size(Signal.SPEECH) == 21


def test_no_asset_comes_twice_and_none_is_skipped_while_files_come_and_go(
    library: WordLibrary, engine: SearchEngine
) -> None:
    first = fill(library, 40)
    engine.catch_up()
    expected = {hit.asset.id for hit in engine.search(replace(parse_query("red car"), limit=100)).hits}
    query = replace(parse_query("red car"), limit=5)
    page = engine.search(query)
    shown = [hit.asset.id for hit in page.hits]
    gone: set[str] = set()
    for turn in range(40):
        if page.next_cursor is None:
            break
        fill(library, 3, start=1000 + 3 * turn)
        victim = first[(turn * 7) % len(first)]
        with library.database.write() as connection:
            if str(victim) not in gone:
                assets.delete_asset(connection, victim)
                gone.add(str(victim))
        engine.catch_up()
        page = engine.search(replace(query, cursor=page.next_cursor))
        shown += [hit.asset.id for hit in page.hits]
    assert len(shown) == len(set(shown))
    assert set(shown) <= expected
    assert expected - gone <= set(shown)


def test_a_cursor_is_refused_for_another_query_or_filter(library: WordLibrary, engine: SearchEngine) -> None:
    fill(library, 12)
    engine.catch_up()
    cursor = engine.search(replace(parse_query("red car"), limit=3)).next_cursor
    assert cursor
    for other in ("blue boat", "red car kind:image", "2*red car"):
        with pytest.raises(QueryError, match="another query"):
            engine.search(replace(parse_query(other), limit=3, cursor=cursor))


def test_a_hit_that_is_to_be_explained_says_why_and_marks_the_words(library: WordLibrary, engine: SearchEngine) -> None:
    library.add("/media/talk.mp3", "audio", [(Signal.SPEECH, "dog snow car", 3.0, 8.0)])
    engine.catch_up()
    assert engine.search(parse_query("snow")).hits[0].moments[0].why is UNSET
    moment = engine.search(replace(parse_query("snow"), explain=True)).hits[0].moments[0]
    assert moment.why
    reasons = {why.signal: why for why in moment.why}
    assert set(reasons) == {"speech", "words"}
    assert [(moment.text or "")[start:end] for start, end in reasons["words"].highlights] == ["snow"]
    assert 0 < reasons["speech"].relevance <= 1
    assert reasons["speech"].rank == 1


def test_duplicates_of_a_library_come_in_tiers_and_each_group_once(library: WordLibrary, engine: SearchEngine) -> None:
    grain = np.random.default_rng(0)
    coarse = grain.integers(0, 255, (12, 12, 3), dtype=np.uint8)
    picture = np.kron(coarse, np.ones((20, 20, 1), np.uint8))
    other = np.kron(grain.integers(0, 255, (12, 12, 3), dtype=np.uint8), np.ones((20, 20, 1), np.uint8))
    rows = [
        ("a", "same", picture, "red car"),
        ("b", "same", picture, "red car"),
        ("c", "new", picture[::2, ::-2], "red car"),
    ]
    rows += [("d", "d", other, "blue boat"), ("e", "e", other[:, :, ::-1] // 3, "green tree")]
    ids = {}
    for name, content, pixels, words in rows:
        looks = perceptual_hash(np.ascontiguousarray(pixels))
        passages = [(Signal.IMAGE, words, None, None)]
        ids[name] = library.add(name, "image", passages, content_hash=content, perceptual_hash=looks)
    engine.catch_up()
    groups = find_duplicates(engine)
    assert [group.asset_ids for group in groups if group.tier is Tier.EXACT] == [(ids["a"], ids["b"])]
    perceptual = [group.asset_ids for group in groups if group.tier is Tier.PERCEPTUAL]
    assert (ids["a"], ids["b"], ids["c"]) in perceptual
    assert not [group for group in groups if group.tier is Tier.MEANING]
    by_meaning = find_duplicates(engine, [Tier.MEANING])
    assert [group.asset_ids for group in by_meaning] == [(ids["a"], ids["b"], ids["c"])]
    assert [asset.path for asset in with_assets(engine, by_meaning)[0].assets] == ["a", "b", "c"]
