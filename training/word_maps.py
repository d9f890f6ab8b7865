"""The maps from both text encoders towards pictures, and how they learn. Knows losses; knows no files."""

from __future__ import annotations

import copy
import itertools
import math
import time

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from search.spaces.image_head import DIMENSION
from search.spaces.text import e5, minilm
from search.spaces.weights import IMAGE, shipped
from training.precision import autocast
from training.vocabulary import Entries
from training.word_texts import SHARE, Texts

HIDDEN_ENGLISH, HIDDEN_EVERY = 512, 1024
TUNED = 0.6  # of 0.3, 0.5, 0.7 and 1: validation captions R@10 0.83 (1: 0.816), and half of what old queries found
RATE, DECAY, WARM = 1.5e-3, 0.05, 50
BATCH_WORDS, BATCH_CAPTIONS, BATCH_PAIRS = 256, 256, 256
CAPTIONED, OTHERS = 1500, 500  # photos that a step looks at, of the captioned set and of the others
NOISE = 0.01  # of each number of a text's vector: words that were not trained lie beside those that were
WORDS, EACH, CAPTIONS, PAIRS, HOLD = 2.0, 2.0, 1.0, 1.0, 0.5  # weights of the losses
_LIST_LEAST = 0.5  # likely photos that a word needs to be judged as a list
_ALIKE, _SAME = 0.25, 0.55  # likeness of a word to a photo's captions from which and to which it may be there unsaid
_ELSEWHERE = 0.3  # weight of what a labelled photo does not say: it says one word


class WordMaps(nn.Module):
    """From unit rows of both encoders' layers, side by side and the last first, to what is compared with pictures."""

    axis: Tensor

    def __init__(self) -> None:
        super().__init__()
        weights = load_file(shipped(IMAGE))
        self.english = _Map(HIDDEN_ENGLISH, len(minilm.LAYERS))
        self.every = _Map(HIDDEN_EVERY, len(e5.LAYERS))
        self.english.map.weight.data.zero_()
        self.english.map.weight.data[:, :DIMENSION].copy_(weights["query"].float())
        self.scale = nn.Parameter(torch.tensor(30.0).log())
        self.each_scale = nn.Parameter(torch.tensor(12.0).log())
        self.each_bias = nn.Parameter(torch.tensor(-5.0))
        self.register_buffer("axis", weights["head.axis"].float())

    def from_english(self, x: Tensor) -> Tensor:
        """Unit rows `(n, layers * 384)` -> `(n, 384)`: a correction, so what was not trained stays where it was."""
        return functional.normalize(x[..., :DIMENSION] + self.english(x), dim=-1)

    def from_every(self, x: Tensor) -> Tensor:
        """Unit rows `(n, layers * 384)` -> `(n, 384)`. The map alone: the encoders' spaces have nothing in common."""
        return functional.normalize(self.every(x), dim=-1)

    def mixed(self, english: Tensor, every: Tensor, share: Tensor | float) -> Tensor:
        """As `share` of the English encoder says."""
        return functional.normalize(share * self.from_english(english) + (1 - share) * self.from_every(every), dim=-1)

    def queries(self, english: Tensor, every: Tensor, share: Tensor | float) -> Tensor:
        """As `mixed`, on the axis of crowding."""
        return self.on_axis(self.mixed(english, every, share))

    def on_axis(self, x: Tensor) -> Tensor:
        """As `search.spaces.text.sentences.on_axis`."""
        along = (x @ self.axis) / self.axis.dot(self.axis)
        return functional.normalize(functional.normalize(x - along[:, None] * self.axis, dim=1) + self.axis, dim=1)

    def between(self, start: WordMaps) -> WordMaps:
        """The tuned share of the way from the start to here.

        What was learned keeps most of its worth, and what was not trained ("a rocket") is found again: arXiv
        2109.01903. The layers beside the linear maps are nothing at the start.
        """
        mixed_maps = copy.deepcopy(self)
        for ours, first in ((mixed_maps.english, start.english), (mixed_maps.every, start.every)):
            ours.map.weight.data.lerp_(first.map.weight.data, 1 - TUNED)
            ours.narrow.weight.data *= TUNED
            ours.narrow.bias.data *= TUNED
        return mixed_maps

    def state(self) -> dict[str, Tensor]:
        """The weights, matrices `(out, in)`, named as `EverydaySentences` reads them."""
        tensors: dict[str, Tensor] = {}
        for name, layer in (("english", self.english), ("every", self.every)):
            tensors |= {
                f"{name}.map": layer.map.weight,
                f"{name}.widen": layer.widen.weight,
                f"{name}.widen_bias": layer.widen.bias,
                f"{name}.narrow": layer.narrow.weight,
                f"{name}.bias": layer.narrow.bias,
            }
        return {name: tensor.detach() for name, tensor in tensors.items()}


