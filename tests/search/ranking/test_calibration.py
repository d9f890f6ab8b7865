"""Calibration: scores become honest, rising probabilities, in libraries of any size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from search.errors import SpaceError
from search.ranking.calibration import (
    FALLBACK,
    Calibration,
    Curve,
    Table,
    Yardsticks,
    decode,
    encode,
    for_space,
    least_scores,
    log_odds,
    log_odds_of_queries,
    probability,
    share_of_words,
)
from search.ranking.candidates import Background, Candidate, CandidateList, Evidence
from search.signals import Sense, Signal
from training.calibration import (
    confident_threshold,
    evened,
    fit_line,
    fit_table,
    isotonic,
    matching_threshold,
    rising_map,
    weight_of_together,
)
from training.trials import Trial


def listed(
    scores: Iterable[float],
    size: int = 1000,
    mean: float = 0.0,
    deviation: float = 0.1,
    evidence: Evidence = Evidence.DENSE,
    terms: int = 2,
) -> CandidateList:
    return CandidateList(
        signal=Signal.SPEECH,
        evidence=evidence,
        candidates=tuple(Candidate(segment_id=n, asset_id=n, score=score) for n, score in enumerate(scores, start=1)),
        background=Background(size, mean, deviation),
        terms=terms,
    )


def test_fitting_finds_the_probabilities_that_made_the_data() -> None:
    random = np.random.default_rng(0)
    scores, standard, sizes = (
        random.normal(0.2, 0.1, 20_000),
        random.normal(0, 1, 20_000),
        random.choice([2.0, 3.0], 20_000),
    )
    nothing = np.zeros(20_000)
    features = np.column_stack([scores, standard, nothing, sizes, *[nothing] * 5])
    odds = -2 + 12 * features[:, 0] + 0.5 * features[:, 1] - 0.8 * features[:, 3]
    truth = (random.random(20_000) < 1 / (1 + np.exp(-odds))).astype(float)
    curve = fit_line(features, truth)
    assert curve.score == pytest.approx(12, rel=0.1)
    assert curve.standard == pytest.approx(0.5, rel=0.15)
    assert curve.log_size == pytest.approx(-0.8, rel=0.15)


def test_a_feature_that_speaks_against_itself_is_left_out_so_that_curves_rise() -> None:
    random = np.random.default_rng(1)
    features = np.column_stack([random.normal(0, 1, (2000, 2)), np.zeros((2000, 7))])
    truth = (random.random(2000) < 1 / (1 + np.exp(-3 * features[:, 0] + features[:, 1]))).astype(float)
    curve = fit_line(features, truth)
    assert curve.score > 0
    assert curve.standard == 0


def test_the_same_score_says_less_in_a_larger_library() -> None:
    calibration = Calibration(
        fingerprint="x",
        curves={"speech/text": Curve(intercept=0, score=5, log_size=-1)},
        fused=((0.0, 0.0), (1.0, 1.0)),
        threshold=0.5,
    )
    small, large = (calibration.relevances(listed([0.4], size=size))[0] for size in (20, 800))
    assert small > large


def test_an_unknown_space_is_judged_by_what_stands_out_from_the_background() -> None:
    flat = FALLBACK.relevances(listed([0.6], mean=0.55, deviation=0.05))
    outstanding = FALLBACK.relevances(listed([0.6], mean=0.1, deviation=0.05))
    assert flat[0] < 0.1 < 0.8 < outstanding[0]


def test_words_that_are_rare_in_the_library_say_more() -> None:
    rare, common = FALLBACK.relevances(listed([12.0, 1.0], evidence=Evidence.WORDS))
    assert rare > 0.5 > common


def test_the_final_map_rises_strictly_and_follows_what_was_right() -> None:
    random = np.random.default_rng(0)
    evidence = random.random(5000)
    truth = (random.random(5000) < evidence**2).astype(float)
    knots = rising_map(evidence, truth)
    calibration = Calibration(fingerprint="x", curves={}, fused=knots, threshold=0.5)
    said = [calibration.final(value) for value in np.linspace(0, 1, 101)]
    assert all(np.diff(said) > 0)
    assert all(abs(calibration.final(value) - value**2) < 0.08 for value in (0.2, 0.5, 0.8))


def test_the_threshold_is_the_lowest_that_is_precise_enough() -> None:
    relevances = np.linspace(0, 1, 1001)
    truth = (relevances > 0.6).astype(float)
    threshold = confident_threshold(relevances, truth, precision=0.8)
    assert truth[relevances >= threshold].mean() >= 0.8
    assert truth[relevances >= threshold - 0.05].mean() < 0.8


def test_nothing_matches_well_is_said_of_as_much_that_is_not_there_as_promised() -> None:
    relevances = np.linspace(0, 1, 1001)
    present = np.arange(1001) % 2 == 0
    threshold = matching_threshold(relevances, present, np.zeros(1001), refused=0.9)
    assert np.mean(relevances[~present] < threshold) >= 0.9
    assert np.mean(relevances[~present] < threshold - 0.02) < 0.9
    # Lists that match by what is to be expected of them leave less to be lost.
    expected = np.where(relevances > 0.95, 2.0, 0.0)
    threshold = matching_threshold(relevances, present, expected, refused=0.9)
    assert np.mean((relevances < threshold)[~present] & (expected < 1)[~present]) >= 0.9


def test_a_list_matches_by_its_best_hit_or_by_what_is_to_be_expected_of_ten() -> None:
    calibration = Calibration(fingerprint="x", curves={}, fused=((0.0, 0.0), (1.0, 1.0)), threshold=0.8, matching=0.3)
    assert calibration.matches([0.3])
    assert not calibration.matches([])
    assert not calibration.matches([0.29, 0.28, 0.27])
    broad = [0.15 - 0.001 * place for place in range(20)]
    assert calibration.matches(broad)
    assert not calibration.matches(broad[:6])
    assert not calibration.matches([0.15] * 20)  # copies of one file


def test_a_passage_that_holds_all_the_words_counts_for_more_than_its_cosine() -> None:
    calibration = Calibration(
        fingerprint="x",
        curves={"speech/text": Curve(intercept=-5, score=10, covered=1, complete=3)},
        fused=((0.0, 0.0), (1.0, 1.0)),
        threshold=0.5,
    )
    near, with_all, with_some = (
        Candidate(segment_id=number, asset_id=number, score=score, covered=covered)
        for number, score, covered in ((1, 0.45, 0.0), (2, 0.28, 1.0), (3, 0.28, 0.5))
    )
    said = calibration.relevances(replace(listed([]), candidates=(near, with_all, with_some)))
    assert said[1] > said[0] > said[2] > calibration.relevances(listed([0.28]))[0]


def test_the_very_picture_that_is_asked_with_is_surely_relevant() -> None:
    calibration = Calibration(
        fingerprint="x",
        curves={"speech/example": Curve(intercept=-9, score=9, complete=7)},
        fused=((0.0, 0.0), (1.0, 1.0)),
        threshold=0.5,
    )
    said = calibration.relevances(replace(listed([0.99, 0.9]), by_example=True))
    assert said[0] > 0.99
    assert said[1] < 0.5


def test_no_word_can_be_rarer_than_the_partition_says() -> None:
    # BM25 counts words over speech and text seen together; a single sign among many recordings is rare to it.
    assert share_of_words(np.array([8.0]), terms=2, size=1) == pytest.approx(1.0)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=3), st.floats(0.2, 3), st.floats(-5, 9))
def test_several_senses_are_as_likely_as_was_fitted_and_rise_with_each(
    chances: list[float], slope: float, shift: float
) -> None:
    plain, fitted = FALLBACK, replace(FALLBACK, together=(slope, shift))
    assert 0 < fitted.jointly(chances) < 1
    assert fitted.jointly(chances) <= fitted.jointly([1.0, *chances[1:]]) + 1e-12
    if all(0.01 < chance < 0.99 for chance in chances):
        assert plain.jointly(chances) == pytest.approx(np.prod(chances))


def test_what_has_all_that_is_asked_for_is_as_likely_as_trials_say() -> None:
    random = np.random.default_rng(2)

    def found(signal: Signal, chances: np.ndarray) -> CandidateList:
        scores = np.log(chances / (1 - chances)).tolist()
        return replace(listed(scores, size=1), signal=signal)

    def trial() -> Trial:
        chances = random.uniform(0.05, 0.95, (2, 2))
        products = chances.prod(axis=0)
        # Their product is four times too low, in odds.
        right = (random.random(2) < 4 * products / (1 + 3 * products)).astype(float)
        truth = dict(enumerate(right.tolist(), start=1))
        return Trial(
            sort="two signals",
            text="",
            present=True,
            size=2,
            lists=[found(Signal.FRAME, chances[0]), found(Signal.SPEECH, chances[1])],
            together=(Sense.SEEN, Sense.SAID),
            asset_truth=truth,
            segment_truth=truth,
        )

    curve = Curve(intercept=0, score=1)
    plain = replace(FALLBACK, curves={"frame/text": curve, "speech/text": curve})
    slope, shift = weight_of_together([trial() for _ in range(1000)], plain)
    assert slope == pytest.approx(1, abs=0.2)
    assert shift == pytest.approx(np.log(4), abs=0.4)
    assert weight_of_together([], plain) == (1.0, 0.0)


def asked(signal: Signal, log_odds: Sequence[float], right: Sequence[bool], terms: int = 4) -> Trial:
    """A question whose hits one signal finds, with a score that is their log-odds."""
    truth = {number: float(value) for number, value in enumerate(right, start=1)}
    found = replace(listed(list(log_odds), size=100), signal=signal, terms=terms)
    return Trial(sort="photo", text="", present=True, size=9, lists=[found], asset_truth=truth, segment_truth=truth)


def test_hits_of_every_sense_count_as_they_turn_out() -> None:
    random, curve = np.random.default_rng(3), Curve(intercept=0, score=1)
    plain = replace(FALLBACK, curves={"image/text": curve, "speech/text": curve, "speech/words": curve})
    made = []
    for number in range(2000):
        said, signal = random.uniform(-3, 3), (Signal.IMAGE, Signal.SPEECH)[number % 2]
        off = 1.0 if signal is Signal.IMAGE else -1.0
        made.append(asked(signal, [said], [bool(random.random() < probability(np.array(said + off)))]))
    curves = evened(made, plain)
    assert ahead(curves, terms=4) == pytest.approx(2, abs=0.4)
    assert curves["speech/words"].intercept == curves["speech/text"].intercept


def test_a_sense_counts_for_a_word_and_for_a_sentence_as_each_turns_out() -> None:
    random, curve = np.random.default_rng(4), Curve(intercept=0, score=1)
    plain = replace(FALLBACK, curves={"image/text": curve, "speech/text": curve})
    made = []
    for number in range(4000):
        said, signal, terms = random.uniform(-3, 3), (Signal.IMAGE, Signal.SPEECH)[number % 2], (1, 8)[number // 2 % 2]
        # A single word is about what is seen; a sentence as well about what is said.
        off = 2.0 if (signal, terms) == (Signal.IMAGE, 1) else 0.0
        made.append(asked(signal, [said], [bool(random.random() < probability(np.array(said + off)))], terms))
    curves = evened(made, plain)
    assert ahead(curves, terms=1) == pytest.approx(2, abs=0.4)
    assert ahead(curves, terms=8) == pytest.approx(0, abs=0.4)


def test_many_queries_are_judged_at_once_as_each_is_alone() -> None:
    table = Table(
        scores=(0.0, 0.5), terms=(1.0, 8.0), log_sizes=(1.0, 4.0), values=(((-3, 1), (-2, 2)), ((-4, 0), (-3, 1)))
    )
    curve = Curve(
        intercept=-1, table=table, score=2, standard=0.5, mean=-3, log_terms=0.7, log_size=-0.4, sizes=(1, 1e6)
    )
    scores, terms = np.array([0.1, 0.3, 0.45, 0.2]), np.array([1, 2, 8, 0])
    means, spreads = np.array([0.0, 0.1, 0.2, 0.1]), np.array([0.1, 0.05, 0.1, 0.2])
    judged_by = Yardsticks(terms=terms, size=500, means=means, spreads=spreads)
    together = log_odds_of_queries(curve, scores, judged_by)
    for row, said in enumerate(together):
        alone = listed([scores[row]], 500, float(means[row]), float(spreads[row]), terms=int(terms[row]))
        assert log_odds(curve, alone, scores[row : row + 1])[0] == pytest.approx(said)


@given(
    slopes=st.tuples(*[st.sampled_from([0.0, 0.3, 2.0, 9.0])] * 4),
    wanted=st.lists(st.floats(-10, 10), min_size=1, max_size=20),
    size=st.integers(1, 5000),
    covered=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_the_least_score_is_the_first_that_reaches_what_is_wanted(
    slopes: tuple[float, ...], wanted: list[float], size: int, covered: float
) -> None:
    first, second, score, standard = slopes
    line = (-3.0, -3.0 + first, -3.0 + first + second)
    table = Table(scores=(0.1, 0.2, 0.5), terms=(1.0, 8.0), log_sizes=(1.0, 3.0), values=((line, line), (line, line)))
    curve = Curve(intercept=1, score=score, standard=standard, mean=-2, covered=1, complete=2, table=table, log_size=-1)
    terms = np.arange(len(wanted)) % 3
    means, spreads = np.full(len(wanted), 0.1), np.full(len(wanted), 0.2)
    judged_by = Yardsticks(terms=terms, size=size, means=means, spreads=spreads, covered=covered)
    least = least_scores(curve, np.array(wanted), judged_by)

    def reached(scores: np.ndarray) -> np.ndarray:
        return np.asarray(log_odds_of_queries(curve, scores, judged_by) >= wanted)

    assert np.all(reached(np.clip(least + 1e-6, -50, 50)) | (least == np.inf))
    assert not np.any(reached(np.clip(least - 1e-6, -50, 50)) & (least != -np.inf))


def ahead(curves: Mapping[str, Curve], terms: int) -> float:
    """By how much, in log-odds, pictures count more than passages with the same score."""
    seen, said = (
        curves[name].intercept + curves[name].log_terms * np.log(terms) for name in ("image/text", "speech/text")
    )
    return float(seen - said)


def test_a_table_learns_that_a_score_means_different_things_for_a_word_and_a_sentence() -> None:
    random = np.random.default_rng(5)
    scores, terms = random.uniform(0, 0.6, 20_000), random.choice([1.0, 8.0], 20_000)
    centre = np.where(terms == 1, 0.2, 0.4)
    truth = (random.random(20_000) < probability(20 * (scores - centre))).astype(float)
    nothing = np.zeros(20_000)
    features = np.column_stack([scores, *[nothing] * 2, nothing + 2, *[nothing] * 4, terms])
    table = fit_table(features, truth).table
    assert table is not None
    for words, where in ((1, 0.2), (8, 0.4)):
        said = probability(table.at(np.array([where - 0.1, where, where + 0.1]), words, 100))
        assert said == pytest.approx(probability(np.array([-2.0, 0.0, 2.0])), abs=0.08)
    assert np.all(np.diff(table.at(np.linspace(-0.5, 1.2, 50), 3, 10**6)) >= 0)


def test_a_table_says_little_of_low_scores_that_large_libraries_never_show() -> None:
    random = np.random.default_rng(6)
    sizes = random.choice([1.3, 3.5], 20_000)
    large = sizes == 3.5
    scores = np.where(large, random.uniform(0.35, 0.6, 20_000), random.uniform(0, 0.6, 20_000))
    truth = (random.random(20_000) < probability(20 * (scores - np.where(large, 0.5, 0.3)))).astype(float)
    nothing = np.zeros(20_000)
    features = np.column_stack([scores, *[nothing] * 2, sizes, *[nothing] * 4, nothing + 4])
    table = fit_table(features, truth).table
    assert table is not None
    said = probability(table.at(np.array([0.0, 0.4, 0.5]), 4, round(10**3.5)))
    assert said == pytest.approx([0.0, 0.12, 0.5], abs=0.06)


@given(
    st.lists(st.tuples(st.floats(-9, 9), st.floats(0.1, 100)), min_size=1, max_size=20),
)
def test_rising_values_keep_the_mean_and_change_nothing_that_rises(points: list[tuple[float, float]]) -> None:
    values, weights = np.array(points).T
    rising = isotonic(values, weights)
    assert np.all(np.diff(rising) >= 0)
    assert np.average(rising, weights=weights) == pytest.approx(np.average(values, weights=weights), abs=1e-9)
    assert isotonic(np.sort(values), weights) == pytest.approx(np.sort(values))


def test_a_table_is_linear_between_its_knots_in_every_direction() -> None:
    values = (((0.0, 1.0), (2.0, 3.0)), ((4.0, 5.0), (6.0, 7.0)))
    table = Table(scores=(0.0, 1.0), terms=(1.0, 3.0), log_sizes=(1.0, 3.0), values=values)
    assert table.at(np.array([0.0, 0.5, 1.0, 2.0]), 2, 100) == pytest.approx([3.0, 3.5, 4.0, 5.0])
    assert table.at(np.array([0.5]), 1, 1) == pytest.approx([0.5]), "held at the edges"


def test_words_that_recognition_is_unsure_of_weigh_less_and_one_word_is_a_mere_mention() -> None:
    curve = Curve(intercept=-4, complete=5, mentioned=-3)
    calibration = replace(FALLBACK, curves={"speech/text": curve})
    [found] = listed([0.3]).candidates
    heard, unsure = replace(found, covered=1.0), replace(found, covered=1.0, sure=0.4)
    said = calibration.relevances(replace(listed([]), candidates=(heard, unsure), terms=3))
    assert said[0] > 0.5 > said[1]
    assert calibration.relevances(replace(listed([]), candidates=(heard,), terms=1))[0] < said[0] / 2


def test_a_calibration_survives_being_stored() -> None:
    calibration = Calibration(
        fingerprint="x",
        curves={"image/text": Curve(intercept=-1.5, score=3)},
        fused=((0.0, 0.0), (1.0, 0.9)),
        threshold=0.4,
    )
    assert decode(encode(calibration)) == calibration
    assert for_space(encode(calibration), "other") == calibration
    assert for_space(None, "a space that nobody fitted") == FALLBACK


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"fingerprint":"x","curves":{},"fused":[[0,0]],"threshold":0.5}',
        '{"fingerprint":"x","curves":{},"fused":[[0,1],[1,0]],"threshold":0.5}',
        '{"fingerprint":"x","curves":{"a":{"intercept":0,"score":-1}},"fused":[[0,0],[1,1]],"threshold":0.5}',
        '{"fingerprint":"x","curves":{"a":{"intercept":0,"complete":-1}},"fused":[[0,0],[1,1]],"threshold":0.5}',
        '{"fingerprint":"x","curves":{},"fused":[[0,0],[1,1]],"threshold":0.5,"together":[0,0]}',
        '{"fingerprint":"x","curves":{"a":{"table":{"scores":[0,1],"terms":[1],"log_sizes":[1],"values":[[[1,0]]]}}},'
        '"fused":[[0,0],[1,1]],"threshold":0.5}',
        '{"fingerprint":"x","curves":{},"fused":[[0,0],[1,1]],"threshold":0.5,"together":[0,1]}',
    ],
)
def test_a_damaged_calibration_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(SpaceError, match="fit it again"):
        decode(text)


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=20).map(lambda scores: sorted(scores, reverse=True)),
    st.integers(0, 10**9),
    st.floats(-1, 1),
    st.floats(0, 1),
)
def test_probabilities_never_rise_where_scores_fall(
    scores: list[float], size: int, mean: float, deviation: float
) -> None:
    said = FALLBACK.relevances(listed(scores, size=size, mean=mean, deviation=deviation))
    assert np.all((said > 0) & (said < 1))
    assert np.all(np.diff(said) <= 0)
