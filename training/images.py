"""Trains `search/spaces/weights/image.safetensors`: pictures into the sentence space.

    python -m training.images ../shared/data --cache /tmp/images

Three steps, under an hour on two free CPU cores. (1) The later blocks of the image network and a first head
learn from captioned photos by contrast, held to the published network's class probabilities: from whole
photos, random crops, and mixtures of two photos. (2) The blocks stay; heads are trained with some sets of
photos left out, to choose how much of the untrained prior (ConSE) the result keeps. (3) The shipped head
learns from all training photos.
Only `train` parts train, only `validation` and sets left out choose; `benchmarks/quality.py` reports.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from search.spaces.image_head import CAPTIONS, conse
from search.spaces.weights import EFFICIENTNET, IMAGE, MINILM, PRIOR, SHIPPED, file_sha256, shipped
from training.image_validation import Check, check
from training.photos import VARIED, Photo, feature_maps, read_photos, varied_maps
from training.trainable_blocks import Tail
from training.trainer import SEED, Features, Projection, Trainer, Words

CAPTIONED = "flickr8k"
EPOCHS_FIRST, EPOCHS_AGAIN, EPOCHS_HEAD = 12, 6, 4
BATCH_TAIL, BATCH_HEAD = 256, 512
TOGETHER = 64  # photos of a batch that go through the tail at once: seen whole, or all as crops, mixed or not
WHOLE, MIXED = 0.2, 0.5  # how often
SMALLEST = 13  # rows and columns that a cropped map keeps, of 17
SPREAD = 0.4  # of the shares of two mixed photos: how both parameters of a beta distribution are called
RATE_FIRST, RATE_AGAIN, RATE_HEAD = 1e-3, 5e-4, 5e-4
SHARES = (0.0, 0.4, 0.7, 1.0, 1.3, 1.6)
RELIEF = 0.5  # how much of a picture's crowding is taken off, as in CSLS
TILT = 0.3  # what queries have along the axis that carries it
# Left out together: sets that share labels (both have kitchens), and else what fills four folds.
FOLDS = (
    ("sun8", "houses"),
    ("sports100", "dreambooth", "guarani"),
    ("har15", "caltech101"),
    ("corel1k", "weather5", "visual7w"),
)

ALL_SETS = tuple(name for fold in FOLDS for name in fold)

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def main(data: Path, cache: Path) -> None:
    """All three steps; what is in the cache is not computed again."""
    started = time.monotonic()
    cache.mkdir(parents=True, exist_ok=True)
    photos = read_photos(data)
    words = Words(photos, data, cache)
    maps = feature_maps(photos, cache / "maps.npy")
    tail, first = Tail().eval(), Projection()
    if (cache / "tuned.pt").exists():
        saved = torch.load(cache / "tuned.pt", weights_only=True)
        tail.load_state_dict(saved["tail"])
        first.load_state_dict(saved["projection"])
    else:
        rows = captioned_photos(photos)
        crops = [varied_maps([photos[i] for i in rows], number, cache) for number in range(VARIED)]
        tail, first = Tuner(words, maps, rows, crops).run()
        torch.save({"tail": tail.state_dict(), "projection": first.state_dict()}, cache / "tuned.pt")
    views = see(tail, maps, flip=False), see(tail, maps, flip=True)

    before = look(photos, words, None, see(Tail().eval(), maps, False))
    left_out = [leave_out(photos, words, views, first, fold) for fold in FOLDS]
    share = choose_share(left_out)
    everything = [i for i, photo in enumerate(photos) if photo.part == "train"]
    projection = fit_head(words, views, first, everything)
    projection.head.share.fill_(share)
    relieve(projection, words, views[0], everything)
    after = look(photos, words, projection, views[0])
    export(projection, tail)
    unseen = {name: checks[share].sets[name] for checks in left_out for name in checks[share].sets}
    write_record(data, share, before, after, unseen, time.monotonic() - started)


def captioned_photos(photos: Sequence[Photo]) -> np.ndarray:
    """Numbers `(n,)` of the photos that tune the network: one set, so that every other set stays unseen."""
    return np.array([i for i, photo in enumerate(photos) if photo.part == "train" and photo.set == CAPTIONED])


class Tuner:
    """Step 1: how the later blocks learn. `maps` are of all whole photos; `crops` of those that train, `rows`."""

    def __init__(self, words: Words, maps: np.ndarray, rows: np.ndarray, crops: Sequence[np.ndarray]) -> None:
        """`maps` and each of `crops`: `(photos, h, w, channels)`; `rows`: `(n,)`."""
        self._words, self._maps, self._rows, self._crops = words, maps, rows, crops
        self._published = see(Tail().eval(), maps[rows], False)[1]

    def run(self) -> tuple[Tail, Projection]:
        """A long run, and from its middle another with photos in another order: the average of their later weights.

        Weights that came from one start can be averaged, and then fit unseen photos better than any of them (model
        soups, arXiv 2203.05482).
        """
        first = list(self._learn(Tail(), Projection(), EPOCHS_FIRST, RATE_FIRST, SEED, horizon=2 * EPOCHS_FIRST))
        middle = len(first) // 2
        start = copy.deepcopy(first[middle - 1])
        again = list(self._learn(*start, EPOCHS_AGAIN, RATE_AGAIN, SEED + 1, horizon=EPOCHS_AGAIN + 2))
        tails, projections = zip(*first[middle:], *again[1:], strict=True)
        return average(tails), average(projections)

    def _learn(
        self, tail: Tail, projection: Projection, epochs: int, rate: float, seed: int, horizon: int
    ) -> Iterator[tuple[Tail, Projection]]:
        """Epochs at a rate that falls to nothing at the horizon; gives the moving averages after every second one."""
        batches = len(self._rows) // BATCH_TAIL
        trainer = Trainer(projection.train(), self._words, tail.train(), horizon * batches, rate, seed)
        started = time.monotonic()
        for epoch in range(1, epochs + 1):
            shuffled = trainer.random.permutation(len(self._rows))[: batches * BATCH_TAIL]
            losses = [self._step(trainer, tail, batch) for batch in np.split(shuffled, batches)]
            seconds = time.monotonic() - started
            print(f"  tail, order {seed}, epoch {epoch}: loss {np.mean(losses):.3f}, {seconds:.0f} s", flush=True)
            if epoch % 2 == 0:
                assert trainer.average_tail is not None
                yield copy.deepcopy((trainer.average_tail, trainer.average_projection))

    def _step(self, trainer: Trainer, tail: Tail, batch: np.ndarray) -> float:
        seen, mixtures = [], []
        for part in np.split(batch, BATCH_TAIL // TOGETHER):
            mixed, shares = mix(self._view(part, trainer.random), trainer.random)
            seen.append(tail(mixed))
            mixtures.append(shares)
        pooled, logits, grid = (torch.cat(kind) for kind in zip(*seen, strict=True))
        shares = torch.block_diag(*mixtures)
        # Learning without forgetting (arXiv 1606.09282): ConSE lives on the class probabilities.
        wanted = shares @ (self._published[batch] / 2.5).softmax(1)
        held = functional.kl_div((logits / 2.5).log_softmax(1), wanted, reduction="batchmean")
        return trainer.step((pooled, logits, grid), self._rows[batch], shares, held)

    def _view(self, part: np.ndarray, random: np.random.Generator) -> Tensor:
        """Whole photos or one of their crops, mirrored or not."""
        if random.random() < WHOLE:
            chosen = crop(_maps(self._maps, self._rows[part]), random)
        else:
            chosen = _maps(self._crops[int(random.integers(len(self._crops)))], part)
        return chosen.flip(2) if random.random() < 0.5 else chosen


def average(modules: Sequence[ModuleT]) -> ModuleT:
    """The mean of their weights."""
    mean, states = copy.deepcopy(modules[0]), [module.state_dict() for module in modules]
    mean.load_state_dict(
        {
            name: torch.stack([state[name] for state in states]).mean(0) if tensor.is_floating_point() else tensor
            for name, tensor in states[0].items()
        }
    )
    return mean.eval()


def crop(maps: Tensor, random: np.random.Generator) -> Tensor:
    """Crop feature maps `(n, h, w, c)`, half of the time: nearly what cropping the photos would give, for nothing."""
    if random.random() < 0.5:
        side = maps.shape[1]
        height, width = random.integers(SMALLEST, side + 1, 2)
        top, left = random.integers(0, side + 1 - height), random.integers(0, side + 1 - width)
        maps = maps[:, top : top + height, left : left + width].contiguous()
    return maps


def mix(maps: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Lay photos over each other, half of the time: mixtures, and how much of photo j is in mixture i `(n, n)`.

    Manifold mixup (arXiv 1806.05236): six thousand photos are few, and a network that must find two of them
    in one map does not learn them by heart.
    """
    shares = torch.eye(len(maps))
    if random.random() < MIXED:
        share = random.beta(SPREAD, SPREAD)
        share = max(share, 1 - share)
        other = random.permutation(len(maps))
        shares = share * shares + (1 - share) * shares[other]
        maps = (share * maps.float() + (1 - share) * maps[other].float()).to(maps.dtype)
    return maps, shares


