"""Spaces measured by judgements, and tuned by them only where that wins what was held out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from search.catalog.database import Database
from search.catalog.feedback import tunings
from search.catalog.query_log import recent_queries
from search.engine import SearchEngine
from search.errors import SpaceError, UsageError
from search.evaluation.evaluate import FEWEST_WRONG, contrast, measure
from search.evaluation.judgements import JudgedQuery
from search.evaluation.tuning import learn
from search.query.parse import parse_query
from search.settings import Settings
from search.signals import Sense, Signal
from search.spaces import query_maps
from search.spaces.query_maps import QueryMap, TunedSpace, Tuning
from search.spaces.space import unit_rows
from search.testing import DIMENSION, WordSpace, add_asset, open_word_engine

# What these people call their things, and what the files show: words that the space knows nothing of together.
OWN_WORDS = {"nan": "red", "plot": "green", "boat": "blue"}
DETAILS = [f"detail{number}" for number in range(12)]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[SearchEngine]:
    """Pictures of 3 colours with 12 details each; words find pictures by shared words alone."""
    opened = open_word_engine(Settings.load({}, home=tmp_path, remember_queries=False))
    for colour in OWN_WORDS.values():
        for detail in DETAILS:
            add_asset(opened, f"/media/{colour}-{detail}.jpg", "image", [("image", f"{colour} {detail}", None, None)])
    yield opened
    opened.close()


def judged() -> list[JudgedQuery]:
    """Own words with a detail; right is the picture of the colour that is meant, with that detail."""
    ids = {(colour, detail): 0 for colour in OWN_WORDS.values() for detail in DETAILS}
    ids = {pair: number + 1 for number, pair in enumerate(ids)}
    return [
        JudgedQuery(f"{own} {detail}", {ids[(colour, detail)]: 1})
        for detail in DETAILS
        for own, colour in OWN_WORDS.items()
    ]


def paths(engine: SearchEngine, text: str) -> list[str]:
    return [hit.asset.path for hit in engine.search(parse_query(text)).hits]


def test_measuring_counts_what_is_found_and_compares_query_by_query(engine: SearchEngine) -> None:
    known = [JudgedQuery("red detail3", {4: 1}), JudgedQuery("green detail0", {13: 1}), JudgedQuery("nothing", {1: 0})]
    measured = measure("words", engine, known)
    assert measured.evaluation.queries == 2, "a query without a right answer says nothing of recall"
    assert measured.evaluation.ndcg.mean == pytest.approx(1.0)
    assert contrast(measured, measured).ndcg.is_noise
    with pytest.raises(UsageError, match="thumbs"):
        measure("words", engine, known[:1])


def test_calibration_is_measured_where_enough_was_judged_wrong_and_the_counts_are_told(engine: SearchEngine) -> None:
    """Where only right hits were judged, any relevance below 1 would look too low."""
    right = [JudgedQuery(f"red {detail}", {number: 1}) for number, detail in enumerate(DETAILS, start=1)]
    alone = measure("words", engine, right).evaluation
    assert (alone.calibration_error, alone.right, alone.wrong) == (None, len(DETAILS), 0)
    both = [JudgedQuery(each.text, {number: int(number in each.relevant) for number in range(1, 13)}) for each in right]
    whole = measure("words", engine, both).evaluation
    assert whole.wrong >= FEWEST_WRONG
    assert whole.right == len(DETAILS)
    assert whole.calibration_error is not None
    assert 0 < whole.calibration_error.mean < 1


def test_measuring_leaves_no_trace_among_the_queries_of_people(tmp_path: Path) -> None:
    opened = open_word_engine(Settings.load({}, home=tmp_path))
    ids = [add_asset(opened, f"/media/{word}.jpg", "image", [("image", word, None, None)]) for word in ("red", "blue")]
    measure("words", opened.tried(), [JudgedQuery(f"my {asset_id}", {asset_id: 1}) for asset_id in ids])
    opened.search(parse_query("their own"))
    opened.close()
    with Database.open(opened.settings).read() as connection:
        assert [json.loads(record.query)["text"] for record in recent_queries(connection, 10)] == ["their own"]


def test_what_own_words_mean_is_learnt_and_carries_over_to_queries_never_judged(engine: SearchEngine) -> None:
    every = judged()
    new = [one for one in every if one.text.endswith("detail11")]
    outcome, tuning = learn(engine, [one for one in every if one not in new])
    assert outcome.used, outcome
    assert outcome.gain is not None
    assert outcome.gain.ndcg.low > 0
    assert outcome.senses == ("seen",)
    before, after = (measure("", one, new).evaluation.ndcg.mean for one in (engine, engine.tried(tuning)))
    assert after > before + 0.2, "of queries that nobody judged"


def test_judgements_without_sense_teach_nothing(engine: SearchEngine) -> None:
    random = np.random.default_rng(0)
    senseless = [JudgedQuery(f"word{number} other{number}", {int(random.integers(1, 37)): 1}) for number in range(30)]
    outcome, tuning = learn(engine, senseless)
    assert not outcome.used
    assert not tuning.maps
    few, _ = learn(engine, senseless[:4])
    assert "20 are the least" in few.why


def test_a_tuning_is_taken_up_by_running_engines_and_taken_back_at_once(engine: SearchEngine) -> None:
    query = "nan detail5"
    before = paths(engine, query)
    _, tuning = learn(engine, judged())
    space = engine.active_space.record.id
    with engine.database.write() as connection:
        tunings.store_tuning(connection, space, query_maps.encode(tuning), "{}")
    engine.refresh()
    assert engine.active_space.tuned_at is not None
    assert paths(engine, query)[0] == "/media/red-detail5.jpg"
    assert engine.space.fingerprint == WordSpace().fingerprint, "vectors of files are untouched"
    with engine.database.write() as connection:
        tunings.forget_tuning(connection, space)
    engine.refresh()
    assert engine.active_space.tuned_at is None
    assert paths(engine, query) == before


def test_what_can_not_be_read_or_does_not_fit_is_done_without(engine: SearchEngine) -> None:
    wrong = QueryMap(np.ones((1, 3), np.float32), np.ones((1, 3), np.float32), np.ones(3, np.float32))
    with pytest.raises(SpaceError, match="untune"):
        TunedSpace(WordSpace(), {Sense.SEEN: wrong})
    for weights in (b"rubbish", query_maps.encode(Tuning(maps={Sense.SEEN: wrong}))):
        with engine.database.write() as connection:
            tunings.store_tuning(connection, engine.active_space.record.id, weights, "{}")
        engine.refresh()
        assert paths(engine, "red detail5")[0] == "/media/red-detail5.jpg"


def test_a_map_moves_only_what_is_like_what_it_learnt_and_keeps_unit_length() -> None:
    anchors = np.eye(DIMENSION, dtype=np.float32)[:2]
    learnt = QueryMap(anchors, np.eye(DIMENSION, dtype=np.float32)[5:7], np.zeros(DIMENSION, np.float32))
    asked = np.eye(DIMENSION, dtype=np.float32)[[0, 9]]
    moved = learnt(np.vstack([asked, np.zeros((1, DIMENSION), np.float32)]))
    assert np.allclose(moved[0], unit_rows((asked[0] + np.eye(DIMENSION)[5])[None])[0])
    assert np.allclose(moved[1], asked[1])
    assert not moved[2].any()
    again = query_maps.decode(query_maps.encode(Tuning(maps={Sense.SAID: learnt}, reranker="x")))
    assert again.reranker == "x"
    assert np.allclose(again.maps[Sense.SAID](asked), moved[:2], atol=1e-3)
    tuned = TunedSpace(WordSpace(), {Sense.SEEN: learnt})
    vectors = tuned.embed_query_text(["red"])
    assert np.array_equal(vectors[Signal.SPEECH], WordSpace().embed_query_text(["red"])[Signal.SPEECH])
