"""What fits a word or a phrase, told from descriptions: what nobody says is not taken for wrong."""

from __future__ import annotations

import numpy as np

from training.bare_words import words_asked

CAR = ["a {} car is parked", "the {} car stands there", "a man beside a {} car", "a {} car", "someone washes a {} car"]
PLAIN = ["a car is parked", "the car stands there", "a man beside a car", "a car", "someone washes a car"]
DOG = ["a dog", "the dog runs", "a dog on grass", "a dog jumps", "one dog"]


def asked(photos: list[list[str]]) -> dict[str, list[float]]:
    sorts = np.array(["photo"] * len(photos))
    found = words_asked(photos, sorts, [""] * len(photos), 100, np.random.default_rng(0))
    return {text: truth.tolist() for _, text, truth in found}


def test_a_phrase_is_right_unknown_or_wrong_by_what_is_said_of_the_thing() -> None:
    photos = [[line.format(colour) for line in CAR] for colour in ("red", "blue", "red")] + [PLAIN, DOG]
    right, wrong, also, unsaid, other = asked(photos)["red car"]
    assert (right, wrong, also, other) == (1, 0, 1, 0)
    assert np.isnan(unsaid)


def test_what_else_is_there_or_goes_on_is_mostly_said() -> None:
    racing = [[line.format("racing") for line in CAR], [line.format("racing") for line in CAR], PLAIN]
    assert asked(racing)["racing car"] == [1, 1, 0]
