"""Precision and recall of perceptual duplicates on altered copies, and how matching time grows.

    python -m benchmarks.duplicates --data ../shared/data [--photos 1500] [--json duplicates.json]

Every photo gets one altered copy; all originals and copies are matched together. A pair is right if it
is a photo and its own copy, or two photos whose pixels are the same.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from search.duplicates.matching import perceptual_pairs
from search.duplicates.perceptual_hash import VERSION, VIEWS, perceptual_hash

GROWTH = (10_000, 40_000, 160_000)
Alteration = Callable[[Image.Image, random.Random], Image.Image]


def main() -> None:
    """Print the table; write JSON if asked to."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--photos", type=int, default=1500)
    arguments.add_argument("--json", type=Path)
    chosen = arguments.parse_args()
    measured, times = copies(chosen.data, chosen.photos), growth()
    for name, row in measured.items():
        print(f"{name:24}", ", ".join(f"{key} {value}" for key, value in row.items()))
    for row in times:
        print(", ".join(f"{key} {value}" for key, value in row.items()))
    if chosen.json:
        chosen.json.write_text(json.dumps({"copies": measured, "growth": times}, indent=1) + "\n", "utf-8")


def copies(data: Path, count: int) -> dict[str, dict[str, float]]:
    """Per alteration: how many copies were found; over all: precision."""
    chance = random.Random(0)
    files = sorted(path for path in (data / "photos").rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    files = chance.sample(files, min(count, len(files)))
    hashes: dict[int, bytes] = {}
    names: dict[int, str] = {}
    same: dict[bytes, list[int]] = {}
    for number, path in enumerate(files, start=1):
        picture = Image.open(path).convert("RGB")
        name = list(ALTERATIONS)[number % len(ALTERATIONS)]
        hashes[number] = perceptual_hash(np.asarray(picture))
        hashes[-number] = perceptual_hash(np.asarray(ALTERATIONS[name](picture, chance)))
        names[number] = name
        same.setdefault(picture.tobytes(), []).append(number)
    twins = {number: twin[0] for twin in same.values() for number in twin}
    pairs = {(pair.first, pair.second) for pair in perceptual_pairs(hashes)}
    right = {pair for pair in pairs if twins[abs(pair[0])] == twins[abs(pair[1])]}
    report: dict[str, dict[str, float]] = {}
    for name in ALTERATIONS:
        mine = [number for number in names if names[number] == name]
        report[name] = {"copies": len(mine), "recall": _share(mine, lambda number: (-number, number) in pairs)}
    everything = _share(list(names), lambda number: (-number, number) in pairs)
    report["all"] = {"pairs": len(pairs), "precision": round(len(right) / max(1, len(pairs)), 4), "recall": everything}
    return report


def _share(numbers: list[int], is_found: Callable[[int], bool]) -> float:
    return round(sum(is_found(number) for number in numbers) / max(1, len(numbers)), 3)


def growth() -> list[dict[str, float]]:
    """Seconds for matching synthetic hashes: random bits, with the crops of a picture alike."""
    rows = []
    for count in GROWTH:
        bits = np.random.default_rng(0)
        whole = bits.integers(0, 256, (count, 1, 16), dtype=np.uint8)
        flips = bits.integers(0, 256, (4, count, VIEWS - 1, 16), dtype=np.uint8)
        views = np.concatenate([whole, whole ^ (flips[0] & flips[1] & flips[2] & flips[3])], axis=1)
        hashes = {number: bytes([VERSION]) + view.tobytes() for number, view in enumerate(views)}
        started, busy = time.perf_counter(), time.process_time()
        pairs = perceptual_pairs(hashes)
        rows.append(
            {
                "assets": count,
                "seconds": round(time.perf_counter() - started, 1),
                "cpu_seconds": round(time.process_time() - busy, 1),
                "pairs": len(pairs),
            }
        )
    return rows


def _resized(picture: Image.Image, chance: random.Random) -> Image.Image:
    factor = chance.uniform(0.3, 1.5)
    return picture.resize((max(32, int(picture.width * factor)), max(32, int(picture.height * factor))))


def _recompressed(picture: Image.Image, chance: random.Random) -> Image.Image:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=chance.randint(15, 50))
    return Image.open(out).convert("RGB")


def _cropped(most: float) -> Alteration:
    def alter(picture: Image.Image, chance: random.Random) -> Image.Image:
        left, top, right, bottom = (chance.uniform(0, most) for _ in range(4))
        width, height = picture.size
        return picture.crop(
            (int(left * width), int(top * height), int(width * (1 - right)), int(height * (1 - bottom)))
        )

    return alter


def _recoloured(picture: Image.Image, chance: random.Random) -> Image.Image:
    way = chance.randrange(5)
    if way == 0:
        return ImageOps.grayscale(picture).convert("RGB")
    if way == 1:
        tint = np.array([chance.uniform(0.7, 1.3) for _ in range(3)])
        return Image.fromarray(np.clip(np.asarray(picture) * tint, 0, 255).astype(np.uint8))
    enhance = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[way - 2]
    return enhance(picture).enhance(chance.choice([0.6, 1.5]))


def _everything(picture: Image.Image, chance: random.Random) -> Image.Image:
    for name in ("cropped to 5 %", "resized", "recoloured", "recompressed", "mirrored"):
        picture = ALTERATIONS[name](picture, chance)
    return picture


ALTERATIONS: Mapping[str, Alteration] = {
    "resized": _resized,
    "recompressed": _recompressed,
    "cropped to 3 %": _cropped(0.03),
    "cropped to 5 %": _cropped(0.05),
    "cropped to 10 %": _cropped(0.1),
    "recoloured": _recoloured,
    "mirrored": lambda picture, _chance: ImageOps.mirror(picture),
    "upside down": lambda picture, _chance: ImageOps.flip(picture),
    "all of these": _everything,
}

if __name__ == "__main__":
    main()
