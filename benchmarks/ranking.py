"""How well mixed libraries are ranked, how honest the probabilities are, and how fusion methods compare.

    python -m benchmarks.ranking --data ../shared/data [--json ranking.json]

The test parts of the data, the space's shipped calibration. Methods with something to choose choose it
on the validation parts. Any data folder of the same layout will do.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from search.ranking.calibration import Calibration, for_space
from search.ranking.candidates import CandidateList
from search.ranking.fusion import noisy_or
from search.settings import Settings
from search.signals import Signal
from search.spaces.registry import open_space
from search.spaces.specification import newest_starter
from training.calibration import PER_LIBRARY, SHOWN, SIZES, best_hits, ranking, shown
from training.mixed_libraries import questions, read_contents
from training.trials import Trial, trials

Method = Callable[[Trial, Calibration], dict[int, float]]
BINS = 10
BROAD = 12  # right answers from which a question is broad
LIBRARIES = {"validation": 1, "test": 3}  # of each size: few libraries with the same few mistakes tell little
_RECIPROCAL_RANK_CONSTANT = 60  # Cormack, Clarke and Büttcher 2009
_WEIGHTS = (0.5, 1.0, 2.0)


def main() -> None:
    """Print every table; write JSON if asked to."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "medley-calibration")
    arguments.add_argument("--json", type=Path)
    chosen = arguments.parse_args()
    space = open_space(newest_starter(), Settings.load(home=chosen.cache / "home"))
    calibration = for_space(None, space.fingerprint.digest)
    made: dict[str, list[Trial]] = {}
    for part, seed in (("validation", 1), ("test", 2)):
        random = np.random.default_rng(seed)
        contents = read_contents(chosen.data, space, part, chosen.cache)
        asked = questions(contents, part, random)
        made[part] = list(trials(contents, asked, space, SIZES * LIBRARIES[part], PER_LIBRARY, random))
    report = {
        "space": space.fingerprint.digest[:12],
        "trials": {part: len(of_part) for part, of_part in made.items()},
        "calibration": honesty(made["test"], calibration),
        "answers": answers(made["test"], calibration),
        "fusion": compare(made["validation"], made["test"][:: LIBRARIES["test"]], calibration),
    }
    _print(report)
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def honesty(made: Sequence[Trial], calibration: Calibration) -> dict[str, object]:
    """Expected calibration error and the reliability diagram, of the hits shown and of best hits alone."""
    report: dict[str, object] = {}
    best, right_best, _ = best_hits(made, calibration)
    for name, (said, right) in {
        f"first {SHOWN} hits": shown(made, calibration),
        "best hit": (best, right_best),
    }.items():
        bins = np.minimum((said * BINS).astype(int), BINS - 1)
        rows = [
            {
                "from": bin_number / BINS,
                "hits": int((bins == bin_number).sum()),
                "said": round(float(said[bins == bin_number].mean()), 3),
                "right": round(float(right[bins == bin_number].mean()), 3),
            }
            for bin_number in range(BINS)
            if (bins == bin_number).any()
        ]
        error = sum(abs(row["said"] - row["right"]) * row["hits"] for row in rows) / len(said)
        report[name] = {"expected calibration error": round(error, 4), "diagram": rows}
    confident = best >= calibration.threshold
    report["threshold"] = round(calibration.threshold, 3)
    report["least"] = round(calibration.least, 3)
    report["precision of confident best hits"] = _mean(right_best[confident])
    report["share confident"] = round(float(confident.mean()), 3)
    return report


def answers(made: Sequence[Trial], calibration: Calibration) -> dict[str, dict[str, float]]:
    """By sort of question: what is answered with "nothing matches well", rightly and wrongly; and how honest it is."""
    rows: dict[str, list[tuple[float, ...]]] = {}
    said: dict[str, list[tuple[float, float]]] = {}
    for trial in made:
        hits = ranking(trial, calibration)
        if not hits:
            continue
        right = [trial.asset_truth[asset_id] == 1 for asset_id, _ in hits[:SHOWN]]
        total = sum(value == 1 for value in trial.asset_truth.values())
        # What is of another world is easier to refuse, and would hide how hard the rest is.
        for name in (trial.sort,) if trial.sort == "elsewhere" else (trial.sort, "all"):
            matched = calibration.matches([relevance for _, relevance in hits])
            row = (trial.present, right[0], any(right), hits[0][1], total >= BROAD, sum(right) / SHOWN, matched)
            rows.setdefault(name, []).append(row)
            said.setdefault(name, []).extend(
                (relevance, trial.asset_truth[asset_id]) for asset_id, relevance in hits[:SHOWN]
            )
    return {
        name: {"calibration error": expected_error(*np.array(said[name]).T)}
        | _answered(np.array(row, dtype=float), calibration)
        for name, row in rows.items()
    }


