"""How well the starter space finds photographs by words, before and after training.

    python -m benchmarks.quality ../shared/data [--part test] [--json FILE]

Reads `photos/*.jsonl` of any folder of that layout. "Before" is the untrained prior (ConSE),
"after" the space as it ships. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from search.settings import Settings
from search.signals import Signal
from search.spaces.image_encoder import ImageEncoder
from search.spaces.inputs import fit
from search.spaces.starter import IMAGE_INPUT, StarterSpace
from search.spaces.weights import IMAGE, shipped
from training.measures import average_precisions, first_ranks, own_ranks, recall_at
from training.photos import SENTENCES, Photo, read_photos

LABEL_QUERY = "a photo of {}"
QUERY_TYPES = {
    "people": "man men woman women person people boy boys girl girls child children baby kid kids lady guy player",
    "actions": "running runs jumping jumps sitting sits standing stands walking walks playing plays riding rides "
    "holding holds climbing climbs swimming swims catching catches eating drinking dancing throwing kicking",
    "places": "beach street park field water snow mountain grass road city pool river lake forest room kitchen "
    "building sidewalk ocean sand woods hill rock",
    "objects": "ball bike bicycle car hat shirt stick toy frisbee skateboard camera guitar helmet bench boat table "
    "umbrella surfboard sign rope swing jacket",
    "counts": "two three four five six several many group couple crowd both pair",
    "colours": "red blue green yellow black white brown orange pink purple gray grey",
}


@dataclass(frozen=True)
class Vectors:
    """Of one state of the space: photos `(n, d)` and their sentences `(n, 5, d)`."""

    photos: np.ndarray
    sentences: np.ndarray


@dataclass(frozen=True)
class Recall:
    """Recall at 1, 5 and 10, and the median rank."""

    at_1: float
    at_5: float
    at_10: float
    median: float

    @classmethod
    def of(cls, ranks: np.ndarray) -> Recall:
        """From the rank of each query's wanted item, `(n,) int`, 1 for the best."""
        return cls(recall_at(ranks, 1), recall_at(ranks, 5), recall_at(ranks, 10), float(np.median(ranks)))

    def __str__(self) -> str:
        return f"{self.at_1:.1%} / {self.at_5:.1%} / {self.at_10:.1%}, median {self.median:.0f}"


def main(data: Path, part: str, out: Path | None) -> None:
    """Print every table; write the numbers to `out`."""
    photos = [photo for photo in read_photos(data) if photo.part in (part, "validation")]
    with tempfile.TemporaryDirectory() as home:
        before, after = embed(photos, StarterSpace(Settings.load({}, home=home)))
    report: dict[str, object] = {}
    for name in sorted({photo.set for photo in photos}):
        here = np.array([i for i, photo in enumerate(photos) if photo.set == name and photo.part == part], int)
        if not len(here):
            continue
        if any(photos[i].label for i in here):
            report[name] = labels(photos, here, before, after)
        else:
            report[name] = captions(f"{name}, {part}", photos, here, before, after)
            more = np.array([i for i, photo in enumerate(photos) if photo.set == name], int)
            if len(more) > len(here):
                report[f"{name} with validation"] = captions(
                    f"{name}, {part} and validation together", photos, more, before, after
                )
    print("\n| photos by label, mAP | before | after |\n|---|---|---|")
    for name, value in report.items():
        if isinstance(value, tuple):
            print(f"| {name} | {value[0]:.3f} | {value[1]:.3f} |")
    print_left_out()
    if out:
        out.write_text(json.dumps(report, indent=2, default=asdict), "utf-8")


def embed(photos: Sequence[Photo], space: StarterSpace) -> tuple[Vectors, Vectors]:
    """All photos and sentences, by the untrained prior and by the space as it ships."""
    prior = ImageEncoder.load("auto", trained=False)
    trained = ImageEncoder.load("auto")
    rows = [
        (prior.encode(pictures), trained.encode(pictures))
        for pictures in ([fit(_open(p), IMAGE_INPUT) for p in photos[i : i + 32]] for i in range(0, len(photos), 32))
    ]
    untrained, projected = (np.concatenate(side) for side in zip(*rows, strict=True))
    sentences = space.embed_query_text([sentence for photo in photos for sentence in photo.sentences])[Signal.IMAGE]
    sentences = sentences.reshape(len(photos), SENTENCES, -1)
    return Vectors(untrained, sentences), Vectors(projected, sentences)


def captions(
    title: str, photos: Sequence[Photo], rows: np.ndarray, before: Vectors, after: Vectors
) -> dict[str, list[Recall]]:
    """Text to image, image to text, and text to image by type of query."""
    by_task: dict[str, list[Recall]] = {}
    sentences = [sentence for row in rows for sentence in photos[row].sentences]
    for vectors in (before, after):
        scores = vectors.sentences[rows].reshape(len(sentences), -1) @ vectors.photos[rows].T
        ranks = own_ranks(scores, np.arange(len(rows)).repeat(SENTENCES))
        by_task.setdefault("text to image", []).append(Recall.of(ranks))
        back = vectors.photos[rows] @ vectors.sentences[rows].reshape(len(sentences), -1).T
        own = np.eye(len(rows), dtype=bool).repeat(SENTENCES, axis=1)
        by_task.setdefault("image to text", []).append(Recall.of(first_ranks(back, own)))
        for kind, chosen in query_types(sentences):
            by_task.setdefault(f"text to image: {kind}", []).append(Recall.of(ranks[chosen]))
    print(f"\n| {title}: {len(rows)} photos; R@1 / R@5 / R@10 | before | after |\n|---|---|---|")
    for kind, (first, second) in by_task.items():
        print(f"| {kind} | {first} | {second} |")
    return by_task


def query_types(sentences: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Which sentences hold a word of which list; one may be of several types."""
    for kind, listed in QUERY_TYPES.items():
        words = set(listed.split())
        chosen = np.array([not words.isdisjoint(re.findall(r"[a-z]+", text.lower())) for text in sentences])
        if chosen.any():
            yield f"{kind} ({chosen.sum()})", chosen


def labels(photos: Sequence[Photo], rows: np.ndarray, before: Vectors, after: Vectors) -> tuple[float, float]:
    """Mean average precision of the photos of a label, before and after."""
    own = np.array([photos[row].label for row in rows])
    names, first = np.unique(own, return_index=True)
    query = [photos[rows[i]].sentences.index(LABEL_QUERY.format(name)) for i, name in zip(first, names, strict=True)]
    relevant = names[:, None] == own[None, :]
    scores = (vectors.sentences[rows[first], query] @ vectors.photos[rows].T for vectors in (before, after))
    old, new = (float(average_precisions(matrix, relevant).mean()) for matrix in scores)
    return old, new


def print_left_out() -> None:
    """What training measured on whole sets that it had left out, from the record beside the weights."""
    record = json.loads(shipped(IMAGE).with_suffix(".json").read_text("utf-8"))
    print("\n| whole sets left out of training (from the record) | before | after |\n|---|---|---|")
    for name, pair in record["left_out_sets"].items():
        print(f"| {name} | {pair['before']:.3f} | {pair['after']:.3f} |")


def _open(photo: Photo) -> Image.Image:
    with Image.open(photo.path) as image:
        return image.convert("RGB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Quality of the starter space's images.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--part", default="test")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    main(arguments.data, arguments.part, arguments.json)
