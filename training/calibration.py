"""Fits what the scores of a space mean: `search/spaces/weights/starter-calibration.json`.

    python -m training.calibration --data ../shared/data

Takes the validation parts only; benchmarks/ranking.py reports on the test parts. Run it again whenever
the space's weights change: a calibration belongs to one fingerprint.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from search.calibration import SHIPPED, Calibration, Curve, encode, key, share_of_words
from search.candidates import Background, Candidate, CandidateList, Evidence
from search.fusion import Fusion
from search.results import Signal
from search.settings import Settings
from search.spaces.registry import open_space
from search.spaces.space import Space
from search.spaces.specification import StarterSpecification, decode
from training.mixed import Contents, questions, read_contents
from training.trials import SAMPLE, Trial, trials

SIZES = (40, 120, 350, 700)
PER_LIBRARY = 120
LOOK_AT = 20  # candidates of each list; further down nearly nothing is right
SHOWN = 10  # hits whose probability must be honest
KNOTS = 12
PRECISION = 0.83  # of confident best hits: 0.8 is promised, the rest is for libraries unlike these
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
    made = list(trials(contents, questions(contents, random), space, SIZES * 2, PER_LIBRARY, random))
    curves = fit_curves([one for one in made if one.sort != "two signals"])
    curves |= fit_example_curves(contents, random)
    plain = Calibration(
        fingerprint=space.fingerprint.digest, curves=curves, fused=((0.0, 0.0), (1.0, 1.0)), threshold=0.5
    )
    evidence, truth = shown(made, plain)
    fitted = plain.__class__(
        fingerprint=plain.fingerprint, curves=curves, fused=rising_map(evidence, truth), threshold=0.5
    )
    threshold = confident_threshold(*best_hits(made, fitted))
    return Calibration(
        fingerprint=plain.fingerprint,
        curves=curves,
        fused=fitted.fused,
        threshold=threshold,
        record={"trials": len(made), "candidates": len(evidence), "recipe": "training/calibration.py"},
    )


def fit_curves(made: Sequence[Trial]) -> dict[str, Curve]:
    """One curve per signal and kind of evidence, from what is known right or wrong."""
    features: dict[str, list[tuple[float, float, float, float]]] = {}
    truths: dict[str, list[float]] = {}
    for trial in made:
        for one in trial.lists:
            for candidate in one.candidates[:LOOK_AT]:
                truth = trial.segment_truth[candidate.segment_id]
                if not np.isnan(truth):
                    features.setdefault(key(one), []).append(_features(one, candidate))
                    truths.setdefault(key(one), []).append(truth)
    # Without the background: in a small library of one subject ("dog" among dogs) nothing stands out from it,
    # and everything relevant would be declared irrelevant. Over mixed libraries the cosine alone does as well.
    plain = np.array([1.0, 0.0, 0.0, 1.0])
    return {name: fit_curve(np.array(rows) * plain, np.array(truths[name])) for name, rows in features.items()}


def _features(one: CandidateList, candidate: Candidate) -> tuple[float, float, float, float]:
    background = one.background or Background(1, 0.0, 0.0)
    size = float(np.log10(max(1, background.size)))
    if one.evidence is Evidence.WORDS:
        share = float(share_of_words(np.array(candidate.score), one.terms, max(1, background.size)))
        return share, 0.0, 0.0, size
    standard = (candidate.score - background.mean) / max(background.deviation, 1e-3)
    return candidate.score, standard, background.mean, size


def fit_curve(features: np.ndarray, truth: np.ndarray) -> Curve:
    """Logistic regression of `(n, 4)` score, standard, mean, log size; what should rise and does not is left out."""
    used = [column for column in range(4) if features[:, column].std() > 1e-9]
    while True:
        weights, intercept = logistic(features[:, used], truth)
        falling = [column for column, weight in zip(used, weights, strict=True) if column < 2 and weight < 0]
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
        sizes=(float(10 ** features[:, 3].min()), float(10 ** features[:, 3].max())),
    )


def logistic(features: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights `(d,)` and intercept by Newton's method, lightly ridged."""
    centre, spread = features.mean(axis=0), features.std(axis=0)
    rows = np.hstack([(features - centre) / spread, np.ones((len(features), 1))])
    ridge = np.diag([_RIDGE] * features.shape[1] + [1e-6]) * len(rows) / 100
    weights = np.zeros(rows.shape[1])
    for _ in range(50):
        guess = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        slope = rows.T @ (guess - truth) + ridge @ weights
        curvature = (rows * (guess * (1 - guess))[:, None]).T @ rows + ridge
        step = np.linalg.solve(curvature + 1e-9 * np.eye(len(weights)), slope)
        weights -= np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-8:
            break
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
                background = Background.of(scores[:SAMPLE], len(scores))
                for place in np.argsort(-scores)[:LOOK_AT]:
                    standard = (scores[place] - background.mean) / max(background.deviation, 1e-3)
                    features.append((scores[place], standard, background.mean, np.log10(len(scores))))
                    truths.append(float(labels[others[place]] == labels[asking]))
        curve = fit_curve(np.array(features), np.array(truths))
        curves |= {f"{signal}/example": curve for signal in signals}
    return curves


def shown(made: Sequence[Trial], calibration: Calibration) -> tuple[np.ndarray, np.ndarray]:
    """Relevance and truth of the first hits of every trial, as far as the truth is known."""
    relevances, truths = [], []
    for trial in made:
        known = [hit for hit in Fusion(trial.lists, calibration).ranking if not np.isnan(trial.asset_truth[hit[0]])]
        for asset_id, relevance in known[:SHOWN]:
            relevances.append(relevance)
            truths.append(trial.asset_truth[asset_id])
    return np.array(relevances), np.array(truths)


def best_hits(made: Sequence[Trial], calibration: Calibration) -> tuple[np.ndarray, np.ndarray]:
    """Relevance and truth of each trial's best hit whose truth is known."""
    relevances, truths = [], []
    for trial in made:
        ranking = Fusion(trial.lists, calibration).ranking
        known = [hit for hit in ranking if not np.isnan(trial.asset_truth[hit[0]])]
        if known:
            relevances.append(known[0][1])
            truths.append(trial.asset_truth[known[0][0]])
    return np.array(relevances), np.array(truths)


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
    """The lowest relevance of a best hit from which on best hits are right this often."""
    order = np.argsort(-relevances)
    right = np.cumsum(truth[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero((right >= precision) & (np.arange(len(order)) >= 20))
    return float(relevances[order[enough[-1]]]) if len(enough) else float(relevances.max())


if __name__ == "__main__":
    main()
