"""Learning a projection into the sentence space: what is learned, from which words, one step at a time.

Knows the loss, the schedule and the moving average; knows nothing of files or of which photos train.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from search.spaces.image_head import DIMENSION, ImageHead
from search.spaces.weights import PRIOR, shipped
from training.contrastive_loss import alike, contrastive
from training.photos import SENTENCES, Photo, read_bank, sentence_vectors
from training.precision import autocast
from training.trainable_blocks import Tail

SEED = 0
BANK = 20_000  # captions without photos, as negatives
BANK_BATCH = 1024
QUEUE = 1024  # pictures of earlier batches, as negatives
RATE_TAIL, RATE_EARLY = 2e-4, 1e-4
TEXT_NOISE = 0.01
ALIKE = 3.0  # weight of the likeness between sentences
HOLD_TEXT = 0.5  # weight that keeps adapted queries near the sentence space

Features = tuple[Tensor, Tensor, Tensor]  # pooled (n, 1280), logits (n, 1000), grid (n, 9, 1280)


class Projection(nn.Module):
    """What is learned beside the tail: the head, the query adapter and the temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.head = ImageHead()
        self.query = nn.Linear(DIMENSION, DIMENSION, bias=False)  # a correction: starts as nothing
        nn.init.zeros_(self.query.weight)
        self.scale = nn.Parameter(torch.tensor(15.0).log())

    def queries(self, sentences: Tensor) -> Tensor:
        """Unit rows `(..., 384)` -> what to compare with pictures."""
        return self.head.aside(self.turned(sentences))

    def turned(self, sentences: Tensor) -> Tensor:
        """As `queries`, without the axis of crowding."""
        return functional.normalize(sentences + self.query(sentences), dim=-1)


class Words:
    """Sentence vectors of the photos `(photos, 5, 384)` and of a bank of captions, centred unit rows."""

    def __init__(self, photos: Sequence[Photo], data: Path, folder: Path) -> None:
        flat = [sentence for photo in photos for sentence in photo.sentences]
        self.own = sentence_vectors(flat, folder / "sentences.npy").unflatten(0, (len(photos), SENTENCES))
        self.bank = sentence_vectors(read_bank(data, BANK), folder / "bank.npy")
        names = {group: number for number, group in enumerate(sorted({photo.group for photo in photos}))}
        self.groups = torch.tensor([names[photo.group] for photo in photos])


class Trainer:
    """One run of training: batches, schedule, moving average. `step` gets features and photo numbers."""

    def __init__(
        self, projection: Projection, words: Words, tail: Tail | None, steps: int, rate: float, seed: int = SEED
    ) -> None:
        self.projection, self.tail = projection, tail
        self.average_projection, self.average_tail = copy.deepcopy(projection).eval(), copy.deepcopy(tail)
        self._live = nn.ModuleList([projection, *([tail] if tail else [])])
        self._average = nn.ModuleList([self.average_projection, *([self.average_tail] if self.average_tail else [])])
        self.random = np.random.default_rng(seed)
        self._words, self._steps, self._done = words, steps, 0
        self._classes = load_file(shipped(PRIOR))["classes"].float()
        self._queue = torch.zeros(0, DIMENSION)
        wide = [p for p in projection.parameters() if p.ndim > 1]
        narrow = [p for p in projection.parameters() if p.ndim < 2]
        groups = [{"params": wide, "rate": rate, "weight_decay": 0.05}]
        groups += [{"params": narrow, "rate": rate, "weight_decay": 0.0}]
        if tail:
            early, late = tail.tuned()
            groups += [{"params": early, "rate": RATE_EARLY, "weight_decay": 0.01}]
            groups += [{"params": late, "rate": RATE_TAIL, "weight_decay": 0.01}]
        self._optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))

    def step(
        self, features: Features, rows: np.ndarray, shares: Tensor | None = None, extra: Tensor | float = 0.0
    ) -> float:
        """One update on the photos `rows` `(n,)`, or on mixtures by `shares` (training/contrastive_loss.py).

        `extra` is added to the loss. Gives the contrastive part.
        """
        shares = torch.eye(len(rows)) if shares is None else shares
        with autocast():
            vectors = self.projection.head(*features, self._classes).float()
        sentences = self._words.own[rows]
        sentences = functional.normalize(sentences + TEXT_NOISE * torch.randn_like(sentences), dim=2)
        bank = self._words.bank[torch.from_numpy(self.random.integers(len(self._words.bank), size=BANK_BATCH))]
        queries = self.projection.queries(sentences)
        scale = self.projection.scale.clamp(max=4.2).exp()
        loss = contrastive(
            vectors, queries, shares, self._words.groups[rows], scale, self._queue, self.projection.queries(bank)
        )
        away = (1 - (queries * sentences).sum(dim=2)).mean()
        self._schedule()
        self._optimizer.zero_grad()
        (loss + ALIKE * alike(vectors, sentences, queries, shares, scale) + HOLD_TEXT * away + extra).backward()
        nn.utils.clip_grad_norm_(self._live.parameters(), 2.0)
        self._optimizer.step()
        self._follow(vectors.detach())
        return loss.item()

    def _schedule(self) -> None:
        warm = min(1.0, (self._done + 1) / 20)
        for group in self._optimizer.param_groups:
            group["lr"] = group["rate"] * warm * 0.5 * (1 + np.cos(np.pi * self._done / self._steps))

    @torch.no_grad()
    def _follow(self, vectors: Tensor) -> None:
        self._done += 1
        self._queue = torch.cat([vectors, self._queue])[:QUEUE]
        keep = min(0.985, self._done / (self._done + 10))
        for slow, fast in zip(self._average.parameters(), self._live.parameters(), strict=True):
            slow.lerp_(fast, 1 - keep)
        for kept, now in zip(self._average.buffers(), self._live.buffers(), strict=True):
            kept.copy_(now)
