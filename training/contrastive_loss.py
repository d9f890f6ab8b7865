"""The symmetric contrastive loss of CLIP (arXiv 2103.00020), for pictures that each have several sentences."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_NEVER = -1e4  # a logit that takes no part
_SHARPNESS = 0.07  # temperature of the likeness between sentences


def contrastive(
    pictures: Tensor,
    sentences: Tensor,
    shares: Tensor,
    groups: Tensor,
    scale: Tensor,
    more_pictures: Tensor,
    more_sentences: Tensor,
) -> Tensor:
    """Mean of both directions.

    `pictures` is `(n, d)`, `sentences` `(n, m, d)`, both unit rows. `shares` `(n, n)` says how much of photo j
    is in picture i, rows sum to 1: the identity, unless photos are laid over each other (mixup, arXiv
    1710.09412). `groups` `(n,)` says whose sentences fit each other's pictures too, so that they are no
    negatives. `more_*` are `(any, d)` negatives from elsewhere: earlier batches (arXiv 1912.06798) and captions
    without a picture.
    """
    n, m, _ = sentences.shape
    flat = sentences.flatten(0, 1)
    logits = scale * pictures @ flat.T
    right = shares.repeat_interleave(m, dim=1)
    fits = (groups[:, None] == groups[None, :]).repeat_interleave(m, dim=1)

    others = torch.cat([logits.masked_fill(fits | (right > 0), _NEVER), scale * pictures @ more_sentences.T], dim=1)
    to_sentences = (torch.logaddexp(others.logsumexp(dim=1, keepdim=True), logits) - logits) * right

    back = torch.cat([logits.masked_fill(fits & (right == 0), _NEVER).T, scale * flat @ more_pictures.T], dim=1)
    to_pictures = -back.log_softmax(dim=1)[:, :n] * right.T
    return (to_sentences.sum() + to_pictures.sum()) / (2 * n * m)


def alike(pictures: Tensor, sentences: Tensor, adapted: Tensor, shares: Tensor, scale: Tensor) -> Tensor:
    """How far the batch's scores are from those of its sentences among each other, both directions.

    "A dog runs on grass" fits many photos, which the loss above calls wrong; the sentence encoder knows
    better (arXiv 2403.05261). `pictures` `(n, d)`; `sentences` `(n, m, d)` as encoded and as `adapted`;
    `shares` as above.
    """
    flat = sentences.flatten(0, 1)
    wanted = shares @ sentences.mean(dim=1) @ flat.T / _SHARPNESS
    logits = scale * pictures @ adapted.flatten(0, 1).T
    forth = functional.cross_entropy(logits, wanted.softmax(dim=1))
    return (forth + functional.cross_entropy(logits.T, wanted.T.softmax(dim=1))) / 2
