"""Fit the grounding check: from which likeness, coverage and gain on does a span carry a sentence?

    python -m training.grounding --data ../shared/data --write

A part of a description, told as a model tells what a source says ("The speaker says that ..."), is carried by it.
It is not when one of its words is exchanged, nor by the description of another photo, however alike. Pairs that the
literal judge refuses never come this far, so they are left out. Weights and threshold come from photos of the
validation part; `test` photos tell how well they do, also on what other people said of the same photo: those
mean the same, and say more or less, so they are reported and not fitted.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from search.language.citations import WEIGHTS, Grounding, GroundingWeights, Judges, literally_allows
from search.language.evidence import Origin, Span
from search.language.lexical import content, tokens
from search.results import AssetView, Hit, Kind, Moment
from search.signals import Signal
from training.logistic import logistic
from training.projector_data import read_photos, tidy

PRECISION = 0.95  # of what passes, on validation photos
CLOSEST = 12  # of other photos' captions, one is the wrong span
TELLING = ("The speaker says that", "According to the recording,", "It says that", "The photo shows")
_NO_GAIN = (1, 1, 0)
_PHRASE = re.compile(r" (?:in|on|with|near|at|by|while|and|as|through|over|from)\b|,")


class Pair(Struct, frozen=True):
    """A sentence, what is offered as its support, and whether it is."""

    sentence: str
    words: str
    right: bool
    own_words: bool = True  # those of the one who said it


def pairs(photos: Sequence[dict[str, Any]], vectors: np.ndarray, random: np.random.Generator) -> Iterator[Pair]:
    """Four of each photo. `vectors (photos, captions, d)`: unit rows."""
    texts = [[tidy(caption) for caption in photo["captions"]] for photo in photos]
    for row, own in enumerate(texts):
        said, meant = random.choice(len(own), 2, replace=False)
        near = np.argsort(-(vectors[:, 0] @ vectors[row, said]))[: CLOSEST + 1]
        other = texts[random.choice(near[near != row])]
        told = _told(own[said], random)
        yield Pair(told, own[said], True)
        yield Pair(told, other[0], False)
        if wrong := _exchanged(told, other, random):
            yield Pair(wrong, own[said], False)
        yield Pair(own[said], own[meant], True, own_words=False)


def _told(sentence: str, random: np.random.Generator) -> str:
    """The sentence up to one of its later phrases, behind words that name who tells it."""
    ends = [match.start() for match in _PHRASE.finditer(sentence) if match.start() > len(sentence) / 3]
    part = sentence[: random.choice([*ends, len(sentence)])].rstrip(" .,")
    return f"{random.choice(TELLING)} {part[:1].lower()}{part[1:]}."


def _exchanged(sentence: str, others: Sequence[str], random: np.random.Generator) -> str:
    """The sentence with one word that carries content replaced by one of another photo."""
    telling = content(" ".join(TELLING))
    mine = [word for word in sentence.rstrip(".").split() if content(word) - telling and word.islower()]
    strange = [word for word in tokens(" ".join(others)) if content(word) and not content(word) & content(sentence)]
    if not mine or not strange:
        return ""
    old, new = random.choice(mine), random.choice(strange)
    return " ".join(new if word.rstrip(".") == old else word for word in sentence.split())


def span(words: str) -> Span:
    """Words as if someone had said them."""
    moment = Moment(
        segment_id=1,
        signal=Signal.SPEECH,
        start_seconds=0.0,
        end_seconds=6.0,
        text=words,
        score=0,
        relevance=1,
        thumbnail="",
    )
    hit = Hit(asset=AssetView(id="1", path="recording", kind=Kind.AUDIO), relevance=1, moments=(moment,))
    return Span(hit=hit, moment=moment, origin=Origin.SAID, words=words, context=words)


def measured(grounding: Grounding, pairs: Sequence[Pair]) -> tuple[np.ndarray, list[Pair]]:
    """`(n, 3)` features of the pairs that the literal judge lets through, and those pairs."""
    kept = [pair for pair in pairs if literally_allows(pair.sentence, span(pair.words), "")]
    return np.array([grounding.features(pair.sentence, [span(pair.words)])[0] for pair in kept]), kept


def fitted(features: np.ndarray, pairs: Sequence[Pair]) -> GroundingWeights:
    """From `(pairs, f)` features: the weights, and the lowest threshold above which PRECISION of the pairs is right."""
    fitting = np.array([pair.own_words for pair in pairs])
    features, right = features[fitting], np.array([pair.right for pair in pairs])[fitting]
    likeness, coverage, gain, bias = logistic(features, right).round(3).tolist()
    weights = GroundingWeights(likeness, coverage, gain, bias, threshold=1.0)
    support = weights.support(features)
    order = np.argsort(-support)
    precision = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    last = np.flatnonzero(precision >= PRECISION)[-1]
    return msgspec.structs.replace(weights, threshold=round(float(support[order[last]]) - 5e-4, 3))


def report(name: str, weights: GroundingWeights, features: np.ndarray, pairs: Sequence[Pair]) -> None:
    """How much of what passes is right, and how much of what is right passes, by `(pairs, f)` features."""
    passed = weights.support(features) >= weights.threshold
    right, own = (np.array([getattr(pair, field) for pair in pairs]) for field in ("right", "own_words"))
    precision, recall = right[passed & own].mean(), passed[right & own].mean()
    print(f"{name}: {own.sum()} pairs, precision {precision:.3f}, recall {recall:.3f}")
    print(f"    of {(~own).sum()} in other people's words {passed[~own].mean():.3f} pass")


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit with and without a model that scores; print how well each does before and after."""
    from search.language.backends import open_language_model
    from search.settings import Settings
    from search.spaces.registry import open_space
    from search.spaces.specification import newest_starter

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=250, help="of each part")
    parser.add_argument("--write", action="store_true", help="store the weights in the package")
    options = parser.parse_args(arguments)
    settings = Settings.load()
    space = open_space(newest_starter(), settings)
    old = msgspec.json.decode(WEIGHTS.read_bytes(), type=Judges)
    grounding = Grounding(open_language_model(settings), lambda texts: space.embed(Signal.SPEECH, texts))
    tables = {}
    for part in ("validation", "test"):
        photos = read_photos(options.data / "photos" / "flickr8k.jsonl", part)[: options.photos]
        photos = [photo for photo in photos if len(photo["captions"]) == 5]
        texts = [tidy(caption) for photo in photos for caption in photo["captions"]]
        vectors = space.embed(Signal.SPEECH, texts).reshape(len(photos), 5, -1)
        tables[part] = measured(grounding, list(pairs(photos, vectors, np.random.default_rng(0))))
    features, examples = tables["validation"]
    new = Judges(scored=fitted(features, examples), blind=fitted(features * _NO_GAIN, examples))
    features, examples = tables["test"]
    for name, judges in (("before", old), ("after", new)):
        report(f"{name}, with likelihoods", judges.scored, features, examples)
        report(f"{name}, without", judges.blind, features * _NO_GAIN, examples)
    print(msgspec.json.format(msgspec.json.encode(new), indent=1).decode())
    if options.write:
        WEIGHTS.write_bytes(msgspec.json.format(msgspec.json.encode(new), indent=1) + b"\n")


if __name__ == "__main__":
    main()
