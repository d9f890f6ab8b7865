"""Trains `search/spaces/weights/image.safetensors`: pictures into the sentence space.

    python -m training.images ../shared/data --cache /tmp/images

Three steps, under two hours on two free CPU cores. (1) The last blocks of the image network and a first
head learn from captioned photos by contrast, held to the published network's class probabilities: first
from whole photos, then from random crops too; the blocks that stay are an average of both.
(2) The blocks stay; heads are trained with some sets of photos left out, to choose how much of the
untrained prior (ConSE) the result keeps. (3) The shipped head learns from all training photos.
Only `train` parts train, only `validation` and sets left out choose; `benchmarks/quality.py` reports.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from search.spaces.image_head import conse
from search.spaces.weights import EFFICIENTNET, IMAGE, MINILM, PRIOR, SHIPPED, file_sha256, shipped
from training.image_check import Check, check
from training.image_tail import Tail
from training.learner import SEED, Features, Learner, Projection, Words
from training.photos import VARIED, Photo, feature_maps, read_photos, varied_maps

CAPTIONED = "flickr8k"
EPOCHS_WHOLE, EPOCHS_VARIED, EPOCHS_HEAD = 10, 15, 4
SHARE_VARIED, SHARE_LAST = 0.4, 0.5  # of the later weights, where weights of two stages are averaged
BATCH_TAIL, BATCH_HEAD = 256, 512
RATE_FIRST, RATE_HEAD = 1e-3, 5e-4
SHARES = (0.0, 0.4, 0.7, 1.0, 1.3, 1.6)
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
        tail, first = tune_twice(photos, words, maps, cache)
        torch.save({"tail": tail.state_dict(), "projection": first.state_dict()}, cache / "tuned.pt")
    views = see(tail, maps, flip=False), see(tail, maps, flip=True)

    before = look(photos, words, None, see(Tail().eval(), maps, False))
    left_out = [leave_out(photos, words, views, first, fold) for fold in FOLDS]
    share = choose_share(left_out)
    everything = [i for i, photo in enumerate(photos) if photo.part == "train"]
    projection = fit_head(words, views, first, everything)
    projection.head.share.fill_(share)
    after = look(photos, words, projection, views[0])
    export(projection, tail)
    unseen = {name: checks[share].sets[name] for checks in left_out for name in checks[share].sets}
    write_record(data, share, before, after, unseen, time.monotonic() - started)


def tune_twice(photos: Sequence[Photo], words: Words, maps: np.ndarray, cache: Path) -> tuple[Tail, Projection]:
    """Step 1: on whole photos, then from there on random crops too; weights between the two ends."""
    rows = captioned_photos(photos)
    whole, _ = tune(Tail(), words, maps, rows, [], EPOCHS_WHOLE)
    crops = [varied_maps([photos[i] for i in rows], number, cache) for number in range(VARIED)]
    varied, first = tune(copy.deepcopy(whole).train(), words, maps, rows, crops, EPOCHS_VARIED)
    return between(whole, varied, SHARE_VARIED), first


def captioned_photos(photos: Sequence[Photo]) -> np.ndarray:
    """Numbers of the photos that tune the network: one set, so that every other set stays unseen."""
    return np.array([i for i, photo in enumerate(photos) if photo.part == "train" and photo.set == CAPTIONED])


def tune(
    tail: Tail, words: Words, maps: np.ndarray, rows: np.ndarray, varied: Sequence[np.ndarray], epochs: int
) -> tuple[Tail, Projection]:
    """Tune the last blocks, from `tail` on, with a new head.

    `maps` are of all whole photos; `rows` says which of them train; `varied` are crops of those alone.
    """
    batches = len(rows) // BATCH_TAIL
    wanted = see(Tail().eval(), maps[rows], False)[1]
    learner = Learner(Projection(), words, tail, epochs * batches, RATE_FIRST)
    started = time.monotonic()
    for epoch in range(epochs):
        shuffled = learner.random.permutation(len(rows))[: batches * BATCH_TAIL]
        for batch in np.split(shuffled, batches):
            seen = [tail(view(maps, rows, varied, part, learner.random)) for part in np.split(batch, 4)]
            pooled, logits, grid = (torch.cat(kind) for kind in zip(*seen, strict=True))
            # Learning without forgetting (arXiv 1606.09282): ConSE lives on the class probabilities.
            held = functional.kl_div(
                (logits / 2.5).log_softmax(1), (wanted[batch] / 2.5).softmax(1), reduction="batchmean"
            )
            loss = learner.step((pooled, logits, grid), rows[batch], held)
        print(f"  tail epoch {epoch + 1}: loss {loss:.3f}, {time.monotonic() - started:.0f} s", flush=True)
    assert learner.average_tail is not None
    return learner.average_tail.eval(), learner.average_projection


def between(first: ModuleT, second: ModuleT, share: float) -> ModuleT:
    """Weights on the line from `first` to `second`: better on unseen photos than either end (arXiv 2109.01903)."""
    mixed, other = copy.deepcopy(first), second.state_dict()
    mixed.load_state_dict(
        {
            name: torch.lerp(tensor, other[name], share) if tensor.is_floating_point() else tensor
            for name, tensor in first.state_dict().items()
        }
    )
    return mixed.eval()


def view(
    maps: np.ndarray, rows: np.ndarray, varied: Sequence[np.ndarray], part: np.ndarray, random: np.random.Generator
) -> Tensor:
    """The whole photos or one of their crops, for a part of a batch, mirrored or not."""
    number = int(random.integers(len(varied) + 1))
    chosen = _maps(varied[number], part) if number < len(varied) else crop(_maps(maps, rows[part]), random)
    return chosen.flip(2) if random.random() < 0.5 else chosen


def crop(maps: Tensor, random: np.random.Generator) -> Tensor:
    """Crop whole feature maps, half of the time: nearly what cropping the photos would give, for nothing."""
    if random.random() < 0.5:
        height, width = random.integers(7, 10, 2)
        top, left = random.integers(0, 10 - height), random.integers(0, 10 - width)
        maps = maps[:, top : top + height, left : left + width].contiguous()
    return maps


@torch.no_grad()
def see(tail: Tail, maps: np.ndarray, flip: bool) -> Features:
    """What the tail makes of all photos."""
    seen = []
    for start in range(0, len(maps), 128):
        part = _maps(maps, np.arange(start, min(start + 128, len(maps))))
        pooled, logits, grid = tail(part.flip(2) if flip else part)
        seen.append((pooled, logits, grid.half()))
    pooled, logits, grid = (torch.cat(kind) for kind in zip(*seen, strict=True))
    return pooled, logits, grid


def fit_head(words: Words, views: tuple[Features, Features], first: Projection, rows: Sequence[int]) -> Projection:
    """Steps 2 and 3: go on from the first head, on features that stay as they are."""
    batches = len(rows) // BATCH_HEAD
    learner = Learner(copy.deepcopy(first).train(), words, None, EPOCHS_HEAD * batches, RATE_HEAD)
    for _ in range(EPOCHS_HEAD):
        shuffled = learner.random.permutation(np.array(rows))[: batches * BATCH_HEAD]
        for batch in np.split(shuffled, batches):
            pooled, logits, grid = views[int(learner.random.integers(2))]
            learner.step((pooled[batch], logits[batch], grid[batch].float()), batch)
    return between(first, learner.average_projection, SHARE_LAST)


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
        "each other as soft targets; KL to the published class probabilities while blocks 16-20 are tuned",
        "split": "train parts train, flickr8k validation and sets left out choose, test parts only report",
        "data": json.loads((Path(__file__).parent / "photo_sets.json").read_text("utf-8")),
        "share_of_prior": share,
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
