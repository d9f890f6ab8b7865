"""Fits what the scores of a space mean: `search/spaces/weights/starter-calibration.json`.

    python -m training.calibration --data ../shared/data

Takes the validation parts only; benchmarks/ranking.py reports on the test parts. Run it again whenever
the space's weights change: a calibration belongs to one fingerprint.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec import structs

from search.ranking.calibration import (
    Calibration,
    Curve,
    Ending,
    Table,
    deviations,
    encode,
    expected_right,
    is_same,
    key,
    share_of_words,
    shares,
)
from search.ranking.candidates import Background, Candidate, CandidateList, Evidence
from search.ranking.fusion import Fusion
from search.settings import Settings
from search.signals import Sense, Signal
from search.spaces.registry import open_space
from search.spaces.space import Space
from search.spaces.specification import decode, newest_starter
from search.spaces.weights import SHIPPED
from training.logistic import newton
from training.mixed_libraries import Contents, questions, read_contents
from training.trials import OF_TWO, Trial, trials

SIZES = (20, 60, 200, 600, 1800, 5000)
LIBRARIES = 9  # of each size: with three, what is refused of other draws differs by two points
PER_LIBRARY = 60
LOOK_AT = 10  # candidates of each list: further down nearly nothing is right, and the curve would fit nothing else
SHOWN = 10  # hits whose probability must be honest
UNLIKELY = 1e-4
LEAST_SIZE = 12  # smaller partitions count as this: four frames beside many photos are no library of four things
KNOTS = 12
# Of confident best hits. 0.8 is promised; the rest is for libraries unlike these, and because the image head has
# seen the labelled photos among the validation contents (measured: 0.06 less on the test parts).
PRECISION = 0.87
ENDING_LEAST = (0.02, 0.04, 0.07, 0.1, 0.15, 0.2)  # what the end of a list is chosen from
ENDING_SHARE = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
REFUSED = 0.8  # of questions about what is not there, as promised; counted among those about the same world
_RIDGE = 1e-2  # on standardised features
_TABLE_RIDGE = 0.5  # on how far a table's values are from a plane
_PLANE_RIDGE = 1e-3
# Knots of the tables: shares of all scores, numbers of words, decimal logarithms of partition sizes.
_SCORE_SHARES = (0.02, 0.25, 0.5, 0.75, 0.9, 0.98)
_TERM_KNOTS = (1.0, 2.0, 4.0, 8.0)
_SIZE_KNOTS = (1.3, 3.5)


def main() -> None:
    """Fit, write, and say how well it went on the data it was fitted on."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "medley-calibration")
    arguments.add_argument("--out", type=Path, default=SHIPPED / "starter-calibration.json")
    arguments.add_argument(
        "--specification", help="of another space than the starter, as `medley spaces list --json` shows"
    )
    arguments.add_argument("--seed", type=int, default=0)
    chosen = arguments.parse_args()
    wanted = decode(chosen.specification) if chosen.specification else newest_starter()
    space = open_space(wanted, Settings.load(home=chosen.cache / "home"))
    contents = read_contents(chosen.data, space, "validation", chosen.cache)
    calibration = fit(space, contents, np.random.default_rng(chosen.seed))
    chosen.out.write_text(encode(calibration) + "\n", "utf-8")
    print(f"{chosen.out}: threshold {calibration.threshold:.3f}, {calibration.record}")


def fit(space: Space, contents: Contents, random: np.random.Generator) -> Calibration:
    """Curves from the candidates of all trials, then the final map and the threshold from their best hits."""
    asked = questions(contents, "validation", random)
    made = list(trials(contents, asked, space, SIZES * LIBRARIES, PER_LIBRARY, random))
    return fit_to(made, space.fingerprint.digest, fit_example_curves(contents, random))


