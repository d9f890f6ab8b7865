"""What is measured of rankings: the same numbers as others give, and intervals that hold what they should."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from search.evaluation.metrics import calibration_error, difference, estimate, estimate_calibration, ndcg, recall


def test_ndcg_is_that_of_scikit_learn_and_recall_a_share() -> None:
    from sklearn.metrics import ndcg_score

    random = np.random.default_rng(0)
    for _ in range(50):
        ranked = random.permutation(30)[: random.integers(10, 20)].tolist()
        relevant = {int(one): int(random.integers(1, 4)) for one in random.permutation(30)[: random.integers(1, 8)]}
        truth = np.array([[relevant.get(one, 0) for one in range(30)]])
        scores = np.full((1, 30), -100.0)
        scores[0, ranked] = -np.arange(len(ranked))
        scores[0] -= np.arange(30) * 1e-6 * (scores[0] == -100)  # those that were not found, in any order
        measured = ndcg(ranked, relevant, 10)
        assert measured == pytest.approx(ndcg_score(truth, scores, k=10))
        assert recall(ranked, relevant, 10) == len(set(ranked[:10]) & set(relevant)) / len(relevant)


def test_what_was_said_to_be_wrong_gains_nothing() -> None:
    assert recall([1, 2], {1: 0, 2: 1}, 10) == 1
    assert ndcg([1, 2], {1: 0, 2: 1}, 10) == pytest.approx(1 / np.log2(3))


def test_calibration_error_is_the_gap_between_said_and_true() -> None:
    right = np.array([1.0] * 80 + [0.0] * 20)
    assert calibration_error(np.full(100, 0.8), right) == pytest.approx(0.0)
    assert calibration_error(np.full(100, 0.5), right) == pytest.approx(0.3)
    measured = estimate_calibration([(np.full(10, 0.5), right[start : start + 10]) for start in range(0, 100, 10)])
    assert measured.low <= measured.mean <= measured.high


def test_intervals_hold_the_true_mean_19_times_of_20() -> None:
    random = np.random.default_rng(1)
    held = 0
    for _ in range(100):
        measured = estimate(random.binomial(1, 0.6, 80).astype(float).tolist())
        held += measured.low <= 0.6 <= measured.high
    assert held >= 88


def test_a_true_gain_is_told_from_chance_and_chance_is_not_taken_for_one() -> None:
    random = np.random.default_rng(2)
    base = random.uniform(0, 1, 100)
    better = difference(base.tolist(), (base + random.normal(0.05, 0.1, 100)).tolist())
    assert better.mean > 0
    assert not better.is_noise
    false_alarms = sum(
        not difference(base.tolist(), (base + random.normal(0, 0.1, 100)).tolist()).is_noise for _ in range(40)
    )
    assert false_alarms <= 6
    assert difference([0.5, 0.5], [0.5, 0.5]).is_noise


@pytest.mark.filterwarnings("ignore")  # numba's own, about ranx's numbers
def test_measures_and_chance_are_those_of_ranx() -> None:
    from ranx import Qrels, Run, evaluate
    from ranx.statistical_tests.fisher_randomization_test import fisher_randomization_test

    random = np.random.default_rng(0)
    items = [str(number) for number in range(40)]
    asked = [f"{number:02}" for number in range(30)]  # ranx goes by their names
    judged = {query: {item: int(random.integers(1, 4)) for item in random.choice(items, 6, False)} for query in asked}

    def run(lift: float) -> dict[str, dict[str, float]]:
        return {q: {item: float(random.random()) + lift * (item in judged[q]) for item in items} for q in asked}

    def ours(scored: dict[str, dict[str, float]], measure: Callable[..., float]) -> list[float]:
        ranked = {query: sorted(items, key=lambda item: -scored[query][item]) for query in asked}
        right = {query: {int(item): grade for item, grade in judged[query].items()} for query in asked}
        return [measure([int(item) for item in ranked[query]], right[query], 10) for query in asked]

    first, second = run(0.3), run(0.4)
    for name, measure in (("ndcg@10", ndcg), ("recall@10", recall)):
        theirs = evaluate(Qrels(judged), Run(first), name, return_mean=False)
        assert ours(first, measure) == pytest.approx(list(theirs))
    values = ours(first, ndcg), ours(second, ndcg)
    theirs_p, _ = fisher_randomization_test(np.array(values[0]), np.array(values[1]), n_permutations=10_000)
    assert 0.01 < theirs_p < 0.9
    assert difference(*values).p == pytest.approx(theirs_p, abs=0.03)
