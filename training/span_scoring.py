"""Fit the weights of span scoring: which statement answers, and how sure is that?

    python -m benchmarks.answer_lines --data ../shared/data --folder FOLDER --part validation --spans spans.jsonl
    python -m training.span_scoring spans.jsonl --write

Two logistic models. The first ranks statements; those of one question weigh together as much as those of any other. The
second takes the best statement's score and its lead, over all questions, answered or not, and says how likely it
answers. The threshold is the lowest above which at most WRONG of all questions are answered wrongly.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from search.language.lexical import is_english
from search.language.span_scoring import (
    FEATURES,
    WEIGHTS,
    ConfidenceWeights,
    LanguageWeights,
    ScoringWeights,
    SpanWeights,
    lead,
)
from training.logistic import newton

WRONG = 0.055  # of all questions, answered wrongly or though the library holds no answer
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
    for fold in range(FOLDS):
        spans = fit_spans([question for i, question in enumerate(questions) if i % FOLDS != fold])
        best = [best_of(question, spans) for i, question in enumerate(questions) if i % FOLDS == fold]
        held += [question for question in best if question is not None]
    table = np.array([(score, ahead, 1.0) for score, ahead, _ in held])
    right = np.array([answers for _, _, answers in held], float)
    score, ahead, bias = newton(table, right, np.full(3, 0.1)).round(3).tolist()
    chances = 1 / (1 + np.exp(-(table @ (score, ahead, bias))))
    order = np.argsort(-chances)
    wrong = np.cumsum(1 - right[order]) / len(questions)
    allowed = np.flatnonzero(wrong <= WRONG)
    threshold = float(chances[order[allowed[-1]]]) if len(allowed) else 1.0
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
    """Fit for English and for other languages; print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spans", type=Path, nargs="+")
    parser.add_argument("--write", action="store_true", help="store the weights in the package")
    options = parser.parse_args(arguments)
    questions = [json.loads(line) for file in options.spans for line in file.read_text("utf-8").splitlines()]
    fitted = {}
    for name, english in (("english", True), ("other", False)):
        chosen = [question for question in questions if is_english(question["question"]) == english]
        fitted[name] = LanguageWeights(*fit_confidence(chosen))
    weights = ScoringWeights(**fitted)
    print(dict(zip(FEATURES, weights.english.spans.vector.tolist(), strict=True)), weights.english.confidence)
    print(dict(zip(FEATURES, weights.other.spans.vector.tolist(), strict=True)), weights.other.confidence)
    if options.write:
        WEIGHTS.write_bytes(msgspec.json.format(msgspec.json.encode(weights), indent=1) + b"\n")


if __name__ == "__main__":
    main()