@torch.no_grad()
def see(tail: Tail, maps: np.ndarray, flip: bool) -> Features:
    """What the tail makes of all maps `(photos, h, w, channels)`."""
    seen = []
    for start in range(0, len(maps), 128):
        part = _maps(maps, np.arange(start, min(start + 128, len(maps))))
        pooled, logits, grid = tail(part.flip(2) if flip else part)
        seen.append((pooled, logits, grid.half()))
    pooled, logits, grid = (torch.cat(kind) for kind in zip(*seen, strict=True))
    return pooled, logits, grid


def fit_head(words: Words, views: tuple[Features, Features], first: Projection, rows: Sequence[int]) -> Projection:
    """Steps 2 and 3: continue from the first head, on features that stay as they are."""
    batches = len(rows) // BATCH_HEAD
    trainer = Trainer(copy.deepcopy(first).train(), words, None, EPOCHS_HEAD * batches, RATE_HEAD)
    for _ in range(EPOCHS_HEAD):
        shuffled = trainer.random.permutation(np.array(rows))[: batches * BATCH_HEAD]
        for batch in np.split(shuffled, batches):
            pooled, logits, grid = views[int(trainer.random.integers(2))]
            trainer.step((pooled[batch], logits[batch], grid[batch].float()), batch)
    return average((first, trainer.average_projection))


