"""Logistic regression on a handful of features that can be read."""

from __future__ import annotations

import numpy as np

_ROUNDS = 30
_DECAY = 0.1  # keeps weights finite where the classes are apart


def logistic(features: np.ndarray, right: np.ndarray) -> np.ndarray:
    """`(n, k)` and `(n,)` truths -> `(k + 1,)`: weights, then the bias. By Newton's steps."""
    table = np.column_stack([features, np.ones(len(features))])
    weights = np.zeros(table.shape[1])
    for _ in range(_ROUNDS):
        guess = 1 / (1 + np.exp(-table @ weights))
        slope = table.T @ (guess - right) + _DECAY * weights
        bend = (table * (guess * (1 - guess))[:, None]).T @ table + _DECAY * np.eye(len(weights))
        weights -= np.linalg.solve(bend, slope)
    return weights
