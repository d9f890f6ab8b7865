"""The symmetric contrastive loss of CLIP (arXiv 2103.00020), for pictures that each have several sentences."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_NEVER = -1e4  # a logit that takes no part
_SHARPNESS = 0.07  # temperature of the likeness between sentences


def contrastive(
    pictures: Tensor, sentences: Tensor, groups: Tensor, scale: Tensor, more_pictures: Tensor, more_sentences: Tensor
) -> Tensor:
    """Mean of both directions.

    `pictures` is `(n, d)`, `sentences` `(n, m, d)`, both unit rows; `groups` `(n,)` says whose sentences
    fit each other's pictures too, so that they are no negatives. `more_*` are `(any, d)` negatives from
    elsewhere: earlier batches (arXiv 1912.06798) and captions without a picture.
    """
    n, m, _ = sentences.shape
    flat = sentences.flatten(0, 1)
    logits = scale * pictures @ flat.T
    own = torch.eye(n, dtype=torch.bool, device=logits.device).repeat_interleave(m, dim=1)
    fits = (groups[:, None] == groups[None, :]).repeat_interleave(m, dim=1)

    others = torch.cat([logits.masked_fill(fits, _NEVER), scale * pictures @ more_sentences.T], dim=1)
    positive = logits[own].view(n, m)
    to_sentences = torch.logaddexp(others.logsumexp(dim=1, keepdim=True), positive) - positive

    back = torch.cat([logits.masked_fill(fits & ~own, _NEVER).T, scale * flat @ more_pictures.T], dim=1)
    to_pictures = functional.cross_entropy(back, torch.arange(n, device=back.device).repeat_interleave(m))
    return (to_sentences.mean() + to_pictures) / 2


def alike(pictures: Tensor, sentences: Tensor, adapted: Tensor, scale: Tensor) -> Tensor:
    """How far the batch's scores are from those of its sentences among each other, both directions.

    "A dog runs on grass" fits many photos, which the loss above calls wrong; the sentence encoder knows
    better (arXiv 2403.05261). `pictures` `(n, d)`; `sentences` `(n, m, d)` as encoded and as `adapted`.
    """
    flat = sentences.flatten(0, 1)
    wanted = sentences.mean(dim=1) @ flat.T / _SHARPNESS
    logits = scale * pictures @ adapted.flatten(0, 1).T
    forth = functional.cross_entropy(logits, wanted.softmax(dim=1))
    return (forth + functional.cross_entropy(logits.T, wanted.T.softmax(dim=1))) / 2
