"""What a projector is trained on: captions, embeddings that may stand for what they describe, and words.

Reads corpora and photos; asks the space for embeddings once and keeps them in a work folder. Knows no
language model.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from PIL import Image

from search.signals import Signal
from search.spaces.inputs import fit

MIN_COUNT = 20  # captions that hold a word before it gets a place of its own
MAX_WORDS = 2400
PAIRED = 4
# Words that say nothing about a picture. Colours, numbers and places ("in", "under") say something or are rare here.
_EMPTY_WORDS = (
    "a an the and or of on in at to for with by from as is are be being been was were has have had it its "
    "his her their they he she them him while that this there who which what one another other some into "
    "onto over up down out off near next through behind around between across against along under very "
    "two three four several many looking look looks getting get gets going go using doing something each"
)
_EMPTY = frozenset(re.findall(r"\w+", _EMPTY_WORDS))


class Caption(Struct, frozen=True):
    """A caption, and the rows of vectors that may stand for what it describes."""

    text: str
    rows: tuple[int, ...]


class Examples(Struct, frozen=True):
    """Captions with vectors `(n, d) float16`, unit rows."""

    captions: Sequence[Caption]
    vectors: np.ndarray
    pictures: int = 0  # that many of the vectors, the last ones, are of pictures


def tidy(caption: str) -> str:
    """One spelling for all corpora: a capital at the start, one full stop at the end."""
    caption = " ".join(caption.split()).strip(" .").replace(" ,", ",").replace(" 's", "'s").replace('"', "")
    return caption[:1].upper() + caption[1:] + "." if caption else ""


def words_of(caption: str) -> list[str]:
    """Its words that say something, in lower case."""
    return [word for word in re.findall(r"[a-z]+", caption.lower()) if word not in _EMPTY and len(word) > 1]


def common_words(captions: Sequence[Caption]) -> tuple[list[str], list[int]]:
    """Words that enough captions hold, the most frequent first, and in how many captions they stand."""
    counts = Counter(word for caption in captions for word in set(words_of(caption.text)))
    chosen = [(word, count) for word, count in counts.most_common(MAX_WORDS) if count >= MIN_COUNT]
    return [word for word, _ in chosen], [count for _, count in chosen]


def read_captions(paths: Sequence[Path]) -> list[str]:
    """Lines of text files, gzipped or not."""
    lines: list[str] = []
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            lines += [text for line in file if (text := tidy(line))]
    return lines


def read_photos(path: Path, part: str) -> list[dict[str, Any]]:
    """Rows of a JSON-lines file with `file`, `captions` and `part`."""
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [row for row in rows if row.get("part", part) == part and row.get("captions")]


def photo_captions(photos: Sequence[dict[str, Any]], start: int) -> list[Caption]:
    """Captions of photos; any caption of a photo may stand for it. Rows of vectors count from `start`."""
    captions: list[Caption] = []
    for photo in photos:
        texts = [text for caption in photo["captions"] if (text := tidy(caption))]
        rows = tuple(range(start + len(captions), start + len(captions) + len(texts)))
        captions += [Caption(text, rows) for text in texts]
    return captions


def collect(
    corpora: Sequence[Path], photos_path: Path | None, pictures: bool, work: Path, space: Callable[[], Any]
) -> Examples:
    """Captions of the corpora and of the photos' training part. With `pictures`, photos stand for themselves too."""
    lines = read_captions(corpora)
    photos = read_photos(photos_path, "train") if photos_path else []
    captions = [Caption(text, (row,)) for row, text in enumerate(lines)] + photo_captions(photos, len(lines))
    texts = [caption.text for caption in captions]
    vectors = kept(work / "texts.npy", lambda: embed_texts(space(), texts))
    if not pictures or photos_path is None:
        return Examples(captions, vectors)
    folder = photos_path.parent / photos_path.stem
    seen = kept(work / "pictures.npy", lambda: embed_photos(space(), photos, folder))
    # A photo's own vector is drawn two times in three, its captions' vectors share the rest. Its captions come
    # up PAIRED times as often as others: they alone tell how pictures differ from what is said of them.
    paired = captions[len(lines) :]
    first_row = {row: index for index, row in enumerate(sorted({caption.rows[0] for caption in paired}))}
    with_photo = [
        Caption(pair.text, pair.rows + (len(vectors) + first_row[pair.rows[0]],) * (2 * len(pair.rows)))
        for pair in paired
    ] * PAIRED
    return Examples([*captions[: len(lines)], *with_photo], np.concatenate([vectors, seen]), len(seen))


def typical_items(vectors: np.ndarray, count: int, rounds: int = 10) -> np.ndarray:
    """Centres of `count` groups of `(n, d)` unit rows, by spherical k-means: `(count, d) float32`, unit rows."""
    random = np.random.default_rng(0)
    rows = vectors.astype(np.float32)
    centres = rows[random.choice(len(rows), 1)]
    while len(centres) < count:
        # Far ones are likelier to be the next (k-means++), so that no group gets two centres.
        distance = np.maximum(1 - (rows @ centres.T).max(1), 0) + 1e-9
        centres = np.concatenate([centres, rows[random.choice(len(rows), 1, p=distance / distance.sum())]])
    for _ in range(rounds):
        nearest = (rows @ centres.T).argmax(1)
        sums = np.stack([rows[nearest == group].sum(0) + 1e-6 * centres[group] for group in range(count)])
        centres = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return centres


def kept(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """The array `(...)` that `make()` returned at first; delete the file when the input changes."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, make())
    vectors: np.ndarray = np.load(path)
    return vectors


def embed_texts(space: Any, texts: Sequence[str]) -> np.ndarray:
    """`(n, d) float16` unit rows, comparable with the space's pictures."""
    blocks = [texts[start : start + 512] for start in range(0, len(texts), 512)]
    return np.concatenate([space.embed_query_text(block)[Signal.IMAGE] for block in blocks]).astype(np.float16)


def embed_photos(space: Any, photos: Sequence[dict[str, Any]], folder: Path) -> np.ndarray:
    """`(n, d) float16` unit rows."""
    vectors = []
    for start in range(0, len(photos), 64):
        files = [folder / photo["file"] for photo in photos[start : start + 64]]
        pictures = [fit(Image.open(file).convert("RGB"), space.image_input) for file in files]
        vectors.append(space.embed(Signal.IMAGE, pictures))
    return np.concatenate(vectors).astype(np.float16)
