"""What a multimodal adapter learns from: photographs with captions, questions and labels, and their feature maps.

Maps are computed once, whole and as crops, and kept as float16 in a work folder: training reads them many times.
Knows the data's layout and the encoder; knows no language model.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from PIL import Image

from search.arrays import Float32Array
from search.multimodal.map_encoder import MapEncoder
from search.spaces.inputs import Picture, fit
from training.instructions import Exchange, from_captions, from_label, from_pairs
from training.photos import vary
from training.projector_data import tidy

_TOGETHER = 8
_PAIRED = 3  # times that photos with questions by people come up as often as others
_SHUFFLED = 20  # batches sorted by length together, so that little is padded
_QUESTIONS = 2  # of a photo that also has captions, at a time; of others twice as many


class Lesson(Struct, frozen=True):
    """A photograph, and what can be said of it."""

    path: Path
    captions: tuple[str, ...]
    exchanges: tuple[Exchange, ...]


class Said(Struct, frozen=True):
    """One target: the prompt before it, and its text."""

    prompt: str
    target: str


def read_lessons(data: Path, part: str, seed: int) -> list[Lesson]:
    """All photos of a part below `data/photos`; those with questions by people several times."""
    random = np.random.default_rng(seed)
    lessons: list[Lesson] = []
    for listing in sorted((data / "photos").glob("*.jsonl")):
        for line in listing.read_text("utf-8").splitlines():
            row = json.loads(line)
            if row.get("part", "test") != part:
                continue
            captions = tuple(text for caption in row.get("captions", ()) if (text := tidy(caption)))
            made = from_captions(captions, random) if len(captions) > 1 else []
            made += from_label(row["label"]) if row.get("label") else []
            made += from_pairs(row.get("qa", ()))
            lesson = Lesson(listing.with_suffix("") / row["file"], captions, tuple(made))
            lessons += [lesson] * (_PAIRED if "qa" in row else 1)
    return [lesson for lesson in lessons if lesson.captions or lesson.exchanges]


def draw(
    lesson: Lesson, caption: str, question: str, captions: int, instructions: bool, random: np.random.Generator
) -> list[Said]:
    """Some of what can be said of a photo; `caption` and `question` are the prompts of the adapter's record."""
    chosen = [Said(caption, " " + lesson.captions[i]) for i in random.permutation(len(lesson.captions))[:captions]]
    if not instructions:
        return chosen
    wanted = _QUESTIONS if chosen else 2 * _QUESTIONS
    picked = [lesson.exchanges[i] for i in random.permutation(len(lesson.exchanges))[:wanted]]
    return chosen[:_QUESTIONS] + [
        Said(question.format(exchange.question), " " + exchange.answer) for exchange in picked
    ]


def batches(lessons: Sequence[Lesson], size: int, random: np.random.Generator) -> Iterator[list[int]]:
    """Numbers of lessons for ever, each batch with about as much to say."""
    lengths = [sum(map(len, lesson.captions)) for lesson in lessons]
    while True:
        order = random.permutation(len(lessons))
        for start in range(0, len(order), size * _SHUFFLED):
            block = sorted(order[start : start + size * _SHUFFLED].tolist(), key=lambda number: lengths[number])
            groups = [block[at : at + size] for at in range(0, len(block), size)]
            for index in random.permutation(len(groups)):
                yield groups[index]


class Maps:
    """Feature maps of photos: whole, and `crops` random crops of each in slightly other colours.

    Half of those that training reads are mirrored: captions hardly ever tell left from right.
    """

    def __init__(self, paths: Sequence[Path], encoder: MapEncoder, work: Path, crops: int) -> None:
        self._rows = {path: row for row, path in enumerate(paths)}
        kinds = ["whole", *(f"crop{number}" for number in range(1, crops + 1))]
        digest = zlib.crc32("\n".join([encoder.identity, *map(str, paths)]).encode())
        self._kept = [_kept(work / f"{kind}-{digest:08x}.npy", list(paths), kind, encoder) for kind in kinds]

    def whole(self, paths: Sequence[Path]) -> Float32Array:
        """`(n, places, channels)`."""
        return np.stack([self._kept[0][self._rows[path]] for path in paths]).astype(np.float32)

    def any(self, paths: Sequence[Path], random: np.random.Generator) -> Float32Array:
        """As `whole`, each whole or one of its crops, or a mirror image of those."""
        chosen = random.integers(len(self._kept), size=len(paths))
        rows = [self._kept[kind][self._rows[path]] for kind, path in zip(chosen, paths, strict=True)]
        maps = np.stack(rows).astype(np.float32)
        mirrored = random.random(len(paths)) < 0.5
        maps[mirrored] = _mirrored(maps[mirrored])
        return maps


def _kept(file: Path, paths: Sequence[Path], kind: str, encoder: MapEncoder) -> np.ndarray:
    if file.is_file():
        return np.asarray(np.load(file, mmap_mode="r"))
    file.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(zlib.crc32(kind.encode()))
    maps: np.ndarray | None = None
    for at in range(0, len(paths), _TOGETHER):
        images = [Image.open(path).convert("RGB") for path in paths[at : at + _TOGETHER]]
        encoded = encoder.maps([_prepared(image, kind, encoder, random) for image in images])
        if maps is None:
            shape = (len(paths), *encoded.shape[1:])
            maps = np.lib.format.open_memmap(file.with_suffix(".part"), "w+", np.float16, shape)
        maps[at : at + len(encoded)] = encoded
        if at % 800 == 0:
            print(f"maps, {kind}: {at}/{len(paths)}", flush=True)
    if maps is None:
        raise SystemExit("there are no photos")
    file.with_suffix(".part").rename(file)
    return maps


def _mirrored(maps: Float32Array) -> Float32Array:
    """`(n, places, channels)` with left and right exchanged; unchanged if the map is not square."""
    count, places, channels = maps.shape
    side = math.isqrt(places)
    if side * side != places:
        return maps
    return np.ascontiguousarray(maps.reshape(count, side, side, channels)[:, :, ::-1].reshape(maps.shape))


def _prepared(image: Image.Image, kind: str, encoder: MapEncoder, random: np.random.Generator) -> Picture:
    if kind == "whole":
        return fit(image, encoder.image_input)
    return vary(image, random, encoder.image_input.side, least_area=0.6, aspect=0.15, least_colour=0.85)
