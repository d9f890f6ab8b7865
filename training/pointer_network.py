"""The pointer as it is trained: a page is read once, and each question after it as if it were the only one.

Questions of a page stand behind it in one row, invisible to each other. Knows decoders of transformers; knows no page.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from msgspec import Struct
from torch import Tensor, nn
from torch.nn import functional

from search.language.reading.pointer_reader import FIRST_ADAPTED, Part
from search.multimodal.low_rank import attach

INNER = 192  # width in which a question's state is compared with those of statements
_ROUNDED = 16  # a row's length is a multiple, so that few shapes occur
_IMPOSSIBLE = -1e9


class Row(Struct, frozen=True):
    """A page, its questions as ids, and for each the right column: 0 nowhere, else one more than the statement's."""

    page: Part
    questions: list[list[int]]
    right: list[int]

    @property
    def length(self) -> int:
        """Tokens."""
        return len(self.page.ids) + sum(map(len, self.questions))


class PointerNetwork(nn.Module):
    """A frozen decoder with low-rank updates in its upper layers, and what compares states."""

    def __init__(self, decoder: Any, rank: int) -> None:
        """`decoder`: of a causal model of transformers, with the layers that are to be used."""
        super().__init__()
        self._decoder = decoder.requires_grad_(False)
        self._updates = {
            f"layers.{index}.{name}": update
            for index, layer in enumerate(decoder.layers[FIRST_ADAPTED:], start=FIRST_ADAPTED)
            for name, update in attach(layer, rank).items()
        }
        for update in self._updates.values():
            # Small steps are lost in bfloat16.
            update.a.data, update.b.data = update.a.data.float(), update.b.data.float()
        width = decoder.get_input_embeddings().weight.shape[1]
        self._query, self._key = (nn.Linear(width, INNER, bias=False, device=self.device) for _ in range(2))
        self._nowhere = nn.Parameter(torch.zeros(width, device=self.device))

    @property
    def device(self) -> torch.device:
        """Where the decoder is."""
        device: torch.device = self._decoder.get_input_embeddings().weight.device
        return device

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """What is trained, by the names that ship; `(rank, in)`, `(out, rank)`, `(INNER, width)`, and `(width,)`."""
        yield from (("query", self._query.weight), ("key", self._key.weight), ("nowhere", self._nowhere))
        for name, update in self._updates.items():
            yield from ((f"{name}.a", update.a), (f"{name}.b", update.b))

    def forward(self, rows: Sequence[Row]) -> Tensor:
        """Scores `(questions, 1 + statements)` of all rows and the longest page, the first column for "nowhere"."""
        states = self._states(rows)
        most = max(len(row.page.ends) for row in rows)
        scores = []
        for own, row in zip(states, rows, strict=True):
            lasts = len(row.page.ids) + np.cumsum([len(question) for question in row.questions]) - 1
            asked = own[lasts.tolist()]
            pointed = self._query(asked) @ self._key(own[row.page.ends]).T / math.sqrt(INNER)
            nowhere = (asked @ self._nowhere)[:, None]
            scores.append(
                functional.pad(torch.cat([nowhere, pointed], 1), (0, most - pointed.shape[1]), value=_IMPOSSIBLE)
            )
        return torch.cat(scores)

    def _states(self, rows: Sequence[Row]) -> Tensor:
        """`(len(rows), length, width) float32`."""
        length = -(-max(row.length for row in rows) // _ROUNDED) * _ROUNDED
        ids = torch.zeros(len(rows), length, dtype=torch.long)
        part = torch.full((len(rows), length), -1)  # 0: the page, then a number for each question
        places = torch.zeros(len(rows), length, dtype=torch.long)
        for number, row in enumerate(rows):
            at = len(row.page.ids)
            ids[number, :at], part[number, :at] = torch.tensor(row.page.ids), 0
            places[number, :at] = torch.arange(at)
            for index, question in enumerate(row.questions, start=1):
                end = at + len(question)
                ids[number, at:end], part[number, at:end] = torch.tensor(question), index
                places[number, at:end] = torch.arange(len(row.page.ids), len(row.page.ids) + len(question))
                at = end
        ids, part, places = (tensor.to(self.device) for tensor in (ids, part, places))
        seen = (part[:, None, :] == 0) | (part[:, None, :] == part[:, :, None])
        seen &= torch.ones(length, length, dtype=torch.bool, device=self.device).tril()
        states = self._decoder.get_input_embeddings()(ids)
        mask = torch.zeros(seen.shape, dtype=states.dtype, device=self.device).masked_fill(~seen, _IMPOSSIBLE)[:, None]
        angles = self._decoder.rotary_emb(states, places)
        for index, layer in enumerate(self._decoder.layers):
            with torch.set_grad_enabled(index >= FIRST_ADAPTED and torch.is_grad_enabled()):
                states = layer(states, attention_mask=mask, position_embeddings=angles, position_ids=places)
        normed: Tensor = self._decoder.norm(states)
        return normed.float()
