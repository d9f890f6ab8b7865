"""Fusion: certainty ranks, signals confirm each other, none buries another, and every hit says why."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from search.ranking.calibration import FALLBACK, Calibration, Curve, Ending, probability
from search.ranking.candidates import Background, Candidate, CandidateList, Evidence
from search.ranking.fusion import Fusion, fuse, noisy_or
from search.signals import Sense, Signal

CALIBRATION = Calibration(
    fingerprint="test",
    curves={f"{signal}/text": Curve(intercept=-5.0, score=10.0) for signal in Signal}
    | {"speech/words": Curve(intercept=-4.0, score=8.0)},
    fused=((0.0, 0.0), (1.0, 1.0)),
    threshold=0.5,
)


def dense(signal: Signal, scores: Sequence[tuple[int, float]], first_segment: int = 1) -> CandidateList:
    """A list of (asset id, cosine), one segment each."""
    found = [
        Candidate(segment_id=first_segment + number, asset_id=asset_id, score=score)
        for number, (asset_id, score) in enumerate(scores)
    ]
    return CandidateList(
        signal=signal, evidence=Evidence.DENSE, candidates=tuple(found), background=Background(1000, 0.0, 0.1)
    )


def words(scores: Sequence[tuple[int, float]], first_segment: int) -> CandidateList:
    found = [
        Candidate(segment_id=first_segment + number, asset_id=asset_id, score=score, text="to be or not to be")
        for number, (asset_id, score) in enumerate(scores)
    ]
    background = Background(1000, 0.0, 0.0)
    return CandidateList(
        signal=Signal.SPEECH, evidence=Evidence.WORDS, candidates=tuple(found), background=background, terms=1
    )


def test_a_photo_is_not_buried_under_many_half_fitting_transcripts() -> None:
    photo = dense(Signal.IMAGE, [(1, 0.7)])
    transcripts = dense(Signal.SPEECH, [(10 + number, 0.5) for number in range(50)], first_segment=100)
    assert fuse([transcripts, photo], CALIBRATION)[0].asset_id == 1


def test_an_asset_that_two_signals_confirm_stands_above_one_that_a_single_signal_shows() -> None:
    seen = dense(Signal.FRAME, [(1, 0.55), (2, 0.55)])
    said = dense(Signal.SPEECH, [(2, 0.5)], first_segment=50)
    assert [asset.asset_id for asset in fuse([seen, said], CALIBRATION)] == [2, 1]


def test_who_asks_for_two_things_at_once_finds_what_has_both_before_what_has_more_of_one() -> None:
    # Asset 1 is the best to see, 2 the best to hear said; 3 has nearly as much of both.
    seen = dense(Signal.FRAME, [(1, 0.42), (3, 0.36), (4, 0.1)])
    said = dense(Signal.SPEECH, [(2, 0.42), (3, 0.34), (5, 0.1)], first_segment=50)
    assert [asset.asset_id for asset in fuse([seen, said], CALIBRATION)][:2] == [3, 1]


def test_what_must_come_together_is_as_likely_as_all_of_it() -> None:
    seen = dense(Signal.FRAME, [(1, 0.9), (3, 0.6), (4, 0.1)])
    said = dense(Signal.SPEECH, [(2, 0.9), (3, 0.6), (5, 0.1)], first_segment=50)
    fusion = Fusion([seen, said], CALIBRATION, together=(Sense.SEEN, Sense.SAID))
    relevance = dict(fusion.ranking)
    assert fusion.ranking[0][0] == 3
    assert relevance[3] == pytest.approx(probability(np.array(1.0)) ** 2)
    # Nobody heard asset 1 say anything: it is at most as likely as the last that was heard.
    assert relevance[1] == pytest.approx(np.prod(probability(np.array([4.0, -4.0]))))
    assert relevance[4] < 0.001


def test_who_says_nothing_at_all_is_not_taken_for_the_only_one_that_does() -> None:
    seen = dense(Signal.FRAME, [(1, 0.9), (2, 0.8)])
    said = replace(words([(2, 9.0)], first_segment=50), complete=True)
    relevance = dict(Fusion([seen, said], CALIBRATION, together=(Sense.SEEN, Sense.SAID)).ranking)
    assert relevance[2] > 0.5
    assert relevance[1] < 0.001


def test_a_sense_that_has_nothing_to_say_leaves_little_but_an_order() -> None:
    seen = dense(Signal.FRAME, [(1, 0.9), (2, 0.6)])
    fusion = Fusion([seen], CALIBRATION, together=(Sense.SEEN, Sense.HEARD))
    assert [asset_id for asset_id, _ in fusion.ranking] == [1, 2]
    assert not fusion.confident


def test_a_list_matches_when_its_best_hit_does_and_an_empty_one_never() -> None:
    wary = replace(CALIBRATION, matching=0.6)
    good, poor = dense(Signal.IMAGE, [(1, 0.7), (2, 0.3)]), dense(Signal.IMAGE, [(2, 0.3)])
    assert Fusion([good], wary).matched
    assert not Fusion([poor], wary).matched
    assert not Fusion([], wary).matched


def test_a_list_ends_where_relevance_ends_and_all_of_it_is_less_likely_where_nothing_matches() -> None:
    ended = replace(CALIBRATION, ending=Ending(least=0.05, share=0.5), matching=0.3)
    fusion = Fusion([dense(Signal.IMAGE, [(1, 0.7), (2, 0.6), (3, 0.4), (4, 0.1)])], ended)
    assert [relevance >= fusion.ends_at for _, relevance in fusion.ranking] == [True, True, False, False]
    poor = Fusion([dense(Signal.IMAGE, [(1, 0.3), (2, 0.1)])], ended)
    assert not any(relevance >= poor.ends_at for _, relevance in poor.ranking)


def test_the_best_of_many_frames_says_less_than_the_same_of_one_photo() -> None:
    fair = replace(CALIBRATION, curves={"image/text": Curve(intercept=-5.0, score=10.0, best_of=-0.5)})
    photo = dense(Signal.IMAGE, [(1, 0.5)])
    [candidate] = photo.candidates
    frame = replace(photo, candidates=(replace(candidate, of=40),))
    assert Fusion([photo], fair).ranking[0][1] > 2 * Fusion([frame], fair).ranking[0][1]


def test_words_and_meaning_of_the_same_passage_are_one_witness() -> None:
    meant = dense(Signal.SPEECH, [(1, 0.6)], first_segment=7)
    alone = fuse([meant], CALIBRATION)[0].relevance
    weak = fuse([meant, words([(1, 0.5)], first_segment=7)], CALIBRATION)[0]
    assert weak.relevance == pytest.approx(alone)
    assert {why.signal for why in weak.moments[0].why} == {"speech", "words"}
    assert fuse([meant, words([(1, 9.0)], first_segment=7)], CALIBRATION)[0].relevance > alone


def test_a_hundred_doubtful_segments_of_one_asset_are_no_certainty() -> None:
    doubtful = dense(Signal.FRAME, [(1, 0.3)] * 100)
    assert fuse([doubtful], CALIBRATION)[0].relevance < 0.2


def test_equal_relevance_is_ordered_by_id_so_that_a_query_asked_twice_answers_alike() -> None:
    ranked = fuse([dense(Signal.IMAGE, [(9, 0.5), (3, 0.5), (5, 0.5)])], CALIBRATION)
    assert [asset.asset_id for asset in ranked] == [3, 5, 9]


def test_a_result_is_confident_only_from_the_threshold_on() -> None:
    assert Fusion([dense(Signal.IMAGE, [(1, 0.6)])], CALIBRATION).confident
    assert not Fusion([dense(Signal.IMAGE, [(1, 0.4)])], CALIBRATION).confident
    assert not Fusion([], CALIBRATION).confident


def test_between_the_two_thresholds_something_may_match() -> None:
    unsure = replace(CALIBRATION, matching=0.3)
    fusion = Fusion([dense(Signal.IMAGE, [(1, 0.45)])], unsure)
    assert fusion.matched
    assert not fusion.confident
    assert not Fusion([dense(Signal.IMAGE, [(1, 0.35)])], unsure).matched
    assert not Fusion([], unsure).matched


def test_a_calibration_with_one_threshold_says_nothing_matches_below_it() -> None:
    assert Fusion([dense(Signal.IMAGE, [(1, 0.6)])], CALIBRATION).matched
    assert not Fusion([dense(Signal.IMAGE, [(1, 0.4)])], CALIBRATION).matched


def test_matched_words_are_marked_in_the_text_that_is_shown() -> None:
    fusion = Fusion([words([(1, 5.0)], first_segment=3)], CALIBRATION)
    assert fusion.found_by_words([1]) == [3]
    (asset,) = fusion.assets([1], {3: ((0, 5),)})
    (why,) = asset.moments[0].why
    assert (why.signal, why.rank, why.highlights) == ("words", 1, ((0, 5),))
    assert (asset.moments[0].text or "")[slice(*why.highlights[0])] == "to be"


def test_nothing_found_is_an_empty_ranking() -> None:
    assert fuse([], FALLBACK) == []


@given(st.lists(st.floats(0, 1), max_size=6))
def test_noisy_or_is_a_probability_no_lower_than_its_surest_witness(relevances: list[float]) -> None:
    joined = noisy_or(relevances)
    assert max(relevances, default=0.0) - 1e-9 <= joined <= 1.0


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Signal)), st.integers(1, 30), st.floats(-1, 1, width=32)),
        min_size=1,
        max_size=60,
    )
)
def test_every_candidate_is_ranked_once_and_relevance_falls(rows: list[tuple[Signal, int, float]]) -> None:
    lists = []
    for signal in Signal:
        mine = sorted(((asset, score) for one, asset, score in rows if one is signal), key=lambda row: -row[1])
        if mine:
            lists.append(dense(signal, mine, first_segment=1000 * list(Signal).index(signal) + 1))
    ranked = fuse(lists, CALIBRATION)
    assert sorted(asset.asset_id for asset in ranked) == sorted({asset for _, asset, _ in rows})
    relevances = [asset.relevance for asset in ranked]
    assert relevances == sorted(relevances, reverse=True)
    for asset in ranked:
        assert asset.moments
        assert asset.moments[0].relevance <= asset.relevance + 1e-9