def expected_error(said: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error over BINS equal bins."""
    bins = np.minimum((said * BINS).astype(int), BINS - 1)
    errors = [
        abs(said[bins == bin_number].mean() - right[bins == bin_number].mean()) * (bins == bin_number).mean()
        for bin_number in set(bins)
    ]
    return round(float(sum(errors)), 4)


def _answered(rows: np.ndarray, calibration: Calibration) -> dict[str, float]:
    present, first, among, broad, matched = (rows[:, column] == 1 for column in (0, 1, 2, 4, 6))
    best = rows[:, 3]
    figures: dict[str, float] = {"questions": int(present.sum())}
    if present.any():
        figures["best hit right"] = _mean(first[present])
        figures[f"right among {SHOWN}"] = _mean(among[present])
        figures["right best hits lost"] = _mean(~matched[present & first])
        figures[f"right among {SHOWN} lost"] = _mean(~matched[present & among])
        figures["right best hits unsure"] = _mean(best[present & first] < calibration.threshold)
    if (present & broad).any():
        figures["broad"] = int((present & broad).sum())
        figures["broad told nothing matches"] = _mean(~matched[present & broad])
        figures[f"broad precision at {SHOWN}"] = _mean(rows[present & broad, 5])
    if (~present).any():
        absent, good = best[~present], best[present & first]
        figures["absent"] = len(absent)
        figures["absent said so"] = _mean(~matched[~present])
        if len(good):
            # What any threshold could do: the trade is the space's, not the threshold's.
            figures["absent said so, losing 10 %"] = _mean(absent < np.quantile(good, 0.1))
    return figures


def _mean(values: np.ndarray) -> float:
    return round(float(np.mean(values)), 3) if len(values) else float("nan")


def reciprocal_rank(trial: Trial, _calibration: Calibration) -> dict[int, float]:
    """The sum over lists of 1 / (60 + place of the asset's best segment)."""
    scores: dict[int, float] = {}
    for candidate_list in trial.lists:
        places = {
            candidate.asset_id: rank
            for rank, candidate in reversed(list(enumerate(candidate_list.candidates, start=1)))
        }
        for asset_id, rank in places.items():
            scores[asset_id] = scores.get(asset_id, 0.0) + 1 / (_RECIPROCAL_RANK_CONSTANT + rank)
    return scores


def scaled_sum(trial: Trial, _calibration: Calibration) -> dict[int, float]:
    """Raw scores scaled to 0..1 within each list and added: what engines do that don't calibrate."""
    sums: dict[int, float] = {}
    for candidate_list in trial.lists:
        scores = [candidate.score for candidate in candidate_list.candidates]
        low, high = min(scores), max(scores)
        best: dict[int, float] = {}
        for candidate in candidate_list.candidates:
            value = (candidate.score - low) / (high - low) if high > low else 1.0
            best[candidate.asset_id] = max(best.get(candidate.asset_id, 0.0), value)
        for asset_id, value in best.items():
            sums[asset_id] = sums.get(asset_id, 0.0) + value
    return sums


def maximum(trial: Trial, calibration: Calibration) -> dict[int, float]:
    """The most certain witness alone."""
    return {asset_id: max(voices.values()) for asset_id, voices in _voices(trial.lists, calibration).items()}


def joined(trial: Trial, calibration: Calibration) -> dict[int, float]:
    """What search/ranking/fusion.py does."""
    return dict(ranking(trial, calibration))


def joined_lists(trial: Trial, calibration: Calibration) -> dict[int, float]:
    """Noisy-or in which words and meaning of the same passages are two witnesses."""
    voices = _voices(trial.lists, calibration, by_list=True)
    return {asset_id: noisy_or(by_signal.values()) for asset_id, by_signal in voices.items()}


def weighted_sum(weights: Mapping[str, float]) -> Method:
    """Calibrated witnesses times a weight per signal, added."""

    def method(trial: Trial, calibration: Calibration) -> dict[int, float]:
        return {
            asset_id: sum(weights.get(name, 1.0) * value for name, value in voices.items())
            for asset_id, voices in _voices(trial.lists, calibration).items()
        }

    return method


def _voices(
    lists: Sequence[CandidateList], calibration: Calibration, by_list: bool = False
) -> dict[int, dict[str, float]]:
    by_asset: dict[int, dict[str, float]] = {}
    for candidate_list in lists:
        name = f"{candidate_list.signal}/{candidate_list.evidence}" if by_list else str(candidate_list.signal)
        for candidate, value in zip(
            candidate_list.candidates, calibration.relevances(candidate_list).tolist(), strict=True
        ):
            voices = by_asset.setdefault(candidate.asset_id, {})
            voices[name] = max(voices.get(name, 0.0), value)
    return by_asset


def compare(
    validation: Sequence[Trial], test: Sequence[Trial], calibration: Calibration
) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """nDCG@10 and R@10 per method and sort of question; weights are chosen on the validation trials."""
    weights = choose_weights(validation, calibration)
    methods: dict[str, Method] = {
        "reciprocal rank": reciprocal_rank,
        "scaled sum": scaled_sum,
        f"weighted sum {weights}": weighted_sum(weights),
        "maximum": maximum,
        "noisy-or, lists": joined_lists,
        "noisy-or, signals": joined,
    }
    return {
        name: {"validation": evaluate(validation, method, calibration), "test": evaluate(test, method, calibration)}
        for name, method in methods.items()
    }


def choose_weights(made: Sequence[Trial], calibration: Calibration) -> dict[str, float]:
    """One pass over the signals, each keeping the weight that serves best with the others as they are."""
    weights: dict[str, float] = {}
    sample = [trial for trial in made if trial.present][:: max(1, len(made) // 400)]
    for signal, weight in itertools.product(Signal, _WEIGHTS):
        tried = weights | {str(signal): weight}
        if _ndcg(sample, weighted_sum(tried), calibration) > _ndcg(sample, weighted_sum(weights), calibration):
            weights = tried
    return weights


def _ndcg(made: Sequence[Trial], method: Method, calibration: Calibration) -> float:
    """Plain nDCG@10, quick enough for choosing; reports come from ranx."""
    gains = 1 / np.log2(np.arange(2, 12))
    values = []
    for trial in made:
        truth = [value for _, value in _ranked(trial, method, calibration)][:10]
        best = min(10, sum(value == 1 for value in trial.asset_truth.values()))
        values.append(float(np.dot(truth, gains[: len(truth)]) / gains[:best].sum()))
    return float(np.mean(values))


def _ranked(trial: Trial, method: Method, calibration: Calibration) -> list[tuple[int, float]]:
    """Asset and truth, best first."""
    scores = method(trial, calibration)
    order = sorted(scores, key=lambda asset_id: (-scores[asset_id], asset_id))
    return [(ranked_id, trial.asset_truth[ranked_id]) for ranked_id in order]


def evaluate(made: Sequence[Trial], method: Method, calibration: Calibration) -> dict[str, dict[str, float]]:
    """By sort of question and over all, by ranx."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ranx
    right, runs, sorts = {}, {}, {}
    for number, trial in enumerate(candidate for candidate in made if candidate.present):
        name = f"q{number}"
        right[name] = {str(asset_id): 1 for asset_id, value in trial.asset_truth.items() if value == 1}
        ranked = _ranked(trial, method, calibration)
        runs[name] = {str(asset_id): 1.0 / (1 + rank) for rank, (asset_id, _) in enumerate(ranked)} or {"none": 0.0}
        sorts[name] = trial.sort
    report = {}
    for sort in [*sorted(set(sorts.values())), "all"]:
        names = [name for name in right if sort in (sorts[name], "all")]
        values = ranx.evaluate(
            ranx.Qrels({name: right[name] for name in names}),
            ranx.Run({name: runs[name] for name in names}),
            ["ndcg@10", "recall@10"],
        )
        report[sort] = {measure: round(float(value), 3) for measure, value in values.items()}
    return report


def _print(report: Mapping[str, object]) -> None:
    for line in _lines(report):
        print(line)


def _lines(report: Mapping[str, object]) -> Iterator[str]:
    calibration, fusion = report["calibration"], report["fusion"]
    assert isinstance(calibration, dict)
    assert isinstance(fusion, dict)
    yield f"space {report['space']}, trials {report['trials']}"
    for name, value in calibration.items():
        if isinstance(value, dict):
            yield f"{name}: expected calibration error {value['expected calibration error']}"
            yield from (
                f"  said {row['said']:.3f}  right {row['right']:.3f}  hits {row['hits']}" for row in value["diagram"]
            )
        else:
            yield f"{name}: {value}"
    answered = report["answers"]
    assert isinstance(answered, dict)
    for sort, row in answered.items():
        yield f"{sort:12} " + ", ".join(f"{name} {value}" for name, value in row.items())
    for part in ("validation", "test"):
        for method, parts in fusion.items():
            cells = [f"{sort} {row['ndcg@10']:.3f}/{row['recall@10']:.3f}" for sort, row in parts[part].items()]
            yield f"{part} {method}: " + "  ".join(cells)


if __name__ == "__main__":
    main()
