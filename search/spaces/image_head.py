"""From what an image network sees to the sentence space: ConSE, and a head that was trained on top.

ConSE (arXiv 1312.5650) mixes the sentence vectors of the likeliest ImageNet classes: broad, but blind
to people, actions and places. The head adds what captions say that classes don't; a share of ConSE in
the result keeps photos of other worlds findable. Trained by `training/images.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from search.spaces.efficientnet import CLASSES, FEATURES

DIMENSION = 384
GRID = 3  # cells a side: where in the picture something is
CELL = 128  # features kept of each cell
HIDDEN = 768
_DROPOUT = 0.3  # in training only
_TEMPERATURE = 2.5  # of the softmax: the network is surer of one class than a caption should be
_TOP = 50  # classes that take part in ConSE; the tail is noise


def conse(logits: Tensor, classes: Tensor) -> Tensor:
    """`(n, 1000)` logits and `(1000, 384)` class vectors -> `(n, 384)`, unit rows."""
    likeliest = (logits / _TEMPERATURE).softmax(dim=1).topk(_TOP, dim=1)
    return functional.normalize(torch.einsum("nk,nkd->nd", likeliest.values, classes[likeliest.indices]), dim=1)


class ImageHead(nn.Module):
    """Pooled features, class probabilities and a coarse grid of features -> a correction of ConSE."""

    share: Tensor

    def __init__(self) -> None:
        super().__init__()
        width = FEATURES + CLASSES + GRID * GRID * CELL
        self.cell = nn.Linear(FEATURES, CELL)
        self.norm = nn.BatchNorm1d(width, affine=False, momentum=0.05)
        self.hidden = nn.Linear(width, HIDDEN)
        self.out = nn.Linear(HIDDEN, DIMENSION)
        self.dropout = nn.Dropout(_DROPOUT)
        self.gate = nn.Parameter(torch.ones(()))  # how much of ConSE the correction starts from
        self.register_buffer("share", torch.zeros(()))  # how much of it the result gets back; chosen on other worlds

    def forward(self, pooled: Tensor, logits: Tensor, grid: Tensor, classes: Tensor) -> Tensor:
        """`(n, 1280)`, `(n, 1000)`, `(n, 9, 1280)`, `(1000, 384)` -> `(n, 384)`, unit rows."""
        cells = functional.gelu(self.cell(grid)).flatten(1)
        probabilities = (logits / _TEMPERATURE).softmax(dim=1).sqrt()  # sqrt: small ones matter too
        seen = self.dropout(self.norm(torch.cat([pooled, probabilities, cells], dim=1)))
        correction = self.out(self.dropout(functional.gelu(self.hidden(seen))))
        prior = conse(logits, classes)
        vectors = functional.normalize(self.gate * prior + correction, dim=1)
        return functional.normalize(vectors + self.share * prior, dim=1)


def grid_of(feature_map: Tensor) -> Tensor:
    """`(n, 1280, h, w)` -> `(n, 9, 1280)`: the means of the cells, row by row."""
    return functional.adaptive_avg_pool2d(feature_map, GRID).flatten(2).transpose(1, 2)
