"""Which saved searches may match a new segment: one matrix product against the scores that each query needs.

A query's relevance rises with every score, so below some score a segment can't lift its file to what the saved search
asks for, whatever else is in the file. That floor is found once for each query, with the calibration that rankings
use, and holds while the library's size stays within `sizes`; a new vector is then compared with all of them at once.
What passes is judged exactly, elsewhere, by the library as it is then.

Knows calibration; knows no catalogue and no index.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct

from search.arrays import BoolArray, Float32Array, Float64Array
from search.ranking.calibration import COPY, Calibration, Yardsticks, least_scores
from search.signals import Signal

_GROWTH = 2.0  # factor by which a library may grow until floors are found anew: wider, and more pairs pass in vain
_LOSS = 0.1  # share that it may lose until then
_ROUNDING = 1e-5  # of cosines, well below the steps of float16, in which vectors are kept
_WITNESSES = 3  # signals that may speak for one file together, each as strongly as the others
HALF = 0.5  # share of a query's words, from which a passage is looked at whatever its meaning


class Queries(Struct, frozen=True):
    """Saved searches as one signal looks for them; one that doesn't has a vector of zeros."""

    vectors: Float32Array  # (q, d), unit rows
    least: Float64Array  # (q,) relevances asked for
    terms: np.ndarray  # (q,) numbers of words
    by_example: BoolArray  # (q,)


class Floors(Struct, frozen=True):
    """Of one signal: the cosine that each query needs, inf for those that don't look at it."""

    alone: Float32Array  # (q,) of a file with this one signal
    among: Float32Array  # (q,) where other signals may speak for the file, too
    worded: Float32Array  # (q,) of a passage that holds some of the query's words
    sizes: tuple[int, int]  # of the library, between which these hold
    sample: Float32Array | None  # (n, d) of the signal's segments, with which these hold; None: with any

    def hold(self, size: int, sample: Float32Array) -> bool:
        """Whether no lower score can matter in a library of this size, with this sample `(n, d)` of the signal."""
        low, high = self.sizes
        return low <= size <= high and (self.sample is None or self.sample is sample)

    def passing(self, scores: Float32Array, is_alone: BoolArray) -> BoolArray:
        """`(n, q)` cosines of new segments, and whether their file has one signal alone -> which may match."""
        return np.asarray(np.where(is_alone[:, None], scores >= self.alone, scores >= self.among))


def floors_of(signal: Signal, calibration: Calibration, queries: Queries, size: int, sample: Float32Array) -> Floors:
    """Floors from a library of `size` on, of which `sample` `(n, d)` holds segments of the signal; n > 0."""
    kinds = [kind for kind in (False, True) if np.any(queries.by_example == kind)]
    curves = {kind: calibration.curve_for(signal, by_example=kind) for kind in kinds}
    uses_background = any(curve.uses_background for curve in curves.values())
    means, spreads = np.zeros(len(queries.vectors)), np.ones(len(queries.vectors))
    if uses_background:
        scores = queries.vectors @ sample.T
        means, spreads = scores.mean(1).astype(np.float64), scores.std(1).astype(np.float64)
    sizes = int(size * (1 - _LOSS)), int(size * _GROWTH)
    evidence = _evidence(calibration, queries.least)
    together = 1 - (1 - evidence) ** (1 / _WITNESSES)
    unwanted = ~np.any(queries.vectors, axis=1)

    def lowest(needed: Float64Array, covered: float) -> Float32Array:
        wanted = np.log(needed / (1 - needed))
        floors = np.full(len(wanted), np.inf)
        for kind, curve in curves.items():
            held = queries.by_example == kind
            for at in curve.extreme_sizes(*sizes):
                judged_by = Yardsticks(
                    terms=queries.terms[held], size=at, means=means[held], spreads=spreads[held], covered=covered
                )
                found = least_scores(curve, wanted[held], judged_by)
                if kind:  # a copy counts for more
                    copied = least_scores(curve, wanted[held] - curve.complete, judged_by)
                    found = np.minimum(found, np.maximum(copied, COPY))
                floors[held] = np.minimum(floors[held], found)
        return np.where(unwanted, np.inf, floors - _ROUNDING).astype(np.float32)

    half = lowest(together, HALF) if signal.holds_words else np.full(len(unwanted), np.inf, np.float32)
    return Floors(lowest(evidence, 0.0), lowest(together, 0.0), half, sizes, sample if uses_background else None)


def _evidence(calibration: Calibration, least: Float64Array) -> Float64Array:
    known: Mapping[float, float] = {value: calibration.evidence_for(value) for value in set(least.tolist())}
    return np.clip([known[value] for value in least.tolist()], 1e-6, 1 - 1e-6)
