"""Captions and gains beside a space: what is mixed in counts, and nothing is mixed in at 0."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.multimodal_signal import captions_as_signal, gains_beside_cosines, remembered
from search.arrays import Float32Array
from search.signals import Signal
from search.testing import WordSpace

THINGS = ("a dog", "a cat", "a boat", "a horse")


def test_captions_find_what_pictures_alone_do_not() -> None:
    space = WordSpace()
    pictures = np.zeros((4, space.dimensions[Signal.IMAGE]), np.float32)  # of which the space says nothing
    told = captions_as_signal(space, pictures, THINGS, [[thing] * 2 for thing in THINGS], THINGS)
    assert (told["0.0"]["first"], told["0.2"]["first"]) == (0.25, 1.0)
    assert told["0.0"]["among ten"] == 1.0


class Sure:
    """Finds every text in its own picture, 9 nats likelier than in others."""

    def gains(self, captions: Sequence[str], soft: Float32Array) -> Float32Array:
        return np.array([[9.0 * (tokens[0, 0] == int(text)) for text in captions] for tokens in soft], np.float32)


def test_a_second_opinion_counts_as_much_as_its_weight() -> None:
    soft = np.arange(12, dtype=np.float32)[:, None, None]
    cosines = np.full((12, 12), 0.2, np.float32)
    np.fill_diagonal(cosines, 0.15)  # the space finds every other picture before the right one
    told = gains_beside_cosines(Sure(), cosines, soft, [str(number) for number in range(12)])
    assert told == {"0.0": 0.0, "0.005": 0.0, "0.01": 0.0, "0.02": 0.0, "alone": 0.0}  # it is not among the ten
    cosines[:, ::2] -= 0.1
    np.fill_diagonal(cosines, 0.15)
    told = gains_beside_cosines(Sure(), cosines, soft, [str(number) for number in range(12)])
    assert (told["0.0"], told["0.005"], told["0.01"], told["alone"]) == (0.0, 0.0, 1.0, 1.0)


def test_captions_are_written_once(tmp_path: Path) -> None:
    asked: list[list[int]] = []

    def write(numbers: list[int]) -> list[str]:
        asked.append(numbers)
        return [f"caption {number}" for number in numbers]

    first = remembered(tmp_path / "kept.json", ["a", "b"], write)
    assert remembered(tmp_path / "kept.json", ["b", "c"], write) == [first[1], "caption 1"]
    assert asked == [[0, 1], [1]]
