"""Texts of similar length in batches that a network computes at once.

Knows lengths alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

MadeT = TypeVar("MadeT")


class SideBySide(Protocol):
    """What is needed of `search.spaces.device.Lanes`."""

    count: int

    def map(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """As the built-in, side by side."""


def in_token_batches(
    lengths: Sequence[int],
    most: int,
    compute: Callable[[Sequence[int]], Sequence[MadeT]],
    lanes: SideBySide | None = None,
) -> list[MadeT]:
    """What `compute` makes of the texts of these lengths, in their order; it is given the indices of a batch."""
    batches = token_batches(lengths, lanes.count if lanes else 1, most)
    apply = lanes.map if lanes and len(batches) > 1 else map
    made: dict[int, MadeT] = {}
    for batch, of_batch in zip(batches, apply(compute, batches), strict=True):
        made |= dict(zip(batch, of_batch, strict=True))
    return [made[index] for index in range(len(lengths))]


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
