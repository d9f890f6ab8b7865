"""Fitting the weights of span scoring to questions of several files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from training import span_scoring
from training.logistic import newton


def written(file: Path, random: np.random.Generator, count: int, slope: float) -> Path:
    """Questions whose right statement the reader likes (or, with a negative slope, dislikes)."""
    lines = []
    for number in range(count):
        right = [i == 0 and number % 3 > 0 for i in range(4)]
        reader = [slope * (2.0 * held - 1.0) + float(random.normal()) for held in right]
        lines.append(
            json.dumps(
                {
                    "question": str(number),
                    "answerable": any(right),
                    "features": [[value, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0] for value in reader],
                    "right": right,
                    "words": list("abcd"),
                }
            )
        )
    file.write_text("\n".join(lines))
    return file


def test_shares_weigh_rows() -> None:
    table, truth = np.ones((3, 1)), np.array([1.0, 0.0, 0.0])
    (bias,) = newton(table, truth, np.zeros(1), np.array([2.0, 1.0, 1.0]))
    assert bias == pytest.approx(0.0, abs=1e-6)


def test_a_small_file_weighs_as_much_as_a_large_one(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    large, small = written(tmp_path / "large", random, 300, -1.0), written(tmp_path / "small", random, 60, 3.0)
    questions = span_scoring.read([large, small])
    shares = {name: sum(q["share"] for q in questions if q["file"] == name) for name in ("large", "small")}
    assert shares["large"] == pytest.approx(shares["small"])
    assert span_scoring.fit_spans(questions).reader > 0
    assert span_scoring.fit_spans([{**question, "share": 1.0} for question in questions]).reader < 0


def test_the_threshold_declines_what_nothing_answers(tmp_path: Path) -> None:
    questions = span_scoring.read([written(tmp_path / "spans", np.random.default_rng(1), 400, 1.5)])
    spans, confidence = span_scoring.fit_confidence(questions)
    lacking = [question for question in questions if not question["answerable"]]
    said = 0
    for question in lacking:
        best = span_scoring.best_of(question, spans)
        assert best
        chance = 1 / (1 + np.exp(-(confidence.score * best[0] + confidence.lead * best[1] + confidence.bias)))
        said += chance >= confidence.threshold
    assert said / len(lacking) <= 1 - span_scoring.DECLINED + 0.03