def fit_to(made: Sequence[Trial], fingerprint: str, example_curves: Mapping[str, Curve]) -> Calibration:
    """The calibration of trials that are at hand."""
    curves = fit_curves([candidate for candidate in made if candidate.sort not in OF_TWO])
    plain = Calibration(fingerprint=fingerprint, curves=curves, fused=((0.0, 0.0), (1.0, 1.0)), threshold=0.5)
    even = structs.replace(plain, curves=evened(made, plain) | dict(example_curves))
    joint = structs.replace(even, together=weight_of_together(made, even))
    evidence, truth = shown(made, joint)
    honest = structs.replace(joint, fused=rising_map(evidence, truth))
    lists = [ranked for trial in made if (ranked := ranking(trial, honest))]
    answered = [trial for trial in made if ranking(trial, honest)]
    present = np.array([trial.present for trial in answered])
    best = np.array([ranked[0][1] for ranked in lists])
    right = np.array([trial.asset_truth[ranked[0][0]] == 1 for trial, ranked in zip(answered, lists, strict=True)])
    expected = np.array([expected_right([relevance for _, relevance in ranked]) for ranked in lists])
    # What is of another world is easier to refuse, and would hide how hard the rest is.
    same_world = np.array([trial.sort != "elsewhere" for trial in answered])
    return structs.replace(
        honest,
        threshold=confident_threshold(best, right),
        matching=matching_threshold(best[same_world], present[same_world], expected[same_world]),
        ending=best_ending([(trial, ranked) for trial, ranked in zip(answered, lists, strict=True) if trial.present]),
        record={"trials": len(made), "candidates": len(evidence), "recipe": "training/calibration.py"},
    )


def best_ending(made: Sequence[tuple[Trial, Sequence[tuple[int, float]]]]) -> Ending:
    """Where to end the lists that hold an answer, so that what comes before the end is best what is right (F1)."""
    found = [
        (
            np.array([relevance for _, relevance in ranked]),
            np.array([trial.asset_truth[asset_id] == 1 for asset_id, _ in ranked]),
            sum(value == 1 for value in trial.asset_truth.values()),
        )
        for trial, ranked in made
    ]

    def overlap(ending: Ending) -> float:
        values = []
        for relevance, right, total in found:
            kept = relevance >= max(ending.least, ending.share * relevance[0])
            values.append(2 * (right & kept).sum() / max(1, total + kept.sum()))
        return float(np.mean(values))

    choices = [Ending(least, share) for least in ENDING_LEAST for share in ENDING_SHARE]
    return max(choices, key=overlap)


def fit_curves(made: Sequence[Trial]) -> dict[str, Curve]:
    """One curve per signal and kind of evidence, from what is known right or wrong."""
    features: dict[str, list[Features]] = {}
    truths: dict[str, list[float]] = {}
    for trial in made:
        for one in trial.lists:
            for candidate in one.candidates[:LOOK_AT]:
                truth = trial.segment_truth[candidate.segment_id]
                if not np.isnan(truth):
                    features.setdefault(_pool(key(one)), []).append(features_of(one, candidate))
                    truths.setdefault(_pool(key(one)), []).append(truth)
    fitted = {name: fit_curve(name, np.array(rows), np.array(truths[name])) for name, rows in features.items()}
    return {name: fitted[_pool(name)] for name in {key(one) for trial in made for one in trial.lists}}


def weight_of_together(made: Sequence[Trial], plain: Calibration) -> tuple[float, float]:
    """What the product of several senses' probabilities says of all of them being right: slope and shift."""
    found = [hit for trial in made if trial.together for hit in _log_odds(trial, ranking(trial, plain))]
    if not found:
        return plain.together
    (slope,), shift = logistic(np.array([[said] for _, said, _ in found]), np.array([truth for *_, truth in found]))
    return (float(slope), shift) if slope > 0 else plain.together


def evened(made: Sequence[Trial], plain: Calibration) -> dict[str, Curve]:
    """The curves, each with its sense's share in how often the first hits are right, by how many words were asked.

    A curve is fitted on what its own lists propose; what becomes a first hit is another selection in every sense,
    and another one for a single word than for a sentence.
    """
    features: list[list[float]] = []
    truths: list[float] = []
    for trial in made:
        if not trial.together:
            senses, log_terms = _senses(trial, plain), math.log(trial.terms)
            for asset_id, said, truth in _log_odds(trial, ranking(trial, plain)):
                own = [float(sense is senses[asset_id]) for sense in Sense]
                features.append([said, *own, *(value * log_terms for value in own)])
                truths.append(truth)
    weights, _ = logistic(np.array(features), np.array(truths))
    shifts = dict(zip(Sense, (weights[1:] / weights[0]).reshape(2, -1).T.tolist(), strict=True))
    return {name: _shifted(curve, *shifts[Signal(name.split("/")[0]).sense]) for name, curve in plain.curves.items()}


