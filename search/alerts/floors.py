"""Which saved searches may match a new segment: one matrix product against the scores that each query needs.

A query's relevance rises with every score, so below some score a segment can't lift its file to what the saved search
asks for, whatever else is in the file. That floor is found once for each query, with the calibration that rankings
use; a new vector is then compared with all of them at once. What passes is judged exactly, elsewhere.

Knows calibration; knows no catalogue and no index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from search.arrays import BoolArray, Float32Array, Float64Array
from search.ranking.calibration import Calibration, log_odds_of_queries
from search.ranking.candidates import Background
from search.signals import Signal

_STEPS = 24  # of the search for a floor: finer than float16, in which vectors are kept
_WITNESSES = 3  # signals that may speak for one file together, each as strongly as the others
HALF = 0.5  # share of a query's words, from which a passage is looked at whatever its meaning


class Floors(Struct, frozen=True):
    """Of one signal: the queries' vectors, and the cosine that each needs."""

    vectors: Float32Array  # (q, d), unit rows; zeros for those that don't look at this signal
    alone: Float32Array  # (q,) of a file with this one signal
    among: Float32Array  # (q,) where other signals may speak for the file, too
    worded: Float32Array  # (q,) of a passage that holds some of the query's words

    def passing(self, new: Float32Array, is_alone: BoolArray) -> BoolArray:
        """`(n, d)` unit rows, and whether their file has one signal alone -> `(n, q)`: which may match."""
        scores = new @ self.vectors.T
        return np.asarray(np.where(is_alone[:, None], scores >= self.alone, scores >= self.among))


def floors_of(
    signal: Signal,
    calibration: Calibration,
    vectors: Float32Array,
    least: Float64Array,
    terms: np.ndarray,
    by_example: BoolArray,
    backgrounds: Sequence[Background],
) -> Floors:
    """`(q, d)` vectors (zeros: not looked at), `(q,)` relevances asked for, numbers of words, kinds and backgrounds."""
    size = backgrounds[0].size if backgrounds else 1
    means = np.array([background.mean for background in backgrounds])
    spreads = np.array([background.deviation for background in backgrounds])
    evidence = _evidence(calibration, least)
    together = 1 - (1 - evidence) ** (1 / _WITNESSES)
    unwanted = ~np.any(vectors, axis=1)

    def lowest(needed: Float64Array, covered: float) -> Float32Array:
        wanted = np.log(needed / (1 - needed))
        low, high = np.full(len(vectors), -1.0), np.full(len(vectors), 1.0)
        for _ in range(_STEPS):
            middle = (low + high) / 2
            reached = np.empty(len(vectors), bool)
            for example in (False, True):
                held = by_example == example
                if held.any():
                    curve = calibration.curve_for(signal, example)
                    values = log_odds_of_queries(
                        curve, middle[held], terms[held], size, means[held], spreads[held], covered
                    )
                    reached[held] = values >= wanted[held]
            low, high = np.where(reached, low, middle), np.where(reached, middle, high)
        return np.where(unwanted, np.inf, low).astype(np.float32)

    half = lowest(together, HALF) if signal.holds_words else np.full(len(vectors), np.inf, np.float32)
    return Floors(vectors, lowest(evidence, 0.0), lowest(together, 0.0), half)


def _evidence(calibration: Calibration, least: Float64Array) -> Float64Array:
    known: Mapping[float, float] = {value: calibration.evidence_for(value) for value in set(least.tolist())}
    return np.clip([known[value] for value in least.tolist()], 1e-6, 1 - 1e-6)
