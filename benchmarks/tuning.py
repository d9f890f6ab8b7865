"""What a space learns from judgements, measured on photos with captions: how many it takes, and how much it wins.

    python -m benchmarks.tuning --data ../shared/data

Captions of the part `test` of Flickr8k stand for queries of which somebody said which photo is right. Twice: as they
are, and in the words of a household, in which dogs, children and places have names of their own. Maps are learnt from
some of the queries, by the code that `medley spaces tune` runs, and measured on others. Vectors alone are ranked.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
from PIL import Image

from search.arrays import Float32Array
from search.evaluation.metrics import difference, ndcg
from search.evaluation.tuning import NEAR, Material, choose, fit
from search.settings import Settings
from search.signals import Signal
from search.spaces import registry
from search.spaces.inputs import fit as fit_picture
from search.spaces.space import Space, unit_rows
from search.spaces.specification import newest_starter

JUDGED = (25, 50, 100, 200, 400)
HELD_OUT = 400
ROUNDS = 3
CAPTIONS = 2  # of each photo
HOUSEHOLD = {
    "dog": "Waldi", "dogs": "Waldi and Bello", "girl": "Mirjam", "boy": "Jonas", "man": "Grandpa Otto",
    "woman": "Aunt Resi", "beach": "Zandvoort", "snow": "Lech", "water": "the Eibsee", "street": "Gumpendorf",
    "grass": "the Prater", "bike": "the Puch", "bicycle": "the Puch", "ball": "the Mikasa",
}  # fmt: skip


def main() -> None:
    """Print one table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--part", default="test", choices=("validation", "test"))
    given = arguments.parse_args()
    space = registry.open_space(newest_starter(), Settings.load(threads=1))
    folder = given.data / "photos" / "flickr8k"
    lines = [json.loads(line) for line in folder.with_suffix(".jsonl").read_text("utf-8").splitlines()]
    photos = [line for line in lines if line["part"] == given.part]
    pictures = _pictures(space, [folder / photo["file"] for photo in photos])
    right = [number for number, _ in enumerate(photos) for _ in range(CAPTIONS)]
    captions = [caption for photo in photos for caption in photo["captions"][:CAPTIONS]]
    print(f"{len(photos)} photos, {len(captions)} captions, part {given.part}; nDCG@10 of {HELD_OUT} held-out queries")
    print(f"{'words':10} {'judged':>6} {'before':>7} {'after':>7} {'gain':>7} {'p':>7} learnt")
    for words, texts in (("plain", captions), ("household", [_renamed(caption) for caption in captions])):
        queries = np.concatenate([_asked(space, texts[start : start + 64]) for start in range(0, len(texts), 64)])
        material = _material(queries, pictures, right)
        for judged in JUDGED:
            for seed in range(ROUNDS):
                print(f"{words:10} {judged:6} {_round(material, judged, seed)}", flush=True)


def _round(material: Material, judged: int, seed: int) -> str:
    order = np.random.default_rng(seed).permutation(len(material.queries))
    learnt, held_out = order[:judged], order[judged : judged + HELD_OUT]
    before = _scores(material, held_out, material.queries[held_out])
    how = choose(material, learnt)
    if how is None:
        return f"{np.mean(before):7.3f} {'-':>7} {'-':>7} {'-':>7} nothing"
    after = _scores(material, held_out, fit(material, learnt, *how)(material.queries[held_out]))
    gain = difference(before, after)
    row = f"{np.mean(before):7.3f} {np.mean(after):7.3f} {gain.mean:+7.3f} {gain.p:7.4f}"
    return f"{row} strength {how[0]}, ridge {how[1]}"


def _scores(material: Material, rows: np.ndarray, queries: Float32Array) -> list[float]:
    similar = queries @ material.pool.T
    return [
        ndcg(np.argsort(-similar[number], kind="stable")[:10].tolist(), material.relevant[row], 10)
        for number, row in enumerate(rows.tolist())
    ]


def _material(queries: Float32Array, pictures: Float32Array, right: list[int]) -> Material:
    near = np.zeros_like(queries)
    for row, query in enumerate(queries):
        order = [
            candidate for candidate in np.argsort(-(pictures @ query))[: NEAR + 1].tolist() if candidate != right[row]
        ]
        near[row] = pictures[order[:NEAR]].mean(axis=0)
    relevant = tuple({candidate: 1} for candidate in right)
    return Material(queries, pictures[right], near, pictures, np.arange(len(pictures)), relevant)


def _asked(space: Space, texts: list[str]) -> Float32Array:
    return np.asarray(space.embed_query_text(texts)[Signal.IMAGE])


def _pictures(space: Space, files: list[Path]) -> Float32Array:
    rows = []
    for start in range(0, len(files), 32):
        batch = [fit_picture(Image.open(file).convert("RGB"), space.image_input) for file in files[start : start + 32]]
        rows.append(space.embed(Signal.IMAGE, batch))
    return np.asarray(unit_rows(np.concatenate(rows)))


def _renamed(caption: str) -> str:
    return re.sub(r"\w+", lambda word: HOUSEHOLD.get(word.group().lower(), word.group()), caption)


if __name__ == "__main__":
    main()