def _shifted(curve: Curve, intercept: float, log_terms: float) -> Curve:
    return structs.replace(curve, intercept=curve.intercept + intercept, log_terms=curve.log_terms + log_terms)


def _senses(trial: Trial, calibration: Calibration) -> dict[int, Sense]:
    """By which sense each asset was found, above all."""
    strongest: dict[int, tuple[float, Sense]] = {}
    for one in trial.lists:
        sense = one.signal.sense
        for candidate, relevance in zip(one.candidates, calibration.relevances(one).tolist(), strict=True):
            if relevance > strongest.get(candidate.asset_id, (0.0,))[0]:
                strongest[candidate.asset_id] = (relevance, sense)
    return {asset_id: sense for asset_id, (_, sense) in strongest.items()}


def _log_odds(trial: Trial, ranked: Sequence[tuple[int, float]]) -> list[tuple[int, float, float]]:
    """Of the hits shown: asset, log-odds, and whether it is right. Those that hardly count are all alike."""
    least = UNLIKELY**2 if trial.together else UNLIKELY
    best = [(asset_id, min(max(said, least), 1 - UNLIKELY)) for asset_id, said in ranked[:SHOWN]]
    return [(asset_id, float(np.log(said / (1 - said))), trial.asset_truth[asset_id]) for asset_id, said in best]


def ranking(trial: Trial, calibration: Calibration) -> list[tuple[int, float]]:
    """Assets with their relevances, best first."""
    return Fusion(trial.lists, calibration, together=trial.together).ranking


# score, standard, mean, log size, covered, complete, mentioned, log of, number of words
Features = tuple[float, float, float, float, float, float, float, float, float]
_RISING, _FALLING = (0, 1, 4, 5), (6, 7)  # columns that may only speak for, or only against
_LINEAR = 8  # columns before the number of words
_NAMES = ("score", "standard", "mean", "log_size", "covered", "complete", "mentioned", "best_of")


def _pool(name: str) -> str:
    """What is seen written is judged as what is said, frames as pictures: there is too little of them alone."""
    name = name.replace(str(Signal.TEXT) + "/", str(Signal.SPEECH) + "/")
    return name.replace(str(Signal.FRAME) + "/", str(Signal.IMAGE) + "/")


def features_of(one: CandidateList, candidate: Candidate) -> Features:
    """What a curve sees of a candidate."""
    background = one.background or Background(1, 0.0, 0.0)
    size = float(np.log10(max(LEAST_SIZE, background.size)))
    complete = float(candidate.covered == 1)
    said = (candidate.covered, complete, complete * (one.terms == 1), float(np.log(candidate.of)))
    if one.evidence is Evidence.WORDS:
        share = float(share_of_words(np.array(candidate.score), one.terms, max(1, background.size)))
        return share, 0.0, 0.0, size, *said, float(one.terms)
    standard = float(deviations(background, np.array(candidate.score)))
    return candidate.score, standard, background.mean, size, *said, float(one.terms)


def fit_curve(name: str, features: np.ndarray, truth: np.ndarray) -> Curve:
    """Of pictures by a table, because what a score means depends on what was asked; of words by a line.

    `features`: `(n, 8)`; `truth`: `(n,)`.

    Pictures are judged without the query's background: in a small library of one subject ("dog" among dogs) nothing
    stands out from it, and everything relevant would be declared irrelevant.
    """
    by_table = Signal(name.split("/")[0]).sense is Sense.SEEN and name.endswith("/text")
    return fit_table(features, truth) if by_table else fit_line(features, truth)