class _Map(nn.Module):
    """A linear map, and two layers beside it that start as nothing."""

    def __init__(self, hidden: int, layers: int) -> None:
        super().__init__()
        self.map = nn.Linear(layers * DIMENSION, DIMENSION, bias=False)
        self.widen = nn.Linear(layers * DIMENSION, hidden)
        self.narrow = nn.Linear(hidden, DIMENSION)
        nn.init.zeros_(self.narrow.weight)
        nn.init.zeros_(self.narrow.bias)

    def forward(self, x: Tensor) -> Tensor:
        with autocast(torch.is_grad_enabled()):
            wide = self.widen(x)
            learned: Tensor = self.map(x) + self.narrow(wide * torch.sigmoid(1.702 * wide))
        return learned.float()


class Trainer:
    """One run. `used` says which photos may train, of those whose part is `train`."""

    def __init__(self, texts: Texts, entries: Entries, used: np.ndarray) -> None:
        """`used`: `(photos,) bool`."""
        self._random = np.random.default_rng(0)
        self._pictures = texts.pictures
        photos = texts.photos
        trains = used & np.array([photo.part == "train" for photo in photos])
        captioned = np.array([photo.set == "flickr8k" for photo in photos])
        self._captioned, self._others = np.flatnonzero(trains & captioned), np.flatnonzero(trains & ~captioned)
        groups = {group: number for number, group in enumerate(sorted({photo.group for photo in photos}))}
        self._groups = torch.tensor([groups[photo.group] for photo in photos])
        self._elsewhere = torch.from_numpy(~captioned).float()
        self._english, self._every, starts = _of_photos(texts)
        self._starts = starts
        self._meant = functional.normalize(
            torch.stack(
                [self._english[first:last, :DIMENSION].mean(dim=0) for first, last in itertools.pairwise(starts)]
            ),
            dim=1,
        )
        self._told, self._told_starts = _in_other_languages(texts)
        self._set_words(texts, entries, trains)
        self._set_pairs(texts)
        self.maps = self._started()

    def run(self, steps: int) -> WordMaps:
        """Train; gives the maps."""
        wide = [p for p in self.maps.parameters() if p.ndim > 1]
        narrow = [p for p in self.maps.parameters() if p.ndim < 2]
        groups = [{"params": wide, "weight_decay": DECAY}, {"params": narrow, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98))
        start, started = copy.deepcopy(self.maps), time.monotonic()
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, (step + 1) / WARM) * 0.5 * (1 + np.cos(np.pi * step / steps))
            losses = self._losses()
            optimizer.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            nn.utils.clip_grad_norm_(self.maps.parameters(), 2.0)
            optimizer.step()
            if step % 100 == 0:
                said = ", ".join(f"{name} {loss.item():.3f}" for name, loss in losses.items())
                print(f"  step {step}: {said}; {time.monotonic() - started:.0f} s", flush=True)
        return self.maps.eval().between(start)

    def _losses(self) -> dict[str, Tensor]:
        looked = self._random.choice(self._captioned, CAPTIONED, replace=False)
        if len(self._others):
            looked = np.concatenate([looked, self._random.choice(self._others, OTHERS, replace=False)])
        rows = torch.from_numpy(looked)
        pictures = self._pictures[int(self._random.integers(len(self._pictures)))][rows]
        as_list, each = self._of_words(rows, pictures)
        pairs, hold = self._of_pairs()
        captions = self._of_captions(looked, pictures)
        return {
            "words": WORDS * as_list,
            "each": EACH * each,
            "captions": CAPTIONS * captions,
            "pairs": PAIRS * pairs,
            "hold": HOLD * hold,
        }

    def _of_words(self, rows: Tensor, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """All photos of a word are right, each as far as is likely: as a list, and one by one."""
        chosen = torch.from_numpy(self._random.choice(len(self._weight), BATCH_WORDS, replace=False, p=self._weight))
        english = self._is_english[chosen]
        share = torch.where(english, self._shares(len(chosen)), torch.zeros(len(chosen)))[:, None]
        asked = self.maps.queries(_noisy(self._word_english[chosen]), _noisy(self._word_every[chosen]), share)
        likely = self._likely[self._targets[chosen]][:, rows]
        alike = self._word_english[chosen][:, :DIMENSION] @ self._meant[rows].T
        sure = 1 - ((alike - _ALIKE) / (_SAME - _ALIKE)).clamp(0, 1)
        sure = sure * (1 - (1 - _ELSEWHERE) * self._elsewhere[rows])
        sure = torch.where(likely > 0, torch.ones_like(sure), sure)
        scores = asked @ pictures.T
        shares = (self._scale() * scores + (sure + 1e-4).log()).log_softmax(dim=1)
        mass = likely.sum(dim=1)
        judged = (mass > _LIST_LEAST).float()
        as_list = -(shares * likely).sum(dim=1) / mass.clamp(min=_LIST_LEAST)
        logits = self.maps.each_scale.exp() * scores + self.maps.each_bias
        each = functional.binary_cross_entropy_with_logits(logits, likely, weight=sure, reduction="sum")
        return (as_list * judged).sum() / judged.sum(), each / len(chosen) / 25

    def _of_captions(self, looked: np.ndarray, pictures: Tensor) -> Tensor:
        """A caption, in English or another language, finds its photo among all that are looked at."""
        places = self._random.choice(len(looked), BATCH_CAPTIONS, replace=False)
        said = torch.tensor([self._random.integers(self._starts[p], self._starts[p + 1]) for p in looked[places]])
        share = self._shares(len(said))[:, None]
        english = self.maps.queries(_noisy(self._english[said]), _noisy(self._every[said]), share)
        spans = [
            (position, self._told_starts[looked[position]], self._told_starts[looked[position] + 1])
            for position in places
        ]
        told = [(position, int(self._random.integers(first, last))) for position, first, last in spans if first < last]
        other = self.maps.on_axis(self.maps.from_every(_noisy(self._told[[row for _, row in told]])))
        own = torch.tensor([*places.tolist(), *(position for position, _ in told)])
        groups = self._groups[torch.from_numpy(looked)]
        logits = self._scale() * torch.cat([english, other]) @ pictures.T
        also = groups[own][:, None] == groups[None, :]
        also[torch.arange(len(own)), own] = False
        return functional.cross_entropy(logits.masked_fill(also, -1e4), own)

    def _of_pairs(self) -> tuple[Tensor, Tensor]:
        """What means the same is compared with pictures by the same vector; and both maps stay near the sentences."""
        chosen = self._random.integers(len(self._pair_english), size=BATCH_PAIRS)
        rows = [int(self._random.integers(*self._pair_spans[row])) for row in chosen]
        english, every = self._pair_english[chosen], self._pair_every[chosen]
        with torch.no_grad():
            wanted = self.maps.mixed(english, every, SHARE)
            near = self.maps.from_english(english)
        other = self.maps.from_every(_noisy(self._pair_other[rows]))
        among = functional.cross_entropy(20 * other @ wanted.T, torch.arange(len(rows)))
        pairs = 2 * (1 - (other * wanted).sum(dim=1)).mean() + among
        hold = (1 - (self.maps.from_english(english) * english[:, :DIMENSION]).sum(dim=1)).mean()
        return pairs, hold + (1 - (self.maps.from_every(every) * near).sum(dim=1)).mean()

    def _shares(self, count: int) -> Tensor:
        """Of the English encoder: mostly as it is used, sometimes each encoder alone."""
        return torch.from_numpy(self._random.choice([1.0, SHARE, SHARE, 0.0], count).astype(np.float32))

    def _scale(self) -> Tensor:
        return self.maps.scale.clamp(max=4.2).exp()

    def _set_words(self, texts: Texts, entries: Entries, trains: np.ndarray) -> None:
        self._word_english, self._word_every = texts.english_layers(entries.texts), texts.every_layers(entries.texts)
        self._likely = torch.from_numpy(entries.likely)
        self._targets = torch.from_numpy(entries.targets)
        self._is_english = torch.from_numpy(entries.languages == "en")
        enough = entries.likely[:, trains].sum(axis=1)[entries.targets] >= 3
        weight = np.where(entries.phrases, 0.5, 1.0) * np.where(entries.languages == "en", 1.5, 0.7) * enough
        self._weight = weight / weight.sum()

    def _set_pairs(self, texts: Texts) -> None:
        pairs = [(english, others) for english, others in texts.parallel if others]
        self._pair_english, self._pair_every = (
            encode([english for english, _ in pairs]) for encode in (texts.english_layers, texts.every_layers)
        )
        ends = np.cumsum([0, *(len(others) for _, others in pairs)])
        self._pair_spans = list(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True))
        self._pair_other = texts.every_layers([other for _, others in pairs for other in others])

    def _started(self) -> WordMaps:
        """The multilingual map begins as the ridge regression on the English one."""
        maps = WordMaps()
        x = torch.cat([self._every, self._pair_every])
        with torch.no_grad():
            y = maps.from_english(torch.cat([self._english, self._pair_english]))
        gram = x.T @ x + 1e-3 * len(x) * torch.eye(x.shape[1])
        maps.every.map.weight.data.copy_(torch.linalg.solve(gram, x.T @ y).T)
        return maps.train()


def _of_photos(texts: Texts) -> tuple[Tensor, Tensor, list[int]]:
    """Vectors of all photos' sentences by both encoders, and where each photo's begin."""
    starts = np.cumsum([0, *(len(texts.read(photo)) for photo in texts.photos)]).tolist()
    return texts.english_layers(texts.captions), texts.every_layers(texts.captions), starts


def _in_other_languages(texts: Texts) -> tuple[Tensor, list[int]]:
    told = texts.other_languages()
    starts = np.cumsum([0, *map(len, told)]).tolist()
    return texts.every_layers([text for many in told for text in many]), starts


def _noisy(x: Tensor) -> Tensor:
    """Each layer is a unit row, so all together are as long as the root of their number."""
    return functional.normalize(x + NOISE * torch.randn_like(x), dim=1) * math.sqrt(x.shape[1] / DIMENSION)