@torch.no_grad()
def relieve(projection: Projection, words: Words, features: Features, rows: Sequence[int]) -> None:
    """What the head must know of crowds: from captions without photos, and from the photos that trained it."""
    head, classes = projection.head, load_file(shipped(PRIOR))["classes"].float()
    head.relief.zero_()
    captions = projection.turned(words.bank)
    pooled, logits, grid = (kind[rows] for kind in features)
    vectors = head(pooled, logits, grid.float(), classes)
    together = torch.cat([vectors, captions])
    least = torch.linalg.eigh(together.T @ together)[1][:, 0]  # hardly anything has a value along it that is lost
    head.captions.copy_(captions[:CAPTIONS])
    head.usual.copy_(head.crowding(vectors).mean())
    head.axis.copy_(TILT * least)
    head.relief.fill_(RELIEF)


def leave_out(
    photos: Sequence[Photo],
    words: Words,
    views: tuple[Features, Features],
    first: Projection,
    fold: Sequence[str],
) -> dict[float, Check]:
    """Train without the sets of a fold, and look at them, with each share of the prior."""
    rows = [i for i, photo in enumerate(photos) if photo.part == "train" and photo.set not in fold]
    projection = fit_head(words, views, first, rows)
    checks = {}
    for share in SHARES:
        projection.head.share.fill_(share)
        relieve(projection, words, views[0], rows)
        checks[share] = look(photos, words, projection, views[0], fold)
        print(f"  without {', '.join(fold)}; share {share}: {checks[share]}", flush=True)
    return checks


def choose_share(left_out: Sequence[dict[float, Check]]) -> float:
    """The share that is best for validation captions and sets left out together."""
    return max(SHARES, key=lambda share: sum(checks[share].captions + checks[share].elsewhere for checks in left_out))


def look(
    photos: Sequence[Photo],
    words: Words,
    projection: Projection | None,
    features: Features,
    sets: Sequence[str] = ALL_SETS,
) -> Check:
    """Check a projection, or the prior alone."""
    classes = load_file(shipped(PRIOR))["classes"].float()
    rows = [i for i, photo in enumerate(photos) if photo.part == "validation" or photo.set in sets]
    pooled, logits, grid = (kind[rows] for kind in features)
    vectors, sentences = conse(logits, classes), words.own[rows]
    if projection is not None:
        with torch.no_grad():
            vectors = projection.head(pooled, logits, grid.float(), classes)
            sentences = projection.queries(sentences)
    looked = [photos[i] for i in rows]
    validation = np.array([i for i, photo in enumerate(looked) if photo.part == "validation"])
    return check(looked, vectors, sentences, validation, sets)


def export(projection: Projection, tail: Tail) -> None:
    """Write the weights: matrices as float16, all else as float32."""
    tensors = {f"network.{name}": tensor for name, tensor in tail.network_state().items()}
    tensors |= {f"head.{name}": tensor for name, tensor in projection.head.state_dict().items()}
    tensors["query"] = projection.query.weight.detach()
    small = {name: (t.half() if t.ndim > 1 else t).contiguous() for name, t in tensors.items()}
    save_file(small, SHIPPED / IMAGE)


def write_record(
    data: Path, share: float, before: Check, after: Check, unseen: dict[str, float], seconds: float
) -> None:
    """The record beside the weights: what they come from and how good they were when chosen."""
    record = {
        "file": IMAGE,
        "sha256": file_sha256(shipped(IMAGE)),
        "command": f"python -m training.images {data}",
        "seed": SEED,
        "minutes": round(seconds / 60),
        "base": {"image": EFFICIENTNET.sha256, "text": MINILM.sha256, "prior": file_sha256(shipped(PRIOR))},
        "loss": "symmetric contrastive, 5 sentences a photo, learned temperature; likeness of the sentences among "
        "each other as soft targets; KL to the published class probabilities while blocks 11-20 are tuned, half of "
        "the photos mixed in pairs",
        "split": "train parts train, flickr8k validation and sets left out choose, test parts only report",
        "data": json.loads((Path(__file__).parent / "photo_sets.json").read_text("utf-8")),
        "share_of_prior": share,
        "relief_of_crowding": RELIEF,
        "validation_caption_recall_at_10": {"before": before.captions, "after": after.captions},
        "left_out_sets": {
            name: {"before": round(before.sets[name], 3), "after": round(unseen[name], 3)} for name in ALL_SETS
        },
        "left_out_measure": "mean average precision of 'a photo of LABEL'; recall at 10 for guarani and visual7w",
    }
    path = (SHIPPED / IMAGE).with_suffix(".json")
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _maps(maps: np.ndarray, rows: np.ndarray) -> Tensor:
    return torch.from_numpy(maps[rows]).bfloat16()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train the image projection of the starter space.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("build/images"))
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    main(arguments.data, arguments.cache)
