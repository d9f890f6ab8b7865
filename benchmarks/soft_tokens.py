"""Do soft tokens carry what a picture shows? Choosing its caption, answering about it, describing it.

    python -m benchmarks.soft_tokens --data ../shared/data --home /tmp/medley-answers

For photos of the test part: the true caption among 100, by the language model's likelihood (chance 1 %); the true
answer among four for visual7w (chance 25 %); and what the model writes. Each beside the ablation without
soft tokens, and beside the cosine of the space itself, which is what the tokens are made from.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from search.language import prompts
from search.language.backends import open_language_model
from search.language.llm import LanguageModel, Prompt, Request, SoftTokens
from search.language.picture_captions import PictureReader
from search.language.projector import Projector, find_projector
from search.settings import Settings
from search.signals import Signal
from search.spaces.inputs import fit
from search.spaces.registry import open_space
from search.spaces.space import Space
from search.spaces.specification import newest_starter
from training.projector_data import read_photos, tidy

AMONG = 100
CHOICES = 4


def captions(model: LanguageModel, projector: Projector, vectors: np.ndarray, texts: Sequence[str]) -> dict[str, Any]:
    """`vectors (n, d)` choose among the first AMONG texts, of which theirs has the same index."""
    targets = [prompts.asked(text) for text in texts[:AMONG]]
    nothing = _score(model, (prompts.PICTURE, prompts.NO_PICTURE, prompts.CAPTION), targets)
    typical = np.stack([_score(model, _looking(soft), targets) for soft in projector.typical])
    given = np.stack([_score(model, _looking(soft), targets) for soft in projector.project(vectors)])
    tokens = np.array(
        [likelihood.tokens for likelihood in model.score((prompts.PICTURE,), [Request((), t) for t in targets])]
    )
    # As search.language.picture_captions does.
    prior = np.logaddexp.reduce(typical) - np.log(len(typical))
    return {
        "queries": len(given),
        "with": _choice((given - prior) / tokens),
        "prior of an empty list": _choice((given - nothing) / tokens),
        "no prior": _choice(given / tokens),
        "ablation": _choice(np.broadcast_to(nothing / tokens, given.shape)),
    }


def _looking(soft: SoftTokens) -> Prompt:
    return (prompts.PICTURE, *prompts.picture(soft), prompts.CAPTION)


def _score(model: LanguageModel, prefix: Prompt, targets: Sequence[str]) -> np.ndarray:
    return np.array(
        [likelihood.log_probability for likelihood in model.score(prefix, [Request((), target) for target in targets])]
    )


def _per_token(model: LanguageModel, prefix: Prompt, targets: Sequence[str]) -> np.ndarray:
    return np.array(
        [likelihood.per_token for likelihood in model.score(prefix, [Request((), target) for target in targets])]
    )


def _choice(scores: np.ndarray) -> dict[str, float]:
    own = scores[np.arange(len(scores)), np.arange(len(scores))][:, None]
    ranks = (scores > own).sum(1)
    return {"top1": round(float((ranks < 1).mean()), 3), "top5": round(float((ranks < 5).mean()), 3)}


def visual_questions(model: LanguageModel, projector: Projector, space: Any, data: Path, wanted: int) -> dict[str, Any]:
    """The true answer among four answers to questions that begin with the same word."""
    rows = [json.loads(line) for line in (data / "photos" / "visual7w.jsonl").read_text("utf-8").splitlines()]
    tests = [row for row in rows if row["part"] == "test"]
    random = np.random.default_rng(0)
    pool: dict[str, list[str]] = {}
    for row in rows:
        for question, answer in row["qa"]:
            pool.setdefault(question.split()[0], []).append(answer)
    right: list[bool] = []
    guessed: list[bool] = []
    for row in tests:
        if len(right) >= wanted:
            break
        question, answer = row["qa"][random.integers(len(row["qa"]))]
        others = sorted(set(pool[question.split()[0]]) - {answer})
        if len(others) < CHOICES - 1:
            continue
        choices = [answer, *random.choice(others, CHOICES - 1, replace=False)]
        (tokens,) = projector.project(_embed(space, [data / "photos" / "visual7w" / row["file"]]))
        ask = f"\nQuestion: {prompts.quoted(question, 200)}\nAnswer:"
        targets = [prompts.asked(choice) for choice in choices]
        prior = _per_token(model, (prompts.PICTURE, prompts.NO_PICTURE, ask), targets)
        given = _per_token(model, (prompts.PICTURE, *prompts.picture(tokens), ask), targets)
        right.append(int(np.argmax(given - 0.5 * prior)) == 0)
        guessed.append(int(np.argmax(prior)) == 0)
    return {
        "questions": len(right),
        "with": round(float(np.mean(right)), 3),
        "ablation": round(float(np.mean(guessed)), 3),
    }


def _embed(space: Space, files: Sequence[Path]) -> np.ndarray:
    return space.embed(Signal.IMAGE, [fit(Image.open(file).convert("RGB"), space.image_input) for file in files])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures as JSON, and some descriptions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--part", choices=("validation", "test"), default="test")
    parser.add_argument("--queries", type=int, default=AMONG)
    parser.add_argument("--visual", type=int, default=60, help="questions of visual7w")
    parser.add_argument("--describe", type=int, default=12)
    options = parser.parse_args(arguments)
    settings = Settings.load(home=options.home)
    model, space = open_language_model(settings), open_space(newest_starter(), settings)
    projector = find_projector(space.fingerprint, model.name)
    if projector is None:
        raise SystemExit("no projector for this pair")
    photos = read_photos(options.data / "photos" / "flickr8k.jsonl", options.part)[:AMONG]
    vectors = _embed(space, [options.data / "photos" / "flickr8k" / photo["file"] for photo in photos])
    texts = [tidy(photo["captions"][0]) for photo in photos]
    cosine = vectors @ space.embed_query_text(texts)[Signal.IMAGE].T
    print(json.dumps({"cosine of the space": _choice(cosine)}), flush=True)
    reader = PictureReader(model, projector)
    words = projector.words(vectors)
    for index, described in enumerate(reader.describe(vectors[: options.describe])):
        print(f"| {' '.join(words[index])} | {described.words} | {described.gain:.2f} | {texts[index]} |", flush=True)
    print(json.dumps({"captions": captions(model, projector, vectors[: options.queries], texts)}), flush=True)
    accuracy = visual_questions(model, projector, space, options.data, options.visual)
    print(json.dumps({"visual7w": accuracy}), flush=True)


if __name__ == "__main__":
    main()
