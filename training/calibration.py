"""Fits what the scores of a space mean: `search/spaces/weights/starter-calibration.json`.

    python -m training.calibration --data ../shared/data

Takes the validation parts only; benchmarks/ranking.py reports on the test parts. Run it again whenever
the space's weights change: a calibration belongs to one fingerprint.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct, structs

from search.calibration import (
    SHIPPED,
    Calibration,
    Curve,
    deviations,
    encode,
    is_same,
    key,
    log_terms,
    loneliness,
    share_of_words,
)
from search.candidates import Background, Candidate, CandidateList, Evidence, Sense
from search.fusion import Fusion, agreements, library_size, mean_of_best, terms_asked
from search.results import Signal
from search.settings import Settings
from search.spaces.registry import open_space
from search.spaces.space import Space
from search.spaces.specification import StarterSpecification, decode
from training.logistic import newton
from training.mixed import Contents, questions, read_contents
from training.trials import OF_TWO, Trial, trials

SIZES = (20, 40, 120, 350, 700)
LIBRARIES = 6  # of each size
PER_LIBRARY = 120
LOOK_AT = 10  # candidates of each list: further down nearly nothing is right, and the curve would fit nothing else
SHOWN = 10  # hits whose probability must be honest
UNLIKELY = 1e-4
LEAST_SIZE = 12  # smaller partitions count as this: four frames beside many photos are no library of four things
KNOTS = 12
# Of confident best hits. 0.8 is promised; the rest is for libraries unlike these, and because the image head has
# seen the labelled photos among the validation contents (measured: 0.06 less on the test parts).
PRECISION = 0.87
REFUSED = 0.81  # of questions about what is not there: 0.8 is promised
_RIDGE = 1e-2  # on standardised features


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
    wanted = decode(chosen.specification) if chosen.specification else StarterSpecification()
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
    curves = fit_curves([one for one in made if one.sort not in OF_TWO])
    plain = Calibration(fingerprint=fingerprint, curves=curves, fused=((0.0, 0.0), (1.0, 1.0)), threshold=0.5)
    even = structs.replace(plain, curves=evened(made, plain) | dict(example_curves))
    joint = structs.replace(even, together=weight_of_together(made, even))
    sized = structs.replace(joint, **weights_of_evidence(made, joint))
    evidence, truth = shown(made, sized)
    fitted = structs.replace(sized, fused=rising_map(evidence, truth))
    relevances, right, present = best_hits(made, fitted)
    confident = confident_threshold(relevances, right)
    return structs.replace(
        fitted,
        threshold=confident,
        matching=min(confident, matching_threshold(relevances, present)),
        record={"trials": len(made), "candidates": len(evidence), "recipe": "training/calibration.py"},
    )


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
    fitted = {name: fit_curve(_used(name, np.array(rows)), np.array(truths[name])) for name, rows in features.items()}
    return {name: fitted[_pool(name)] for name in {key(one) for trial in made for one in trial.lists}}


def weight_of_together(made: Sequence[Trial], plain: Calibration) -> tuple[float, float]:
    """What the product of several senses' probabilities says of all of them being right: slope and shift."""
    found = [hit for trial in made if trial.together for hit in _log_odds(trial, ranking(trial, plain))]
    if not found:
        return plain.together
    (slope,), shift = logistic(np.array([[said] for _, said, _ in found]), np.array([truth for *_, truth in found]))
    return (float(slope), shift) if slope > 0 else plain.together


def evened(made: Sequence[Trial], plain: Calibration) -> dict[str, Curve]:
    """The curves, each with its sense's share in how often the first hits are right.

    A curve is fitted on what its own lists propose; what becomes a first hit is another selection in every sense.
    """
    features: list[list[float]] = []
    truths: list[float] = []
    for trial in made:
        if not trial.together:
            senses = _senses(trial, plain)
            for hit in _weighed(trial, plain):
                features.append([*hit.features, *(float(sense is senses[hit.asset_id]) for sense in Sense)])
                truths.append(hit.truth)
    weights, _ = logistic(np.array(features), np.array(truths))
    shifts = dict(zip(Sense, weights[-len(Sense) :] / weights[0], strict=True))
    return {
        name: structs.replace(curve, intercept=curve.intercept + float(shifts[Sense.of(Signal(name.split("/")[0]))]))
        for name, curve in plain.curves.items()
    }


