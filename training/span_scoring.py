"""Fit the weights of span scoring: which statement answers, and how sure is that?

    python -m benchmarks.answer_lines --data ../shared/data --folder FOLDER --part development --spans spans.jsonl
    python -m benchmarks.plain_questions --folder FOLDER --set development --spans plain.jsonl
    python -m training.span_scoring spans.jsonl plain.jsonl --write

Two logistic models, to which each file of questions is as important as another. The first ranks statements; those of
one question weigh together as much as those of any other. The second takes the best statement's score and its lead,
over all questions, answered or not, and says how likely it answers. The threshold is the lowest at which DECLINED of
the questions that nothing answers are declined, or LEAST_SAID.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from search.language.span_scoring import (
    FEATURES,
    WEIGHTS,
    ConfidenceWeights,
    ScoringWeights,
    SpanWeights,
    lead,
)
from training.logistic import newton

# Of unanswerable questions: more than the goal (0.90), because test parts have been harder by 0.05 and more.
DECLINED = 0.95
LEAST_SAID = 0.6  # below, about every second answer was wrong on sets that nothing was fitted to
FOLDS = 5
_DECAY = 0.3


def read(files: Sequence[Path]) -> list[dict[str, Any]]:
    """The questions of the files, each file's weighing ("share") together as much as another's."""
    sets = [[json.loads(line) for line in file.read_text("utf-8").splitlines()] for file in files]
    mean = sum(map(len, sets)) / len(sets)
    return [
        {**question, "share": mean / len(held), "file": file.stem}
        for file, held in zip(files, sets, strict=True)
        for question in held
    ]


def fit_spans(questions: Sequence[dict[str, Any]]) -> SpanWeights:
    """Ranks the statements of questions that have an answer."""
    table, right, shares = [], [], []
    for question in questions:
        if any(question["right"]):
            table += question["features"]
            right += question["right"]
            among = {True: sum(question["right"]), False: len(question["right"])}
            shares += [question["share"] / among[held] for held in question["right"]]
    rows = np.column_stack([np.array(table), np.ones(len(table))])
    weights = newton(rows, np.array(right, float), np.full(rows.shape[1], _DECAY), np.array(shares))
    return SpanWeights(*weights.round(3).tolist())


def best_of(question: dict[str, Any], spans: SpanWeights) -> tuple[float, float, bool] | None:
    """Score and lead of a question's best statement, and whether it answers; None where there is none."""
    if not question["features"]:
        return None
    scores = np.array(question["features"]) @ spans.vector + spans.bias
    best = int(scores.argmax())
    return float(scores[best]), lead(scores, question["words"], best), bool(question["right"][best])


def fit_confidence(questions: Sequence[dict[str, Any]]) -> tuple[SpanWeights, ConfidenceWeights]:
    """Both models. The second is fitted to scores of statements that the first was not fitted to."""
    held: list[tuple[float, float, bool]] = []
    asked: list[dict[str, Any]] = []
    for fold in range(FOLDS):
        spans = fit_spans([question for i, question in enumerate(questions) if i % FOLDS != fold])
        for question in questions[fold::FOLDS]:
            if best := best_of(question, spans):
                held.append(best)
                asked.append(question)
    table = np.array([(score, ahead, 1.0) for score, ahead, _ in held])
    right = np.array([answers for _, _, answers in held], float)
    shares = np.array([question["share"] for question in asked])
    score, ahead, bias = newton(table, right, np.full(3, 0.1), shares).round(3).tolist()
    chances = 1 / (1 + np.exp(-(table @ (score, ahead, bias))))
    lacking = np.array([not question["answerable"] for question in asked])
    total = sum(question["share"] for question in questions if not question["answerable"])
    threshold = round(max(_least(chances[lacking], shares[lacking], (1 - DECLINED) * total), LEAST_SAID), 3)
    for file in dict.fromkeys(question["file"] for question in questions):
        rows = np.array([question["file"] == file for question in asked])
        print(file, end=": ")
        report([question for question in questions if question["file"] == file], chances[rows], right[rows], threshold)
    return fit_spans(questions), ConfidenceWeights(score, ahead, bias, threshold)


def _least(chances: np.ndarray, shares: np.ndarray, allowed: float) -> float:
    """The lowest threshold above which no more than `allowed` of what weighs `shares` is said."""
    order = np.argsort(-chances)
    over = np.flatnonzero(np.cumsum(shares[order]) > allowed)
    return float(np.nextafter(chances[order[over[0]]], 1)) if len(over) else 0.0


def report(questions: Sequence[dict[str, Any]], chances: np.ndarray, right: np.ndarray, threshold: float) -> None:
    """Print what the folds say of `(answered,)` probabilities and rights."""
    said = chances >= threshold
    bins = np.minimum((chances[said] * 10).astype(int), 9)
    error = sum(
        abs(chances[said][bins == b].mean() - right[said][bins == b].mean()) * (bins == b).sum() for b in set(bins)
    )
    answerable = sum(question["answerable"] for question in questions)
    print(
        f"{answerable} questions with an answer, best statement right {right.sum() / answerable:.3f}; "
        f"at {threshold:.3f} right {right[said].sum() / answerable:.3f}, of {len(questions)} said but not right "
        f"{(1 - right[said]).sum() / len(questions):.3f}, ECE {error / max(1, said.sum()):.3f}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spans", type=Path, nargs="+")
    parser.add_argument("--write", action="store_true", help="store the weights in the package")
    options = parser.parse_args(arguments)
    weights = ScoringWeights(*fit_confidence(read(options.spans)))
    print(dict(zip(FEATURES, weights.spans.vector.tolist(), strict=True)), weights.confidence)
    if options.write:
        WEIGHTS.write_bytes(msgspec.json.format(msgspec.json.encode(weights), indent=1) + b"\n")


if __name__ == "__main__":
    main()
