"""What is reported of answers: how often they are right when they say that they are."""

from __future__ import annotations

import pytest

from benchmarks.answer_lines import reliability, reliability_table


def test_confidences_are_compared_with_the_share_that_is_right_tenth_by_tenth() -> None:
    said = [(0.95, True), (0.95, True), (1.0, False), (0.55, True), (0.55, False)]
    error, rows = reliability(said)
    assert rows[0] == pytest.approx((0.55, 0.5, 2))
    assert rows[1] == pytest.approx((2.9 / 3, 2 / 3, 3))
    assert error == pytest.approx((0.05 * 2 + 0.3 * 3) / 5, abs=1e-3)
    assert reliability_table(error, rows).splitlines()[-2:] == ["| 0.55 | 0.50 | 2 |", "| 0.97 | 0.67 | 3 |"]


def test_where_nothing_is_answered_nothing_is_off() -> None:
    assert reliability([]) == (0.0, [])
