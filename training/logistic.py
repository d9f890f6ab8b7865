"""Logistic regression on a handful of features that can be read."""

from __future__ import annotations

import numpy as np

_ROUNDS = 50
_DECAY = 0.1  # keeps weights finite where the classes are apart
_LONGEST_STEP = 2.0  # where the classes are nearly apart, a whole step of Newton's would overshoot


def logistic(features: np.ndarray, right: np.ndarray) -> np.ndarray:
    """`(n, k)` and `(n,)` truths -> `(k + 1,)`: weights, then the bias."""
    table = np.column_stack([features, np.ones(len(features))])
    return newton(table, right, np.full(table.shape[1], _DECAY))


def newton(table: np.ndarray, truth: np.ndarray, decay: np.ndarray, shares: np.ndarray | None = None) -> np.ndarray:
    """`(n, k)` columns, one of ones among them, `(n,)` truths, `(k,)` decay of each weight -> `(k,)` weights.

    `shares`: `(n,)`, what each row weighs; by default 1.
    """
    shares = np.ones(len(table)) if shares is None else shares
    weights = np.zeros(table.shape[1])
    for _ in range(_ROUNDS):
        guess = 1 / (1 + np.exp(-np.clip(table @ weights, -30, 30)))
        slope = table.T @ (shares * (guess - truth)) + decay * weights
        curvature = (table * (shares * guess * (1 - guess))[:, None]).T @ table + np.diag(decay + 1e-9)
        step = np.linalg.solve(curvature, slope)
        weights -= np.clip(step, -_LONGEST_STEP, _LONGEST_STEP)
        if np.abs(step).max() < 1e-8:
            break
    return weights
