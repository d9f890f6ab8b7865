"""Texts of similar length in batches that a network computes at once.

Knows lengths alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def token_batches(lengths: Sequence[int], lanes: int, most: int) -> list[list[int]]:
    """Indices in batches of similar length, longest first, each at most `most` tokens when padded (or a single one).

    What is left for the end is short, so no lane waits long for another; where there is less to do, every one of the
    `lanes` gets some of it.
    """
    room = min(most, math.ceil(sum(lengths) / lanes))
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= room:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
