"""Fit the weights of span scoring: which statement answers, and how sure is that?

    python -m benchmarks.answer_lines --data ../shared/data --folder FOLDER --part development --spans spans.jsonl
    python -m training.span_scoring spans.jsonl --write

Two logistic models. The first ranks statements; those of one question weigh together as much as those of any other. The
second takes the best statement's score and its lead, over all questions, answered or not, and says how likely it
answers. The threshold is the lowest at which DECLINED of the questions that nothing answers are declined.
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

DECLINED = 0.94  # of unanswerable questions: more than the goal (0.90), because test parts have been harder
FOLDS = 5
_DECAY = 0.3


def fit_spans(questions: Sequence[dict[str, Any]]) -> SpanWeights:
    """Ranks the statements of questions that have an answer."""
    answered = [question for question in questions if any(question["right"])]
    table, right, share = [], [], []
    for question in answered:
        table += question["features"]
        right += question["right"]
        share += [1 / len(question["right"]) if not held else 1 / sum(question["right"]) for held in question["right"]]
    # The same row is seen as often as it weighs: Newton's method takes no weights of rows.
    rows = np.column_stack([np.array(table), np.ones(len(table))])
    scale = np.sqrt(np.array(share))
    weights = _weighted(rows, np.array(right, float), scale**2)
    return SpanWeights(*weights.round(3).tolist())


def _weighted(rows: np.ndarray, truth: np.ndarray, share: np.ndarray) -> np.ndarray:
    weights = np.zeros(rows.shape[1])
    for _ in range(60):
        guess = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        slope = rows.T @ (share * (guess - truth)) + _DECAY * weights
        curvature = (rows * (share * guess * (1 - guess))[:, None]).T @ rows + np.diag(np.full(len(weights), _DECAY))
        step = np.linalg.solve(curvature, slope)
        weights -= np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-8:
            break
    return weights


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
    answerable: list[bool] = []
    for fold in range(FOLDS):
        spans = fit_spans([question for i, question in enumerate(questions) if i % FOLDS != fold])
        for question in questions[fold::FOLDS]:
            if best := best_of(question, spans):
                held.append(best)
                answerable.append(question["answerable"])
    table = np.array([(score, ahead, 1.0) for score, ahead, _ in held])
    right = np.array([answers for _, _, answers in held], float)
    score, ahead, bias = newton(table, right, np.full(3, 0.1)).round(3).tolist()
    chances = 1 / (1 + np.exp(-(table @ (score, ahead, bias))))
    lacking = sum(not question["answerable"] for question in questions)
    said = np.sort(chances[~np.array(answerable)])[::-1]  # of what nothing answers
    allowed = int((1 - DECLINED) * lacking)
    threshold = float(np.nextafter(said[allowed], 1)) if len(said) > allowed else 0.0
    report(chances, right, threshold, len(questions))
    return fit_spans(questions), ConfidenceWeights(score, ahead, bias, round(max(threshold, 0.2), 3))


def report(chances: np.ndarray, right: np.ndarray, threshold: float, asked: int) -> None:
    """Print what the folds say of `(answered,)` probabilities and rights."""
    said = chances >= threshold
    bins = np.minimum((chances[said] * 10).astype(int), 9)
    error = sum(
        abs(chances[said][bins == b].mean() - right[said][bins == b].mean()) * (bins == b).sum() for b in set(bins)
    )
    print(
        f"{asked} questions: best statement right {right.sum() / asked:.3f}; threshold {threshold:.3f}: "
        f"right {right[said].sum() / asked:.3f}, wrong {(1 - right[said]).sum() / asked:.3f}, "
        f"ECE {error / max(1, said.sum()):.3f}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spans", type=Path, nargs="+")
    parser.add_argument("--write", action="store_true", help="store the weights in the package")
    options = parser.parse_args(arguments)
    questions = [json.loads(line) for file in options.spans for line in file.read_text("utf-8").splitlines()]
    weights = ScoringWeights(*fit_confidence(questions))
    print(dict(zip(FEATURES, weights.spans.vector.tolist(), strict=True)), weights.confidence)
    if options.write:
        WEIGHTS.write_bytes(msgspec.json.format(msgspec.json.encode(weights), indent=1) + b"\n")


if __name__ == "__main__":
    main()
