"""How good image vectors are while training chooses: on validation captions, and on photos of other worlds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.measures import average_precisions, own_ranks, recall_at
from training.photos import LABEL_PHRASINGS, SENTENCES, Photo

Rows = np.ndarray  # (n,) int, numbers of photos
QUERY = LABEL_PHRASINGS.index("a photo of {}")


@dataclass(frozen=True)
class Check:
    """Text to image: recall at 10 for captions, mean average precision for labels, both in [0, 1]."""

    captions: float
    sets: dict[str, float]

    @property
    def elsewhere(self) -> float:
        """Mean over the sets."""
        return float(np.mean(list(self.sets.values()))) if self.sets else 0.0


@torch.no_grad()
def check(photos: Sequence[Photo], vectors: Tensor, sentences: Tensor, captioned: Rows, sets: Sequence[str]) -> Check:
    """`vectors` `(n, d)` and `sentences` `(n, 5, d)` of all photos; which captions and sets to look at."""
    return Check(
        _caption_recall(vectors, sentences, captioned),
        {name: _in_set(photos, vectors, sentences, name) for name in sets},
    )


def _caption_recall(vectors: Tensor, sentences: Tensor, rows: Rows) -> float:
    scores = (sentences[rows].flatten(0, 1) @ vectors[rows].T).numpy()
    return recall_at(own_ranks(scores, np.arange(len(rows)).repeat(SENTENCES)), 10)


def _in_set(photos: Sequence[Photo], vectors: Tensor, sentences: Tensor, name: str) -> float:
    rows = np.array([i for i, photo in enumerate(photos) if photo.set == name])
    labels = np.array([photos[i].label or "" for i in rows])
    if not all(labels):
        return _caption_recall(vectors, sentences, rows)
    names, first = np.unique(labels, return_index=True)
    scores = (sentences[rows[first], QUERY] @ vectors[rows].T).numpy()
    return float(average_precisions(scores, names[:, None] == labels[None, :]).mean())
