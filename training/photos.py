"""Photographs with words, as `photos/*.jsonl` describes them, and what is computed from them once.

Captions, labels and questions all become sentences. Sentence vectors and feature maps are cached,
because training reads them many times. Knows the data's layout; knows nothing of losses.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageEnhance
from safetensors.numpy import load_file

from search.spaces.device import choose_device, choose_dtype
from search.spaces.efficientnet import load_efficientnet, normalise
from search.spaces.inputs import Picture, fit
from search.spaces.space import unit_rows
from search.spaces.starter import IMAGE_INPUT
from search.spaces.text.minilm import DIMENSION, MiniLM
from search.spaces.weights import PRIOR, shipped

SENTENCES = 5  # of each photo
LABEL_PHRASINGS = ("{}", "a photo of {}", "a picture of {}", "this is {}", "there is {} in the picture")
TUNED_FROM = 11  # the blocks before it stay as they are, so their output is computed once
VARIED = 8  # random crops of each photo
_CHANNELS, _MAP = 88, 17  # of the maps that enter the first tuned block
# Crops are taken at a smaller side: things then look as large as in whole photos (arXiv 1906.06423), and a
# map has 196 places instead of 289.
_VARIED_SIDE, _VARIED_MAP = 224, 14


@dataclass(frozen=True)
class Photo:
    """One photograph. `group` is its label where it has one: photos of a group fit each other's words."""

    path: Path
    set: str
    part: str
    group: str
    label: str | None
    sentences: tuple[str, ...]


def read_photos(data: Path) -> list[Photo]:
    """All photos below `data/photos`, set by set."""
    photos: list[Photo] = []
    for listing in sorted((data / "photos").glob("*.jsonl")):
        for line in listing.read_text("utf-8").splitlines():
            row = json.loads(line)
            path = listing.with_suffix("") / row["file"]
            label = row.get("label")
            group = f"label {label}" if label else str(path)
            photos.append(Photo(path, listing.stem, row.get("part", "test"), group, label, _sentences(row)))
    return photos


def _sentences(row: dict[str, Any]) -> tuple[str, ...]:
    if "captions" in row:
        given = row["captions"]
    elif "label" in row:
        given = [phrasing.format(row["label"]) for phrasing in LABEL_PHRASINGS]
    else:
        # Questions and answers, dealt into as many little texts: "Where are they? Beach. ..."
        pairs = [f"{question} {answer}" for question, answer in row["qa"]]
        given = [" ".join(pairs[i::SENTENCES]) or pairs[0] for i in range(SENTENCES)]
    return tuple(given[i % len(given)] for i in range(SENTENCES))


def read_bank(data: Path, count: int) -> list[str]:
    """Captions without photographs, a sample."""
    with gzip.open(data / "text" / "captions.txt.gz", "rt", encoding="utf-8") as file:
        captions = file.read().splitlines()
    return [captions[i] for i in np.random.default_rng(0).permutation(len(captions))[:count]]


def sentence_vectors(texts: Sequence[str], cache: Path) -> torch.Tensor:
    """`(len(texts), 384) float32`, centred unit rows, as the space embeds sentences."""
    if not cache.exists():
        model = MiniLM.load()
        started = time.monotonic()
        distinct, rows = np.unique(np.array(texts), return_inverse=True)
        vectors = np.empty((len(distinct), DIMENSION), np.float32)
        for i in range(0, len(distinct), 2000):
            vectors[i : i + 2000] = model.encode(distinct[i : i + 2000].tolist())
            print(f"  sentences {i}/{len(distinct)}, {time.monotonic() - started:.0f} s", flush=True)
        np.save(cache, vectors[rows])
    centre = load_file(shipped(PRIOR))["centre"]
    return torch.from_numpy(unit_rows(np.load(cache) - centre))


def feature_maps(photos: Sequence[Photo], cache: Path, device: str = "cpu") -> np.ndarray:
    """`(n, 17, 17, 88) float16`: what enters the blocks that are tuned, one row a photo."""
    return _maps(photos, lambda image: fit(image, IMAGE_INPUT), _MAP, cache, device)


def varied_maps(photos: Sequence[Photo], number: int, folder: Path, device: str = "cpu") -> np.ndarray:
    """As `feature_maps`, of one random crop in other colours of each photo: `(n, 14, 14, 88)`."""
    random = np.random.default_rng(1000 + number)
    return _maps(photos, lambda image: vary(image, random), _VARIED_MAP, folder / f"varied{number}.npy", device)


@torch.inference_mode()
def _maps(
    photos: Sequence[Photo], prepare: Callable[[Image.Image], Picture], side: int, cache: Path, device: str
) -> np.ndarray:
    if cache.exists():
        return np.asarray(np.load(cache, mmap_mode="r"))
    chosen = choose_device(device)
    dtype = choose_dtype(chosen)
    network = load_efficientnet().to(device=chosen, dtype=dtype)
    maps = np.lib.format.open_memmap(cache.with_suffix(".part"), "w+", np.float16, (len(photos), side, side, _CHANNELS))
    for i in range(0, len(photos), 16):
        pictures = np.stack([prepare(Image.open(photo.path).convert("RGB")) for photo in photos[i : i + 16]])
        early = network.stem(normalise(torch.from_numpy(pictures).to(chosen), dtype))
        maps[i : i + 16] = network.blocks[:TUNED_FROM](early).permute(0, 2, 3, 1).float().cpu().numpy()
    maps.flush()
    cache.with_suffix(".part").rename(cache)
    return maps


def vary(
    image: Image.Image,
    random: np.random.Generator,
    side: int = _VARIED_SIDE,
    least_area: float = 0.45,
    aspect: float = 0.22,
    least_colour: float = 0.7,
) -> Picture:
    """A part of the picture, mirrored or not, brighter or darker: `(side, side, 3) uint8`."""
    area, ratio = random.uniform(least_area, 1), np.exp(random.uniform(-aspect, aspect))
    wide, high = min(1.0, np.sqrt(area * ratio)), min(1.0, np.sqrt(area / ratio))
    left, top = random.uniform(0, 1 - wide), random.uniform(0, 1 - high)
    width, height = image.size
    box = (left * width, top * height, (left + wide) * width, (top + high) * height)
    image = image.resize((side, side), Image.Resampling.BICUBIC, box)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(random.uniform(least_colour, 2 - least_colour))
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(image)
