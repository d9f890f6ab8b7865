"""Fusion: certainty ranks, signals confirm each other, none buries another, and every hit says why."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from search.calibration import FALLBACK, Calibration, Curve, probability
from search.candidates import Background, Candidate, CandidateList, Evidence, Sense
from search.fusion import AGREES_FROM, Fusion, agreements, fuse, noisy_or
from search.results import Signal

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
        Candidate(segment_id=first_segment + place, asset_id=asset_id, score=score)
        for place, (asset_id, score) in enumerate(scores)
    ]
    return CandidateList(
        signal=signal, evidence=Evidence.DENSE, candidates=tuple(found), background=Background(1000, 0.0, 0.1)
    )


def words(scores: Sequence[tuple[int, float]], first_segment: int) -> CandidateList:
    found = [
        Candidate(segment_id=first_segment + place, asset_id=asset_id, score=score, text="to be or not to be")
        for place, (asset_id, score) in enumerate(scores)
    ]
    background = Background(1000, 0.0, 0.0)
    return CandidateList(
        signal=Signal.SPEECH, evidence=Evidence.WORDS, candidates=tuple(found), background=background, terms=1
    )


def test_a_photo_is_not_buried_under_many_half_fitting_transcripts():
    photo = dense(Signal.IMAGE, [(1, 0.7)])
    transcripts = dense(Signal.SPEECH, [(10 + place, 0.5) for place in range(50)], first_segment=100)
    assert fuse([transcripts, photo], CALIBRATION)[0].asset_id == 1


def test_an_asset_that_two_signals_confirm_stands_above_one_that_a_single_signal_shows():
    seen = dense(Signal.FRAME, [(1, 0.55), (2, 0.55)])
    said = dense(Signal.SPEECH, [(2, 0.5)], first_segment=50)
    assert [asset.asset_id for asset in fuse([seen, said], CALIBRATION)] == [2, 1]


def test_who_asks_for_two_things_at_once_finds_what_has_both_before_what_has_more_of_one():
    # Asset 1 is the best to see, 2 the best to hear said; 3 has nearly as much of both.
    seen = dense(Signal.FRAME, [(1, 0.42), (3, 0.36), (4, 0.1)])
    said = dense(Signal.SPEECH, [(2, 0.42), (3, 0.34), (5, 0.1)], first_segment=50)
    unaware = [asset.asset_id for asset in fuse([seen, said], CALIBRATION)]
    agreeing = Fusion([seen, said], replace(CALIBRATION, agreement=1.0))
    assert unaware[:2] == [3, 1]
    assert agreements([seen, said]) == {3: pytest.approx(3.4 - AGREES_FROM)}
    by_asset, before = dict(agreeing.ranking), dict(Fusion([seen, said], CALIBRATION).ranking)
    assert by_asset[3] > before[3] + 0.2
    assert all(by_asset[other] == before[other] for other in (1, 2, 4, 5))


def test_what_must_come_together_is_as_likely_as_all_of_it():
    seen = dense(Signal.FRAME, [(1, 0.9), (3, 0.6), (4, 0.1)])
    said = dense(Signal.SPEECH, [(2, 0.9), (3, 0.6), (5, 0.1)], first_segment=50)
    fusion = Fusion([seen, said], CALIBRATION, together=(Sense.SEEN, Sense.SAID))
    relevance = dict(fusion.ranking)
    assert fusion.ranking[0][0] == 3
    assert relevance[3] == pytest.approx(probability(1.0) ** 2)
    # Nobody heard asset 1 say anything: it is at most as likely as the last that was heard.
    assert relevance[1] == pytest.approx(probability(4.0) * probability(-4.0))
    assert relevance[4] < 0.001


def test_who_says_nothing_at_all_is_not_taken_for_the_only_one_that_does():
    seen = dense(Signal.FRAME, [(1, 0.9), (2, 0.8)])
    said = replace(words([(2, 9.0)], first_segment=50), complete=True)
    relevance = dict(Fusion([seen, said], CALIBRATION, together=(Sense.SEEN, Sense.SAID)).ranking)
    assert relevance[2] > 0.5
    assert relevance[1] < 0.001


def test_a_sense_that_has_nothing_to_say_leaves_little_but_an_order():
    seen = dense(Signal.FRAME, [(1, 0.9), (2, 0.6)])
    fusion = Fusion([seen], CALIBRATION, together=(Sense.SEEN, Sense.HEARD))
    assert [asset_id for asset_id, _ in fusion.ranking] == [1, 2]
    assert not fusion.confident


def test_a_hit_far_above_the_others_gains_and_a_library_full_of_hits_loses_nothing():
    eager = replace(CALIBRATION, alone=0.5)
    asked = replace(dense(Signal.IMAGE, [(1, 0.5), (2, 0.0), (3, 0.0), (4, 0.0), (5, 0.0)]), terms=4)
    full = replace(dense(Signal.IMAGE, [(asset_id, 0.5) for asset_id in range(1, 6)]), terms=4)
    one = replace(asked, candidates=asked.candidates[:1])
    # The mean of five log-odds is -4, two below what counts as good.
    assert dict(Fusion([asked], eager).ranking)[1] == pytest.approx(probability(0.5 * 2))
    assert Fusion([full], eager).ranking == Fusion([full], CALIBRATION).ranking
    assert Fusion([one], eager).ranking == Fusion([one], CALIBRATION).ranking
    shown = replace(asked, by_example=True, candidates=asked.candidates)
    assert Fusion([shown], eager).ranking == Fusion([shown], CALIBRATION).ranking, "fitted on words"


def test_of_what_is_right_a_cosine_says_the_less_the_more_was_asked_for():
    patient = replace(CALIBRATION, terms=0.5)
    usual, short, long = (replace(dense(Signal.IMAGE, [(1, 0.5)]), terms=terms) for terms in (4, 1, 9))
    best = [Fusion([one], patient).ranking[0][1] for one in (short, usual, long)]
    assert best[1] == pytest.approx(0.5)
    assert best[0] < 0.5 < best[2]
    much = [Fusion([replace(long, terms=terms)], patient).ranking for terms in (40, 64)]
    assert much[0] == much[1], "a pasted page says no more than a long sentence"


def test_a_second_picture_or_a_second_list_of_words_is_no_second_sense():
    photo, frame = dense(Signal.IMAGE, [(1, 0.5)]), dense(Signal.FRAME, [(1, 0.5)], first_segment=9)
    said, written = dense(Signal.SPEECH, [(1, 0.5)]), dense(Signal.TEXT, [(1, 0.5)], first_segment=9)
    assert agreements([photo, frame]) == agreements([said, written]) == {}
    assert agreements([said, words([(1, 9.0)], first_segment=20)]) == {}
    assert agreements([photo, said])
    assert agreements([replace(one, by_example=True) for one in (photo, said)]) == {}, "an example shows one thing"


def test_words_and_meaning_of_the_same_passage_are_one_witness():
    meant = dense(Signal.SPEECH, [(1, 0.6)], first_segment=7)
    alone = fuse([meant], CALIBRATION)[0].relevance
    weak = fuse([meant, words([(1, 0.5)], first_segment=7)], CALIBRATION)[0]
    assert weak.relevance == pytest.approx(alone)
    assert {why.signal for why in weak.moments[0].why} == {"speech", "words"}
    assert fuse([meant, words([(1, 9.0)], first_segment=7)], CALIBRATION)[0].relevance > alone


def test_a_hundred_doubtful_segments_of_one_asset_are_no_certainty():
    doubtful = dense(Signal.FRAME, [(1, 0.3)] * 100)
    assert fuse([doubtful], CALIBRATION)[0].relevance < 0.2


def test_equal_relevance_is_ordered_by_id_so_that_a_query_asked_twice_answers_alike():
    ranked = fuse([dense(Signal.IMAGE, [(9, 0.5), (3, 0.5), (5, 0.5)])], CALIBRATION)
    assert [asset.asset_id for asset in ranked] == [3, 5, 9]


def test_a_result_is_confident_only_from_the_threshold_on():
    assert Fusion([dense(Signal.IMAGE, [(1, 0.6)])], CALIBRATION).confident
    assert not Fusion([dense(Signal.IMAGE, [(1, 0.4)])], CALIBRATION).confident
    assert not Fusion([], CALIBRATION).confident


def test_between_the_two_thresholds_something_may_match():
    unsure = replace(CALIBRATION, matching=0.3)
    found = Fusion([dense(Signal.IMAGE, [(1, 0.45)])], unsure)
    assert found.matched
    assert not found.confident
    assert not Fusion([dense(Signal.IMAGE, [(1, 0.35)])], unsure).matched
    assert not Fusion([], unsure).matched


def test_a_calibration_with_one_threshold_says_nothing_matches_below_it():
    assert Fusion([dense(Signal.IMAGE, [(1, 0.6)])], CALIBRATION).matched
    assert not Fusion([dense(Signal.IMAGE, [(1, 0.4)])], CALIBRATION).matched


def test_matched_words_are_marked_in_the_text_that_is_shown():
    fusion = Fusion([words([(1, 5.0)], first_segment=3)], CALIBRATION)
    assert fusion.found_by_words([1]) == [3]
    (asset,) = fusion.assets([1], {3: ((0, 5),)})
    (why,) = asset.moments[0].why
    assert (why.signal, why.rank, why.highlights) == ("words", 1, ((0, 5),))
    assert asset.moments[0].text[slice(*why.highlights[0])] == "to be"


def test_nothing_found_is_an_empty_ranking():
    assert fuse([], FALLBACK) == []


@given(st.lists(st.floats(0, 1), max_size=6))
def test_noisy_or_is_a_probability_no_lower_than_its_surest_witness(relevances):
    joined = noisy_or(relevances)
    assert max(relevances, default=0.0) - 1e-9 <= joined <= 1.0


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Signal)), st.integers(1, 30), st.floats(-1, 1, width=32)),
        min_size=1,
        max_size=60,
    )
)
def test_every_candidate_is_ranked_once_and_relevance_falls(rows):
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


def test_the_same_evidence_is_worth_more_where_less_could_be_wrong():
    calibration = replace(CALIBRATION, log_size=-1.0, sizes=(10.0, 10_000.0))
    found = dense(Signal.IMAGE, [(1, 0.55)])
    small, large, larger = (
        Fusion([replace(found, background=Background(size, 0.0, 0.1))], calibration).ranking[0][1]
        for size in (20, 10_000, 10**7)
    )
    assert small > large == larger