def fit_table(features: np.ndarray, truth: np.ndarray) -> Curve:
    """A table over score, words and size, and what the best of many is worth less, from `(n, 9)` features.

    Values are drawn towards a plane over all of them, not towards zero: of a large library's many pictures only those
    with high scores are looked at, and low scores that nobody saw must not count as even odds.
    """
    scores = tuple(np.quantile(features[:, 0], _SCORE_SHARES).tolist())
    cells = (
        shares(features[:, 3], _SIZE_KNOTS)[:, :, None, None]
        * shares(features[:, _LINEAR], _TERM_KNOTS)[:, None, :, None]
        * shares(features[:, 0], scores)[:, None, None, :]
    )
    shape, seen = cells.shape[1:], cells.reshape(len(truth), -1)
    at = np.meshgrid(_SIZE_KNOTS, np.log(_TERM_KNOTS), scores, indexing="ij")
    plane = np.column_stack([np.ones(seen.shape[1]), *(knots.ravel() for knots in at)])
    columns = np.column_stack([seen, features[:, 7], seen @ plane])
    ridge = np.repeat([_TABLE_RIDGE, _PLANE_RIDGE], [seen.shape[1] + 1, plane.shape[1]])
    values, (best_of, *slopes) = np.split(newton(columns, truth, ridge), [seen.shape[1]])
    lines = (values + plane @ slopes).reshape(-1, len(scores))
    weights = (seen.sum(axis=0) + _TABLE_RIDGE).reshape(lines.shape)
    rising = np.array([isotonic(line, weight) for line, weight in zip(lines, weights, strict=True)])
    return Curve(
        table=Table(scores=scores, terms=_TERM_KNOTS, log_sizes=_SIZE_KNOTS, values=_nested(rising.reshape(shape))),
        best_of=min(0.0, float(best_of)),
    )


def _nested(values: np.ndarray) -> tuple[tuple[tuple[float, ...], ...], ...]:
    return tuple(tuple(tuple(round(value, 4) for value in line) for line in plane) for plane in values.tolist())


def fit_line(features: np.ndarray, truth: np.ndarray) -> Curve:
    """Logistic regression of `(n, 8)` features; what should rise and does not (or fall) is left out."""
    used = list(range(_LINEAR))
    while True:
        weights, intercept = logistic(features[:, used], truth)
        wrong = [
            column
            for column, weight in zip(used, weights.tolist(), strict=True)
            if (column in _RISING and weight < 0) or (column in _FALLING and weight > 0)
        ]
        if not wrong:
            break
        used.remove(wrong[0])
    fitted = {_NAMES[column]: weight for column, weight in zip(used, weights.tolist(), strict=True)}
    sizes = (float(10 ** features[:, 3].min()), float(10 ** features[:, 3].max()))
    return Curve(intercept=intercept, sizes=sizes, **fitted)


