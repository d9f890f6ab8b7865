"""What is measured of rankings, how sure that is, and whether a difference is more than noise.

Queries are the sample: intervals come from drawing queries anew (bootstrap), and whether one ranking is better than
another from swapping the two at random for each query (Fisher's randomisation test). Knows numbers only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from search.arrays import Float64Array

DRAWS = 10_000
BINS = 10
_SEED = 0  # the same data always give the same interval


class Estimate(Struct, frozen=True, kw_only=True):
    """A mean over queries, and the interval that holds it 19 times of 20."""

    mean: float
    low: float
    high: float


class Difference(Struct, frozen=True, kw_only=True):
    """How much better the second ranking is than the first."""

    mean: float
    low: float
    high: float
    p: float  # how often chance alone makes so large a difference, either way

    @property
    def is_noise(self) -> bool:
        """Not to be told from chance at one in twenty."""
        return not (self.p < 0.05 and self.low * self.high > 0)


def recall(ranked: Sequence[int], relevant: Mapping[int, int], at: int) -> float:
    """The share of relevant items (by id, above 0) among the first `at`."""
    right = {item for item, grade in relevant.items() if grade > 0}
    return len(right.intersection(ranked[:at])) / len(right)


def ndcg(ranked: Sequence[int], relevant: Mapping[int, int], at: int) -> float:
    """Normalised discounted cumulative gain; gains are the grades themselves, as trec_eval has them."""
    gains = [max(0, relevant.get(item, 0)) for item in ranked[:at]]
    best = sorted((grade for grade in relevant.values() if grade > 0), reverse=True)[:at]
    return _discounted(gains) / _discounted(best)


def _discounted(gains: Sequence[int]) -> float:
    return float(sum(gain / np.log2(rank + 2) for rank, gain in enumerate(gains)))


def calibration_error(probabilities: Float64Array, right: Float64Array) -> float:
    """Expected calibration error of `(n,)` probabilities against 0 or 1 in `right`, in ten bins (arXiv 1706.04599)."""
    if not len(probabilities):
        return 0.0
    bins = np.minimum((np.asarray(probabilities) * BINS).astype(int), BINS - 1)
    errors = [
        abs(float(probabilities[bins == bin_number].mean() - right[bins == bin_number].mean()))
        * float((bins == bin_number).mean())
        for bin_number in np.unique(bins)
    ]
    return float(sum(errors))


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of one value for each query."""
    drawn = _drawn(np.asarray(values, np.float64))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(mean=float(np.mean(values)), low=float(low), high=float(high))


def estimate_calibration(by_query: Sequence[tuple[Float64Array, Float64Array]], draws: int = 1000) -> Estimate:
    """The calibration error over all queries' hits; for each query the `(hits,)` probabilities and rights (0 or 1)."""
    probabilities = np.concatenate([query for query, _ in by_query])
    right = np.concatenate([query for _, query in by_query])
    sizes = [len(query) for query, _ in by_query]
    starts = np.cumsum([0, *sizes])
    random = np.random.default_rng(_SEED)
    drawn = []
    for _ in range(draws):
        chosen = random.integers(0, len(sizes), len(sizes))
        rows = np.concatenate([np.arange(starts[query], starts[query + 1]) for query in chosen])
        drawn.append(calibration_error(probabilities[rows], right[rows]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(mean=calibration_error(probabilities, right), low=float(low), high=float(high))


def difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """How much the second is above the first, query by query (the same queries in the same order)."""
    gains = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    low, high = np.percentile(_drawn(gains), [2.5, 97.5])
    signs = np.random.default_rng(_SEED).integers(0, 2, (DRAWS, len(gains)), dtype=np.int8) * 2 - 1
    by_chance = np.abs(signs @ gains / len(gains)) >= abs(gains.mean()) - 1e-12
    p = (1 + int(by_chance.sum())) / (1 + DRAWS)
    return Difference(mean=float(gains.mean()), low=float(low), high=float(high), p=float(p))


def _drawn(values: Float64Array) -> Float64Array:
    """Means of queries drawn anew, `(DRAWS,)`."""
    random = np.random.default_rng(_SEED)
    counts = random.multinomial(len(values), np.full(len(values), 1 / len(values)), DRAWS)
    return np.asarray(counts @ values / len(values))