def weights_of_evidence(made: Sequence[Trial], plain: Calibration) -> dict[str, Any]:
    """What else weighs on fused evidence (library, query, hits among each other): fields of a calibration."""
    found = [hit for trial in made for hit in _weighed(trial, plain)]
    features = np.array([hit.features for hit in found])
    (certainty, log_size, terms, alone, agreement), _ = logistic(features, np.array([hit.truth for hit in found]))
    # In units of the evidence's own log-odds, which the map that follows may stretch.
    return {
        "log_size": float(log_size / certainty),
        "sizes": (float(10 ** features[:, 1].min()), float(10 ** features[:, 1].max())),
        "terms": float(terms / certainty),
        "alone": max(0.0, float(alone / certainty)),
        "agreement": max(0.0, float(agreement / certainty)),
    }


class _Hit(Struct, frozen=True):
    """One of the hits shown, with what weighs on its evidence."""

    asset_id: int
    features: tuple[float, float, float, float, float]  # log-odds, log size, terms, alone, agreement
    truth: float


def _weighed(trial: Trial, plain: Calibration) -> list[_Hit]:
    size = float(np.log10(max(1, library_size(trial.lists))))
    terms = log_terms(terms_asked(trial.lists))
    ranked = ranking(trial, plain)
    alone = 0.0 if trial.together else loneliness(mean_of_best(evidence for _, evidence in ranked))
    agreeing = {} if trial.together else agreements(trial.lists)
    return [
        _Hit(asset_id, (said, size, terms, alone, agreeing.get(asset_id, 0.0)), truth)
        for asset_id, said, truth in _log_odds(trial, ranked)
    ]


def _senses(trial: Trial, calibration: Calibration) -> dict[int, Sense]:
    """By which sense each asset was found, above all."""
    strongest: dict[int, tuple[float, Sense]] = {}
    for one in trial.lists:
        sense = Sense.of(one.signal)
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


Features = tuple[float, float, float, float, float, float]  # score, standard, mean, log size, covered, complete
_RISING = (0, 1, 4, 5)  # columns that may only speak for


def _pool(name: str) -> str:
    """What is seen written is judged as what is said: there is too little of it to fit a curve of its own."""
    return name.replace(str(Signal.TEXT) + "/", str(Signal.SPEECH) + "/")


def _used(name: str, features: np.ndarray) -> np.ndarray:
    """Pictures and sounds without the background: in a small library of one subject ("dog" among dogs) nothing
    stands out from it, and everything relevant would be declared irrelevant. Over mixed libraries the cosine
    alone does as well. Speech is told apart by it: captions are all alike, voicemails are not."""
    return features if name.startswith(Signal.SPEECH) else features * np.array([1.0, 0.0, 0.0, 1.0, 0.0, 0.0])


def features_of(one: CandidateList, candidate: Candidate) -> Features:
    """What a curve sees of a candidate."""
    background = one.background or Background(1, 0.0, 0.0)
    size = float(np.log10(max(LEAST_SIZE, background.size)))
    covered, complete = candidate.covered, float(candidate.covered == 1)
    if one.evidence is Evidence.WORDS:
        share = float(share_of_words(np.array(candidate.score), one.terms, max(1, background.size)))
        return share, 0.0, 0.0, size, covered, complete
    standard = float(deviations(background, np.array(candidate.score)))
    return candidate.score, standard, background.mean, size, covered, complete


