"""From image features to the sentence space: ConSE, and a head that was trained on top.

ConSE (arXiv 1312.5650) mixes the sentence vectors of the likeliest ImageNet classes: broad, but blind
to people, actions and places. The head adds what captions say that classes don't; a share of ConSE in
the result keeps photos of other worlds findable. Trained by `training/images.py`.

Some pictures are near every caption, and would be found for everything (hubs, arXiv 1412.6568). CSLS (arXiv
1710.04087) takes half of a picture's nearness to its neighbours off every score. Here a bank of captions stands
for the neighbours, and what is taken off lies in the picture's own vector, along one axis on which all queries
have the same value: so any index of inner products searches corrected scores.
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
CAPTIONS = 2048  # in the bank
_SHARPNESS = 20.0  # of the smooth maximum over the bank: its few closest captions count
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
    captions: Tensor
    axis: Tensor
    usual: Tensor
    relief: Tensor

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
        self.register_buffer("captions", torch.zeros(CAPTIONS, DIMENSION))  # as queries, before `aside`
        self.register_buffer("axis", torch.zeros(DIMENSION))  # its length is what queries have along it; 0: no relief
        self.register_buffer("usual", torch.zeros(()))  # crowding of a usual picture
        self.register_buffer("relief", torch.zeros(()))  # how much of the crowding is taken off

    def forward(self, pooled: Tensor, logits: Tensor, grid: Tensor, classes: Tensor) -> Tensor:
        """`(n, 1280)`, `(n, 1000)`, `(n, 9, 1280)`, `(1000, 384)` -> `(n, 384)`, unit rows."""
        cells = functional.gelu(self.cell(grid)).flatten(1)
        probabilities = (logits / _TEMPERATURE).softmax(dim=1).sqrt()  # sqrt: small ones matter too
        seen = self.dropout(self.norm(torch.cat([pooled, probabilities, cells], dim=1)))
        correction = self.out(self.dropout(functional.gelu(self.hidden(seen))))
        prior = conse(logits, classes)
        vectors = functional.normalize(self.gate * prior + correction, dim=1)
        return self.relieved(functional.normalize(vectors + self.share * prior, dim=1))

    def aside(self, queries: Tensor) -> Tensor:
        """Unit rows `(..., 384)` as they are compared with pictures: the same value for all along the axis."""
        return functional.normalize(self.off_axis(queries) + self.axis, dim=-1) if self.relief else queries

    def crowding(self, vectors: Tensor) -> Tensor:
        """How near `(n, 384)` unit rows are to the captions that they are nearest to, `(n,)`."""
        return (_SHARPNESS * vectors @ self.captions.T).logsumexp(dim=1) / _SHARPNESS

    def relieved(self, vectors: Tensor) -> Tensor:
        """`(n, 384)` unit rows of pictures -> the same with their crowding along the axis."""
        if not self.relief:
            return vectors
        off = self.relief * (self.crowding(vectors) - self.usual) / self.axis.dot(self.axis)
        return functional.normalize(self.off_axis(vectors) - off[:, None] * self.axis, dim=1)

    def off_axis(self, vectors: Tensor) -> Tensor:
        """`(..., 384)` vectors -> unit rows without their part along the axis."""
        along = (vectors @ self.axis) / self.axis.dot(self.axis)
        return functional.normalize(vectors - along[..., None] * self.axis, dim=-1)


def grid_of(feature_map: Tensor) -> Tensor:
    """`(n, 1280, h, w)` -> `(n, 9, 1280)`: the means of the cells, row by row."""
    return functional.adaptive_avg_pool2d(feature_map, GRID).flatten(2).transpose(1, 2)
