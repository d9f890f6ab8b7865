"""The recipe of the image head trains what the encoder runs, and its measures mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from search.spaces.efficientnet import load_efficientnet, normalise
from search.spaces.image_head import grid_of
from training import images, trainer
from training.contrastive_loss import alike, contrastive
from training.images import mix
from training.measures import average_precisions, first_ranks, own_ranks, recall_at
from training.photos import TUNED_FROM
from training.trainable_blocks import Tail


@pytest.mark.models
@pytest.mark.parametrize("side", [260, 224])
def test_the_fast_tail_computes_what_the_network_computes(side: int) -> None:
    network, tail = load_efficientnet(), Tail().eval()
    pictures = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, side, side, 3), np.uint8))
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


@pytest.mark.models
def test_tuning_gives_weights_that_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"BATCH_TAIL": 4, "TOGETHER": 2, "EPOCHS_FIRST": 4, "EPOCHS_AGAIN": 4}.items():
        monkeypatch.setattr(images, name, value)
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    words = object.__new__(trainer.Words)
    words.own, words.bank = (torch.nn.functional.normalize(torch.randn(*n, 384), dim=-1) for n in ((8, 5), (64,)))
    words.groups = torch.arange(8)
    maps, crops = (random.random((8, side, side, 88), np.float32).astype(np.float16) for side in (17, 14))
    tail, projection = images.Tuner(words, maps, np.arange(8), [crops]).run()
    published = Tail()
    learned, started = next(tail.expand.parameters()), next(published.expand.parameters())
    assert not torch.equal(learned, started)
    assert not torch.equal(tail.head.weight, published.head.weight)
    assert all(torch.isfinite(tensor).all() for tensor in [*tail.parameters(), *projection.parameters()])


def test_the_loss_falls_when_pictures_meet_their_own_sentences() -> None:
    torch.manual_seed(0)
    pictures = torch.nn.functional.normalize(torch.randn(8, 16), dim=1)
    none = torch.zeros(0, 16)
    matched = pictures[:, None, :].expand(8, 3, 16)
    own, groups, scale = torch.eye(8), torch.arange(8), torch.tensor(10.0)
    good = contrastive(pictures, matched, own, groups, scale, none, none)
    bad = contrastive(pictures, matched.roll(1, dims=0), own, groups, scale, none, none)
    assert good < bad


def test_a_mixture_of_two_photos_belongs_between_their_sentences() -> None:
    one, two, other = torch.eye(3)
    mixture = torch.nn.functional.normalize(one + two, dim=0)
    sentences, none, scale = torch.stack([one, two, other])[:, None], torch.zeros(0, 3), torch.tensor(10.0)
    shares = torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])

    def loss(pictures: torch.Tensor) -> torch.Tensor:
        return contrastive(pictures, sentences, shares, torch.arange(3), scale, none, none)

    assert loss(torch.stack([mixture, mixture, other])) < loss(torch.stack([one, one, other]))


def test_shares_say_which_photos_are_in_a_mixture() -> None:
    random = np.random.default_rng(1)
    maps = torch.eye(6)[:, None, None, :].expand(6, 2, 2, 6)
    for _ in range(10):
        mixed, shares = mix(maps, random)
        torch.testing.assert_close(mixed[:, 0, 0], shares)
        torch.testing.assert_close(shares.sum(dim=1), torch.ones(6))


def test_the_loss_without_mixtures_is_the_one_of_clip() -> None:
    torch.manual_seed(0)
    pictures, sentences = torch.nn.functional.normalize(torch.randn(2, 8, 16), dim=2)
    none, scale = torch.zeros(0, 16), torch.tensor(10.0)
    logits = scale * pictures @ sentences.T
    known = torch.arange(8)
    wanted = torch.nn.functional.cross_entropy(logits, known) + torch.nn.functional.cross_entropy(logits.T, known)
    ours = contrastive(pictures, sentences[:, None], torch.eye(8), known, scale, none, none)
    assert ours == pytest.approx(wanted.item() / 2, abs=1e-4)


def test_sentences_of_the_same_group_are_no_negatives() -> None:
    pictures = torch.nn.functional.normalize(torch.ones(4, 8), dim=1)
    none = torch.zeros(0, 8)
    scale = torch.tensor(10.0)
    own = torch.eye(4)
    alone = contrastive(pictures, pictures[:, None], own, torch.zeros(4), scale, none, none)
    apart = contrastive(pictures, pictures[:, None], own, torch.arange(4), scale, none, none)
    assert alone == pytest.approx(0, abs=1e-4)
    assert apart == pytest.approx(np.log(4), abs=1e-4)


def test_a_picture_may_stand_near_a_sentence_that_resembles_its_own() -> None:
    dog, hound, car = torch.nn.functional.normalize(torch.tensor([[1.0, 0, 0.2], [1.0, 0.1, 0.2], [0, 1.0, 0]]), dim=1)
    sentences = torch.stack([dog, hound, car])[:, None]
    near = alike(torch.stack([dog, hound, car]), sentences, sentences, torch.eye(3), torch.tensor(14.0))
    apart = alike(torch.stack([dog, -hound, car]), sentences, sentences, torch.eye(3), torch.tensor(14.0))
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
