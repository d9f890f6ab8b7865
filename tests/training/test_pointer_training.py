"""Exercises say where each answer is, and a step teaches what is to be taught and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from support.tiny_models import llama, tokenizer
from torch.nn import functional

from training.pointer_network import PointerNetwork
from training.pointer_reader import batches, measure, rows_of
from training.reading import templates
from training.reading.exercises import PageTeacher
from training.reading.forms import read_attributes
from training.reading.lessons import NOWHERE
from training.reading.vocabulary import Vocabulary, taught_words

PAGE = ["red dog", "a cat on the beach", "blue"]
ASKED = [("is the dog red?", 0), ("a cat?", 1), ("with a query?", NOWHERE)]


def words(text: str) -> list[int]:
    return list(tokenizer()(text, add_special_tokens=False).input_ids)


def teacher(seed: int = 0) -> PageTeacher:
    random = np.random.default_rng(seed)
    own, said = templates.own_words_files()
    return PageTeacher(
        templates.read_templates(templates.documents_file()),
        templates.read_templates(templates.statements_file(), said),
        Vocabulary(taught_words(), random),
        ["a dog runs"] * 12,
        random,
        read_attributes(),
        templates.read_templates(own),
    )


@pytest.fixture(scope="module")
def network() -> PointerNetwork:
    return small("cpu")


def small(device: str) -> PointerNetwork:
    return PointerNetwork(llama().to(device), rank=2)


def test_half_of_what_is_asked_has_no_answer_and_the_rest_is_in_its_line() -> None:
    exercises = teacher().exercises(150)
    right = [right for exercise in exercises for _, right in exercise.asked]
    assert 0.3 < sum(row != NOWHERE for row in right) / len(right) < 0.7
    assert all(row < len(exercise.statements) for exercise in exercises for _, row in exercise.asked)
    assert all(text and not any(mark in text for mark in "{}<>|*") for one in exercises for text, _ in one.asked)


def test_a_line_that_was_left_out_leaves_its_question_without_an_answer() -> None:
    class Leaving(PageTeacher):
        def _left_out(self, answering_rows: Sequence[int], many: int) -> set[int]:
            return set(answering_rows)

    made = teacher()
    made.__class__ = Leaving
    assert all(right == NOWHERE for exercise in made.exercises(60) for _, right in exercise.asked)


def test_the_same_seed_makes_the_same_exercises() -> None:
    assert teacher(4).exercises(30) == teacher(4).exercises(30)


def test_only_updates_and_heads_are_trained(network: PointerNetwork) -> None:
    ((rows, wanted),) = batches(rows_of(words, [(PAGE, ASKED)]))
    functional.cross_entropy(network(rows), wanted).backward()
    named = dict(network.named())
    learnt = {id(parameter) for parameter in network.parameters() if parameter.grad is not None}
    assert learnt
    assert learnt <= {id(parameter) for parameter in named.values()}
    assert all(".5." not in name for name in named)  # the layers below stay as they are


def test_what_is_beyond_the_first_part_of_a_page_is_not_asked() -> None:
    long = ["a dog on the beach " * 15] * 8
    rows = rows_of(words, [(long, [("a dog?", 7), ("a cat?", NOWHERE)])])
    assert [row.right for row in rows] == [[0]]


def test_steps_learn_a_page_by_heart() -> None:
    made = small("cpu")
    rows = rows_of(words, [(PAGE, ASKED)])
    optimiser = torch.optim.AdamW([parameter for _, parameter in made.named()], lr=0.03)
    for _ in range(150):
        for batch, wanted in batches(rows):
            optimiser.zero_grad()
            functional.cross_entropy(made(batch), wanted).backward()
            optimiser.step()
    assert measure(made, rows) == {"certain": 1.0, "best": 1.0}


def test_a_step_keeps_to_the_device_of_the_weights() -> None:
    # There may be no GPU here, but torch lets no operation mix "meta" with the CPU, either.
    made = small("meta")
    ((rows, wanted),) = batches(rows_of(words, [(PAGE, ASKED)]))
    functional.cross_entropy(made(rows), wanted.to("meta")).backward()
    assert {parameter.device.type for _, parameter in made.named() if parameter.grad is not None} == {"meta"}