def logistic(features: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights `(d,)` and intercept, lightly ridged on standardised features; what never differs weighs nothing."""
    centre, spread = features.mean(axis=0), features.std(axis=0)
    spread[spread < 1e-9] = 1.0
    rows = np.hstack([(features - centre) / spread, np.ones((len(features), 1))])
    weights = newton(rows, truth, np.array([_RIDGE] * features.shape[1] + [1e-6]) * len(rows) / 100)
    plain = weights[:-1] / spread
    return plain, float(weights[-1] - plain @ centre)


def fit_example_curves(contents: Contents, random: np.random.Generator) -> dict[str, Curve]:
    """Curves for questions asked with a picture or sound: right is what carries the same label."""
    curves: dict[str, Curve] = {}
    labels = np.array(contents.labels)
    for sort, signals in (("photo", (Signal.IMAGE, Signal.FRAME)), ("clip", (Signal.SOUND,))):
        rows = np.flatnonzero((contents.sorts == sort) & (labels != ""))
        if len(rows) < 50:
            continue
        features, truths = [], []
        for size in (30, 100, 300):
            for asking in random.choice(rows, 150):
                others = random.permutation(rows[rows != asking])[:size]
                if random.random() < 0.5:
                    others = others[labels[others] != labels[asking]]
                scores = contents.vectors[others] @ contents.vectors[asking]
                for place in np.argsort(-scores)[:LOOK_AT]:
                    same = float(is_same(scores[place]))
                    features.append((scores[place], 0.0, 0.0, np.log10(len(scores)), 0.0, same, 0.0, 0.0))
                    truths.append(float(labels[others[place]] == labels[asking]))
                # The library may hold the very thing that it is asked with.
                features.append((1.0, 0.0, 0.0, np.log10(len(scores)), 0.0, 1.0, 0.0, 0.0))
                truths.append(1.0)
        curve = fit_line(np.array(features), np.array(truths))
        curves |= {f"{signal}/example": curve for signal in signals}
    return curves


def shown(made: Sequence[Trial], calibration: Calibration) -> tuple[np.ndarray, np.ndarray]:
    """Relevance and truth of the first hits of every trial, both `(hits,)`."""
    relevances, truths = [], []
    for trial in made:
        for asset_id, relevance in ranking(trial, calibration)[:SHOWN]:
            relevances.append(relevance)
            truths.append(trial.asset_truth[asset_id])
    return np.array(relevances), np.array(truths)


def best_hits(made: Sequence[Trial], calibration: Calibration) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Relevance and truth of each trial's best hit; and whether there is an answer at all; each `(trials,)`."""
    relevances, truths, present = [], [], []
    for trial in made:
        if hits := ranking(trial, calibration):
            relevances.append(hits[0][1])
            truths.append(trial.asset_truth[hits[0][0]] == 1)
            present.append(trial.present)
    return np.array(relevances), np.array(truths, float), np.array(present, bool)


def isotonic(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`(n,)` values and weights -> the nearest `(n,)` that never fall (pool adjacent violators)."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        count = 1
        while pools and pools[-1][0] >= value:
            other, other_weight, others = pools.pop()
            value = (other * other_weight + value * weight) / (other_weight + weight)
            weight, count = weight + other_weight, count + others
        pools.append((value, weight, count))
    return np.repeat([value for value, _, _ in pools], [count for _, _, count in pools])


def rising_map(evidence: np.ndarray, truth: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Isotonic regression of `(n,)` truth on evidence (pool adjacent violators), as few, strictly rising knots."""
    order = np.argsort(evidence, kind="stable")
    groups = np.array_split(order, min(len(order), 40))
    counts = np.array([len(group) for group in groups], dtype=float)
    places = np.array([evidence[group].mean() for group in groups])
    values = isotonic(np.array([truth[group].mean() for group in groups]), counts)
    pools = [values == value for value in np.unique(values)]
    knots = [(float(np.average(places[pool], weights=counts[pool])), float(values[pool][0])) for pool in pools]
    knots = [(place, value) for place, value in knots if 0 < place < 1]
    if len(knots) > KNOTS:
        knots = [knots[place] for place in np.unique(np.linspace(0, len(knots) - 1, KNOTS).astype(int))]
    rising = [(0.0, 0.0)]
    for place, value in [*knots, (1.0, min(0.999, knots[-1][1] + 0.02) if knots else 0.999)]:
        # Equal values would make ties of what evidence tells apart.
        rising.append((max(place, rising[-1][0] + 1e-6), max(value, rising[-1][1] + 1e-6)))
    return tuple(rising)


def confident_threshold(relevances: np.ndarray, truth: np.ndarray, precision: float = PRECISION) -> float:
    """The lowest of `(n,)` relevances from which on best hits are right this often."""
    order = np.argsort(-relevances)
    right = np.cumsum(truth[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero((right >= precision) & (np.arange(len(order)) >= 20))
    return float(relevances[order[enough[-1]]]) if len(enough) else float(relevances.max())


def matching_threshold(
    relevances: np.ndarray, present: np.ndarray, expected: np.ndarray, refused: float = REFUSED
) -> float:
    """The lowest relevance below which this share of the queries without an answer is refused.

    `(n,)` best hits, and how many right ones are to be expected, from which on a list matches in any case.
    """
    absent = np.sort(np.where(expected < 1, relevances, 1.0)[~present])
    return float(absent[min(len(absent) - 1, int(refused * len(absent)))]) if len(absent) else 0.0


if __name__ == "__main__":
    main()
