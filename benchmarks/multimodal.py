"""Does the language model see? Captions, the true caption among a hundred, questions with four choices.

    python -m benchmarks.multimodal --data ../data --home work/home --part test

Captions of Flickr8k's photos by CIDEr-D and BLEU against five human ones, word by word, by twelve beams, and as
indexing chooses among all of them, by the starter's space; the first human caption of a photo among those of 100, by
likelihood over those of the others and typical photos (chance 1 %); visual7w's true answer among four to questions with
the same first word (chance 25 %), drawn as benchmarks/soft_tokens.py draws them; the colour of things of which the
captions of a photo name one, written, and chosen as answers do. `--ablate` gives every photo another one's tokens: what
remains is what the model says without looking. `--signal` measures another thing instead: whether the search would find
photos better by their captions (benchmarks/multimodal_signal.py).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.caption_metrics import bleu, cider
from benchmarks.multimodal_signal import captions_as_signal, remembered
from benchmarks.soft_tokens import CHOICES
from indexer.ingest.caption_choice import nearest
from search.arrays import Float32Array
from search.language.backends import LocalModel
from search.multimodal.adapter import SHIPPED, Adapter
from search.multimodal.colours import ANSWERS, COLOURS, chances, phrases, surest
from search.multimodal.map_encoder import MapEncoder, open_map_encoder
from search.multimodal.model import CAPTION_BEAMS, MultimodalModel
from search.settings import Settings
from search.signals import Signal
from search.spaces.inputs import fit
from search.spaces.registry import open_space
from search.spaces.space import Space
from search.spaces.specification import newest_starter
from training.instructions import sure_colours
from training.projector_data import read_photos, tidy

Choose = Callable[[Sequence[Sequence[str]]], list[str]]  # one of the sentences about each picture


def captions(
    model: MultimodalModel, soft: Float32Array, choose: Choose, references: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Scores of captions that are written word by word, of those that beams find, and of what is chosen of both."""
    narrow, wide = ([[said.words for said in likely] for likely in model.captions(soft, [b])] for b in CAPTION_BEAMS)
    written = {
        "greedy": [texts[0] for texts in narrow],
        "beams": [texts[0] for texts in wide],
        "chosen": choose([list(dict.fromkeys(one + more)) for one, more in zip(narrow, wide, strict=True)]),
    }
    scores: dict[str, Any] = {"photos": len(soft)}
    for name, texts in written.items():
        blue = bleu(texts, references)
        scores[name] = {
            "CIDEr": round(float(np.mean(cider(texts, references))), 3),
            "BLEU-4": round(blue[3], 3),
            "BLEU-1": round(blue[0], 3),
        }
    return scores


def among(model: MultimodalModel, soft: Float32Array, texts: Sequence[str]) -> dict[str, float]:
    """How often a photo's caption is the likeliest, and among the five likeliest."""
    gains = model.gains(texts, soft)
    own = gains[np.arange(len(gains)), np.arange(len(gains))][:, None]
    ranks = (gains > own).sum(1)
    return {
        "texts": len(texts),
        "top1": round(float((ranks < 1).mean()), 3),
        "top5": round(float((ranks < 5).mean()), 3),
    }


def choices(model: MultimodalModel, encoder: MapEncoder, data: Path, part: str, *, ablate: bool) -> dict[str, float]:
    """The true answer among four answers to questions that begin with the same word; every question of the part."""
    rows = [json.loads(line) for line in (data / "photos" / "visual7w.jsonl").read_text("utf-8").splitlines()]
    random = np.random.default_rng(0)
    pool: dict[str, list[str]] = {}
    for row in rows:
        for question, answer in row["qa"]:
            pool.setdefault(question.split()[0], []).append(answer)
    asked = [row for row in rows if row["part"] == part]
    soft = model.soft_tokens(_maps(encoder, [data / "photos" / "visual7w" / row["file"] for row in asked]))
    right: list[bool] = []
    for row, tokens in zip(asked, np.roll(soft, 1, axis=0) if ablate else soft, strict=True):
        for question, answer in row["qa"]:
            others = sorted(set(pool[question.split()[0]]) - {answer})
            if len(others) < CHOICES - 1:
                continue
            offered = [answer, *random.choice(others, CHOICES - 1, replace=False)]
            right.append(int(model.choices(question, offered, tokens[None])[0].argmax()) == 0)
    return {"questions": len(right), "right": round(float(np.mean(right)), 3)}