def fit_curve(features: np.ndarray, truth: np.ndarray) -> Curve:
    """Logistic regression of `(n, 6)` features; what should rise and does not is left out."""
    used = list(range(features.shape[1]))
    while True:
        weights, intercept = logistic(features[:, used], truth)
        falling = [column for column, weight in zip(used, weights, strict=True) if column in _RISING and weight < 0]
        if not falling:
            break
        used.remove(falling[0])
    by_column = dict(zip(used, weights.tolist(), strict=True))
    return Curve(
        intercept=intercept,
        score=by_column.get(0, 0.0),
        standard=by_column.get(1, 0.0),
        mean=by_column.get(2, 0.0),
        log_size=by_column.get(3, 0.0),
        covered=by_column.get(4, 0.0),
        complete=by_column.get(5, 0.0),
        sizes=(float(10 ** features[:, 3].min()), float(10 ** features[:, 3].max())),
    )


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
                    features.append((scores[place], 0.0, 0.0, np.log10(len(scores)), 0.0, same))
                    truths.append(float(labels[others[place]] == labels[asking]))
                # The library may hold the very thing that it is asked with.
                features.append((1.0, 0.0, 0.0, np.log10(len(scores)), 0.0, 1.0))
                truths.append(1.0)
        curve = fit_curve(np.array(features), np.array(truths))
        curves |= {f"{signal}/example": curve for signal in signals}
    return curves


def shown(made: Sequence[Trial], calibration: Calibration) -> tuple[np.ndarray, np.ndarray]:
    """Relevance and truth of the first hits of every trial."""
    relevances, truths = [], []
    for trial in made:
        for asset_id, relevance in ranking(trial, calibration)[:SHOWN]:
            relevances.append(relevance)
            truths.append(trial.asset_truth[asset_id])
    return np.array(relevances), np.array(truths)


def best_hits(made: Sequence[Trial], calibration: Calibration) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Relevance and truth of each trial's best hit; and whether there is an answer at all."""
    relevances, truths, present = [], [], []
    for trial in made:
        if hits := ranking(trial, calibration):
            relevances.append(hits[0][1])
            truths.append(trial.asset_truth[hits[0][0]])
            present.append(trial.present)
    return np.array(relevances), np.array(truths), np.array(present, bool)


def rising_map(evidence: np.ndarray, truth: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Isotonic regression (pool adjacent violators), thinned to few knots and made to rise strictly."""
    order = np.argsort(evidence, kind="stable")
    groups = np.array_split(order, min(len(order), 40))
    blocks = [[float(truth[group].mean()), float(len(group)), float(evidence[group].mean())] for group in groups]
    pooled: list[list[float]] = []
    for block in blocks:
        pooled.append(block)
        while len(pooled) > 1 and pooled[-2][0] >= pooled[-1][0]:
            value, count, place = pooled.pop()
            before = pooled[-1]
            total = before[1] + count
            pooled[-1] = [
                (before[0] * before[1] + value * count) / total,
                total,
                (before[2] * before[1] + place * count) / total,
            ]
    knots = [(place, value) for value, _, place in pooled if 0 < place < 1]
    if len(knots) > KNOTS:
        knots = [knots[place] for place in np.unique(np.linspace(0, len(knots) - 1, KNOTS).astype(int))]
    rising = [(0.0, 0.0)]
    for place, value in [*knots, (1.0, min(0.999, knots[-1][1] + 0.02) if knots else 0.999)]:
        # Equal values would make ties of what evidence tells apart.
        rising.append((max(place, rising[-1][0] + 1e-6), max(value, rising[-1][1] + 1e-6)))
    return tuple(rising)


def confident_threshold(relevances: np.ndarray, truth: np.ndarray, precision: float = PRECISION) -> float:
    """The lowest relevance from which on best hits are right this often."""
    order = np.argsort(-relevances)
    right = np.cumsum(truth[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero((right >= precision) & (np.arange(len(order)) >= 20))
    return float(relevances[order[enough[-1]]]) if len(enough) else float(relevances.max())


def matching_threshold(relevances: np.ndarray, present: np.ndarray, refused: float = REFUSED) -> float:
    """The lowest relevance, which loses least, below which this share of questions about what is not there stay."""
    return float(np.quantile(relevances[~present], refused)) if (~present).any() else 0.0


if __name__ == "__main__":
    main()
