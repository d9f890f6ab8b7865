"""The image head takes crowding off scores, for every index of inner products, and queries fit it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from search.spaces.image_head import CAPTIONS, DIMENSION, ImageHead
from search.spaces.text.sentences import EnglishSentences

TILT = 0.3


@pytest.fixture
def head() -> ImageHead:
    torch.manual_seed(0)
    made = ImageHead().eval()
    made.captions.copy_(unit(CAPTIONS))
    made.axis.copy_(TILT * unit(1)[0])
    return made


def unit(count: int) -> torch.Tensor:
    return functional.normalize(torch.randn(count, DIMENSION), dim=1)


def test_without_relief_nothing_changes(head: ImageHead) -> None:
    vectors = unit(3)
    assert torch.equal(head.relieved(vectors), vectors)
    assert torch.equal(head.aside(vectors), vectors)


def test_scores_are_those_of_csls(head: ImageHead) -> None:
    pictures, queries = unit(20), unit(5)
    crowding = head.crowding(pictures)
    head.usual.copy_(crowding.mean())
    head.relief.fill_(0.5)
    got = head.aside(queries) @ head.relieved(pictures).T
    wanted = head.off_axis(queries) @ head.off_axis(pictures).T - 0.5 * (crowding - crowding.mean())
    # One factor for all: the length that queries gain; what pictures gain is of second order.
    torch.testing.assert_close(got * np.sqrt(1 + TILT**2), wanted, atol=2e-3, rtol=0.0)


def test_a_picture_that_is_near_every_caption_is_found_less_easily(head: ImageHead) -> None:
    query = unit(1)
    head.captions.copy_(functional.normalize(query + 0.5 * unit(CAPTIONS), dim=1))
    pictures = torch.cat([query, functional.normalize(query + 0.1 * unit(1), dim=1)])
    head.usual.copy_(head.crowding(unit(50)).mean())
    before = (query @ pictures.T)[0]
    head.relief.fill_(0.5)
    after = (head.aside(query) @ head.relieved(pictures).T)[0]
    assert (after < before).all()


def test_queries_are_prepared_alike_with_and_without_torch(head: ImageHead) -> None:
    head.relief.fill_(0.5)
    sentences, turn = unit(4), 0.1 * torch.randn(DIMENSION, DIMENSION)
    encoder = EnglishSentences(None, np.zeros(DIMENSION), turn.numpy(), head.axis.numpy())  # type: ignore[arg-type]  # no model is asked
    long = ["more than three words are left as they are"] * 4
    wanted = head.aside(functional.normalize(sentences + sentences @ turn.T, dim=1))
    np.testing.assert_allclose(encoder.adapt(long, sentences.numpy()), wanted.numpy(), atol=1e-5)
