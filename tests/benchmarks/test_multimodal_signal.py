"""Captions and gains beside a space: what is mixed in counts, and nothing is mixed in at 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.multimodal_signal import captions_as_signal, remembered
from search.signals import Signal
from search.testing import WordSpace

THINGS = ("a dog", "a cat", "a boat", "a horse")


def test_captions_find_what_pictures_alone_do_not() -> None:
    space = WordSpace()
    pictures = np.zeros((4, space.dimensions[Signal.IMAGE]), np.float32)  # of which the space says nothing
    told = captions_as_signal(space, pictures, THINGS, [[thing] * 2 for thing in THINGS], THINGS)
    assert (told["0.0"]["first"], told["0.2"]["first"]) == (0.25, 1.0)
    assert told["0.0"]["among ten"] == 1.0


def test_captions_are_written_once(tmp_path: Path) -> None:
    asked: list[list[int]] = []

    def write(numbers: list[int]) -> list[str]:
        asked.append(numbers)
        return [f"caption {number}" for number in numbers]

    first = remembered(tmp_path / "kept.json", ["a", "b"], write)
    assert remembered(tmp_path / "kept.json", ["b", "c"], write) == [first[1], "caption 1"]
    assert asked == [[0, 1], [1]]