def colours(
    model: MultimodalModel, space: Space, soft: Float32Array, pictures: Float32Array, described: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """The colour of things of which captions name one: written, and chosen by the model and the space."""
    asked = [
        (photo, thing, colour)
        for photo, captions in enumerate(described)
        for thing, colour in sure_colours([caption.lower() for caption in captions]).items()
        if colour in COLOURS
    ]
    written, said, right = [], [], []
    for photo, thing, colour in asked:
        question, tokens = f"What colour is the {thing}?", soft[photo][None]
        (told,) = model.answers(question, tokens)
        written.append(told.words.lower().strip(" .") == colour)
        near = pictures[photo][None] @ space.embed_query_text(phrases(thing))[Signal.IMAGE].T
        likely = chances(model.likelihoods(question, ANSWERS, tokens), near)
        said.append(surest(likely) != [""])
        right.append(COLOURS[int(likely.argmax())] == colour)
    sure = np.array(right)[np.array(said)]
    return {
        "questions": len(asked),
        "written right": round(float(np.mean(written)), 3),
        "chosen right": round(float(np.mean(right)), 3),
        "sure enough": round(float(np.mean(said)), 3),
        "of those right": round(float(sure.mean()), 3),
    }


def written(model: MultimodalModel, soft: Float32Array) -> list[list[str]]:
    """Sentences that are likely for each."""
    return [[said.words for said in texts] for texts in model.captions(soft)]


def signal(
    model: MultimodalModel,
    space: Space,
    soft: Float32Array,
    pictures: Float32Array,
    photos: Sequence[dict[str, Any]],
    options: argparse.Namespace,
) -> None:
    """Print what captions are worth to the search."""

    def write(numbers: list[int]) -> list[str]:
        return nearest(space, Signal.IMAGE, written(model, soft[numbers]), [pictures[n] for n in numbers])

    kept = remembered(options.written, [photo["file"] for photo in photos], write)
    described = [photo["captions"] for photo in photos]
    queries = [tidy(captions[0]) for captions in described]
    print(json.dumps({"captions": captions_as_signal(space, pictures, kept, described, queries)}), flush=True)


def _maps(encoder: MapEncoder, files: Sequence[Path]) -> np.ndarray:
    return encoder.maps([fit(Image.open(file).convert("RGB"), encoder.image_input) for file in files])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures as JSON, and some captions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True, help="where the converted language model is kept")
    parser.add_argument("--adapter", type=Path, help="default: the shipped one")
    parser.add_argument("--part", choices=("validation", "test"), default="test")
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--among", type=int, default=100)
    parser.add_argument("--colours", type=int, default=250, help="photos whose things' colours are asked for")
    parser.add_argument("--describe", type=int, default=12, help="photos that are printed: file, written, true caption")
    parser.add_argument("--ablate", action="store_true")
    parser.add_argument("--signal", action="store_true", help="of captions for the search, and nothing else")
    parser.add_argument("--written", type=Path, help="JSON file in which --signal keeps the captions that it writes")
    options = parser.parse_args(arguments)
    adapter = Adapter.load(options.adapter or SHIPPED)
    settings = Settings.load(home=options.home, llm=adapter.record.model)
    encoder = open_map_encoder(adapter.record.encoder_name, settings)
    photos = read_photos(options.data / "photos" / "flickr8k.jsonl", options.part)[: options.photos]
    files = [options.data / "photos" / "flickr8k" / described["file"] for described in photos]
    space = open_space(newest_starter(), settings)
    pictures = space.embed(Signal.IMAGE, [fit(Image.open(file).convert("RGB"), space.image_input) for file in files])

    def choose(sentences: Sequence[Sequence[str]]) -> list[str]:
        return nearest(space, Signal.IMAGE, sentences, list(pictures[: len(sentences)]))

    with LocalModel(settings).adapted(adapter) as model:
        soft = model.soft_tokens(_maps(encoder, files))
        if options.ablate:
            soft = np.roll(soft, 1, axis=0)
        if options.signal:
            signal(model, space, soft, pictures, photos, options)
            return
        for said, photo in zip(choose(written(model, soft[: options.describe])), photos, strict=False):
            print(f"| {Path(photo['file']).name} | {said} | {photo['captions'][0]} |", flush=True)
        began = time.process_time()
        scores = captions(model, soft, choose, [described["captions"] for described in photos])
        scores["CPU seconds a photo"] = round((time.process_time() - began) / len(photos), 3)
        print(json.dumps({"captions": scores}), flush=True)
        texts = [tidy(photo["captions"][0]) for photo in photos[: options.among]]
        print(json.dumps({"among": among(model, soft[: options.among], texts)}), flush=True)
        named = [described["captions"] for described in photos[: options.colours]]
        print(json.dumps({"colours": colours(model, space, soft, pictures, named)}), flush=True)
        if options.part == "test":
            told = choices(model, encoder, options.data, "test", ablate=options.ablate)
            print(json.dumps({"visual7w": told}), flush=True)


if __name__ == "__main__":
    main()
