"""Does the language model hear? The true label among all, captions, and yes or no, over labelled recordings.

    python -m benchmarks.multimodal_sounds --data ../data --work work --home work/home --part test

Recordings of a part of `training/multimodal_sounds_data.py`. A label's caption among those of all labels, by likelihood
over typical sounds; whether the caption names the label's thing, word by word and as indexing chooses it by the space;
whether "is there a ...?" is answered rightly, asked of what is there and of what is taken for it. Beside them what the
search does without a language model: the label whose phrasings are nearest to the sound's vector, with `--sound-head` a
head that has not heard the recordings (`training.sounds --held-out` leaves out fold 4, the test part; the shipped one
has heard all).
`--ablate` gives every recording another one's tokens.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from indexer.ingest.caption_choice import nearest
from search.arrays import Float32Array
from search.language.backends import LocalModel
from search.language.lexical import content
from search.multimodal.adapter import SHIPPED, SHIPPED_SOUNDS, Adapter
from search.multimodal.model import MultimodalModel
from search.multimodal.sound_encoder import SoundMaps
from search.settings import Settings
from search.signals import Signal
from search.spaces.registry import open_space
from search.spaces.sound import HEAD, SoundFeatures, SoundHead, windows
from search.spaces.specification import newest_starter
from search.spaces.weights import shipped
from training.measures import own_ranks, recall_at
from training.multimodal_sounds_data import CAPTIONS, NEAR, THINGS, Sounds, asks
from training.sounds import SYNTHETIC, Phrases, recordings


def among(scores: Float32Array, labels: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """How often the true label is first, and among the first five, by `scores` `(n, len(names))`."""
    ranks = own_ranks(scores, np.array([names.index(label) for label in labels]))
    return {f"top{k}": round(recall_at(ranks, k), 3) for k in (1, 5)}


def names_label(caption: str, label: str) -> bool:
    """Does a caption hold a word of the label's own captions that no other label's have?"""
    others = {word for other, texts in CAPTIONS.items() if other != label for text in texts for word in content(text)}
    own = {word for text in CAPTIONS[label] for word in content(text)} - others
    return bool(content(caption) & own)


def yes_or_no(model: MultimodalModel, soft: Float32Array, labels: Sequence[str]) -> dict[str, float]:
    """Right answers to questions about what is there and what is taken for it."""
    told: dict[str, list[bool]] = {"yes": [], "no": []}
    for thing in THINGS:
        for wanted, rows in (
            ("yes", [row for row, label in enumerate(labels) if label == thing]),
            ("no", [row for row, label in enumerate(labels) if thing == NEAR[label][0]]),
        ):
            answers = model.answers(asks(thing), soft[rows]) if rows else []
            told[wanted] += [answer.words.lower().startswith(wanted) for answer in answers]
    right = [float(np.mean(told[wanted])) for wanted in ("yes", "no")]
    return {"questions": len(told["yes"]) + len(told["no"]), "yes": round(right[0], 3), "no": round(right[1], 3)}


def vectors_of(data: Path, numbers: Sequence[int], settings: Settings, head: Path) -> np.ndarray:
    """`(n, d)`: each recording in the space, as one stretch."""
    sources = recordings(data)
    extract = SoundFeatures.load(settings.models, settings.threads or 1)
    features = np.stack([extract(windows(sources[n][2])).mean(axis=0) for n in numbers])
    vectors: np.ndarray = SoundHead(load_file(head))(features)
    return vectors


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures as JSON, and some captions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="encoder states are kept here")
    parser.add_argument("--home", type=Path, required=True, help="where the converted language model is kept")
    parser.add_argument("--sounds", type=Path, help="default: the shipped resampler")
    parser.add_argument("--sound-head", type=Path, help="default: the shipped head, which has heard the recordings")
    parser.add_argument("--part", choices=("train", "validation", "test"), default="test")
    parser.add_argument("--describe", type=int, default=10)
    parser.add_argument("--ablate", action="store_true")
    options = parser.parse_args(arguments)
    settings = Settings.load(home=options.home)
    sounds = Sounds(options.data, SoundMaps.load(settings), options.work, 0, 0)
    numbers = [int(n) for n in sounds.numbers(options.part) if sounds.labels[n] not in SYNTHETIC]
    labels = [str(sounds.labels[n]) for n in numbers]
    names = [name for name in CAPTIONS if name not in SYNTHETIC]
    vectors = vectors_of(options.data, numbers, settings, options.sound_head or shipped(HEAD))
    base = Adapter.load(SHIPPED)
    heard = Adapter.load(options.sounds or SHIPPED_SOUNDS, base)
    with LocalModel(settings).adapted(heard) as model:
        soft = model.soft_tokens(sounds.whole(numbers))
        if options.ablate:
            soft = np.random.default_rng(0).permutation(soft)
        likely = [[said.words for said in of_one] for of_one in model.captions(soft)]
        chosen = nearest(open_space(newest_starter(), settings), Signal.SOUND, likely, list(vectors))
        shown = np.random.default_rng(1).permutation(len(labels))[: options.describe]
        for row in shown:
            print(f"| {chosen[row]} | {labels[row]} |", flush=True)
        right: dict[str, object] = {"recordings": len(labels)}
        for name, captions in (("word by word", [texts[0] for texts in likely]), ("chosen", chosen)):
            named = [names_label(caption, label) for caption, label in zip(captions, labels, strict=True)]
            right[name] = round(float(np.mean(named)), 3)
        print(json.dumps({"captions right": right}), flush=True)
        print(json.dumps({"yes or no": yes_or_no(model, soft, labels)}), flush=True)
        gains = model.gains([CAPTIONS[name][0] for name in names], soft)
        print(json.dumps({"among": {"labels": len(names), **among(gains, labels, names)}}), flush=True)
    phrases = Phrases()
    near = vectors @ np.stack([phrases.label(name) for name in names]).T
    print(json.dumps({"the space alone": among(near, labels, names)}), flush=True)


if __name__ == "__main__":
    main()
