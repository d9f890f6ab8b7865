"""The recipe of the image head trains what the encoder runs, and its measures mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.measures import average_precisions, first_ranks, own_ranks, recall_at
from search.spaces.efficientnet import load_efficientnet, normalise
from search.spaces.image_head import grid_of
from training.contrast import alike, contrastive
from training.image_tail import Tail
from training.photos import TUNED_FROM


@pytest.mark.models
def test_the_fast_tail_computes_what_the_network_computes() -> None:
    network, tail = load_efficientnet(), Tail().eval()
    pictures = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 260, 260, 3), np.uint8))
    with torch.no_grad():
        early = network.blocks[:TUNED_FROM](network.stem(normalise(pictures, torch.float32)))
        features = network.head(network.blocks[TUNED_FROM:](early))
        pooled, logits, grid = tail(early.permute(0, 2, 3, 1).bfloat16())
    assert torch.cosine_similarity(pooled, features.mean((2, 3))).min() > 0.99
    assert torch.cosine_similarity(logits, network.classify(features.mean((2, 3)))).min() > 0.99
    assert grid.shape == grid_of(features).shape


@pytest.mark.models
def test_tuned_weights_go_back_into_the_network_unchanged() -> None:
    published = load_efficientnet().state_dict()
    returned = load_efficientnet(Tail().network_state()).state_dict()
    assert all(torch.equal(published[name], returned[name]) for name in published)


def test_the_loss_falls_when_pictures_meet_their_own_sentences() -> None:
    torch.manual_seed(0)
    pictures = torch.nn.functional.normalize(torch.randn(8, 16), dim=1)
    none = torch.zeros(0, 16)
    matched = pictures[:, None, :].expand(8, 3, 16)
    groups, scale = torch.arange(8), torch.tensor(10.0)
    good = contrastive(pictures, matched, groups, scale, none, none)
    bad = contrastive(pictures, matched.roll(1, dims=0), groups, scale, none, none)
    assert good < bad


def test_sentences_of_the_same_group_are_no_negatives() -> None:
    pictures = torch.nn.functional.normalize(torch.ones(4, 8), dim=1)
    none = torch.zeros(0, 8)
    scale = torch.tensor(10.0)
    alone = contrastive(pictures, pictures[:, None], torch.zeros(4), scale, none, none)
    apart = contrastive(pictures, pictures[:, None], torch.arange(4), scale, none, none)
    assert alone == pytest.approx(0, abs=1e-4)
    assert apart == pytest.approx(np.log(4), abs=1e-4)


def test_a_picture_may_stand_near_a_sentence_that_resembles_its_own() -> None:
    dog, hound, car = torch.nn.functional.normalize(torch.tensor([[1.0, 0, 0.2], [1.0, 0.1, 0.2], [0, 1.0, 0]]), dim=1)
    sentences = torch.stack([dog, hound, car])[:, None]
    near = alike(torch.stack([dog, hound, car]), sentences, sentences, torch.tensor(14.0))
    apart = alike(torch.stack([dog, -hound, car]), sentences, sentences, torch.tensor(14.0))
    assert near < apart


def test_ranks_count_ties_against_the_query() -> None:
    scores = np.array([[0.9, 0.1, 0.5], [0.3, 0.3, 0.3]])
    assert own_ranks(scores, np.array([2, 0])).tolist() == [2, 3]
    assert first_ranks(scores, np.array([[False, True, True], [True, False, True]])).tolist() == [2, 2]
    assert recall_at(np.array([1, 2, 11]), 10) == pytest.approx(2 / 3)


def test_average_precision_is_one_when_all_wanted_come_first() -> None:
    scores = np.array([[0.9, 0.8, 0.1], [0.9, 0.8, 0.1]])
    relevant = np.array([[True, True, False], [False, False, True]])
    np.testing.assert_allclose(average_precisions(scores, relevant), [1, 1 / 3])
