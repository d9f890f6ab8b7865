"""How often the embedded model is right about a picture, by kind of question: what the support of a look is.

    python -m training.looks --data ../shared/data --home HOME --rows rows.jsonl

Asks what answers ask (`search.language.looking`) about the second half of Flickr8k's validation photos: the first was
used to fit how colours are chosen. What is right comes from five people's captions of a photo: the colour of a thing
of which they name one, a number that they agree on, the verb of what somebody does, what is worn or held, where it is,
what is there and what is not. A caption is right where at least half of its words are people's. `--rows` keeps what
was asked and answered; `search/multimodal/weights/looks.json` is printed, after lines on stderr of what was counted. Of
n that were sure enough to be said and r right ones it holds (r + 1) / (n + 2). Figures set by hand stay as they are
(`BY_HAND`): those of sounds, which are not asked about here, and of colours, of which too few have been.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image

from search.language.backends import LocalModel
from search.language.lexical import content, numbers
from search.language.looking import Chances, Looker
from search.multimodal.look_questions import LookKind, look_for
from search.multimodal.vision import open_senses
from search.results import AssetView, Hit, Kind, Moment
from search.settings import Settings
from search.signals import Sense, Signal
from search.spaces.inputs import Waveform
from search.spaces.registry import open_space
from search.spaces.specification import newest_starter
from training.instructions import THINGS, from_captions, sure_colours
from training.projector_data import read_photos

BY_HAND = frozenset({"colour", "heard"})
FIRST = 250  # of the validation photos: those before were used to choose colours
_WORN = re.compile(r"\b(man|woman|boy|girl|child|lady) (?:\w+ ){0,3}(wearing|holding|carrying|riding) ((?:\w+ ){1,4})")


def asked_of(captions: Sequence[str], random: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Questions about a photo, and what is right: words of which the answer must hold one, or the one answer."""
    plain = [caption.lower() for caption in captions]
    said = set(re.findall(r"[a-z-]+", " ".join(plain)))
    for thing, colour in list(sure_colours(plain).items())[:2]:
        yield f"What colour is the {thing}?", colour
    for exchange in from_captions(captions, random):
        if exchange.question.startswith("How many"):
            yield exchange.question, exchange.answer.strip(".").lower()
    doing = " ".join(re.findall(r"\b[a-z]{3,}ing\b", " ".join(plain)))
    for who in sorted({who for who in ("man", "woman", "boy", "girl", "dog") if who in said})[:1]:
        if doing:
            yield f"What is the {who} doing?", doing
    for who, act, _ in [found for caption in plain for found in _WORN.findall(f"{caption} ")][:1]:
        yield f"What is the {who} {act}?", " ".join(plain)
    there = [thing for thing in THINGS if thing in said or f"{thing}s" in said]
    away = [thing for thing in THINGS if thing not in there and not (thing == "bicycle" and "bike" in said)]
    for thing in there[:1]:
        yield f"Is there a {thing} in the picture?", "yes"
        yield f"Is there a {random.choice(away)} in the picture?", "no"
    if {"dog", "man", "woman", "boy", "girl"} & said:
        yield (
            f"Where is the {next(who for who in ('dog', 'man', 'woman', 'boy', 'girl') if who in said)}?",
            " ".join(plain),
        )
    yield "What is this?", " ".join(plain)


def is_right(kind: LookKind, told: str, true: str) -> bool:
    """Whether an answer is one that people's captions give."""
    if kind is LookKind.COLOUR:
        return told.lower() == true
    if kind is LookKind.YES_NO:
        return told.lower().startswith(true)
    if kind is LookKind.COUNT:
        return bool(numbers(f"{told} {told}") & numbers(f"{true} {true}")) or told.lower() == true
    words = content(told)
    if kind is LookKind.WHOLE:
        return bool(words) and len(words & content(true)) >= 0.5 * len(words)
    if kind is LookKind.DOING and "ing" in true and len(true.split()) < 20 and told:
        return told.lower().split()[0] in true.split() or bool(words & content(true))
    return bool(words & content(true))


def table(rows: Iterable[Mapping[str, Any]], before: Chances, adapter: str) -> Chances:
    """How often what the adapter of an identity said is right; by hand as `before`, 0.5 for a kind that has no rows."""
    said: dict[str, list[bool]] = {kind: [] for kind in LookKind if kind not in BY_HAND}
    for row in rows:
        if row["told"] and row["kind"] in said:
            said[row["kind"]].append(row["right"])
    measured = {kind: round((sum(right) + 1) / (len(right) + 2), 2) for kind, right in said.items()}
    return msgspec.structs.replace(before, adapter=adapter, **measured)


def hit_of(number: int) -> Hit:
    """A photo as the looker is given it."""
    moment = Moment(
        segment_id=number,
        signal=Signal.IMAGE,
        start_seconds=None,
        end_seconds=None,
        text=None,
        score=0.0,
        relevance=1.0,
        thumbnail="",
    )
    asset = AssetView(id=str(number), path=f"{number}.jpg", kind=Kind.IMAGE)
    return Hit(asset=asset, relevance=1.0, moments=(moment,))


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask, keep the rows, and print the file of chances."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True, help="where the converted language model is kept")
    parser.add_argument("--rows", type=Path, required=True, help="JSON lines of what was asked; continued if there")
    parser.add_argument("--photos", type=int, default=250)
    options = parser.parse_args(arguments)
    settings = Settings.load(home=options.home)
    folder = options.data / "photos" / "flickr8k"
    photos = read_photos(options.data / "photos" / "flickr8k.jsonl", "validation")[FIRST:][: options.photos]

    def picture(asset_id: int, seconds: float | None, side: int, page: int | None = None) -> bytes:
        del seconds, side, page  # a photo is what it is
        out = io.BytesIO()
        Image.open(folder / photos[asset_id]["file"]).convert("RGB").save(out, "PNG")
        return out.getvalue()

    def silence(asset_id: int, start: float, end: float) -> Waveform:
        raise NotImplementedError(asset_id, start, end)

    senses = open_senses(LocalModel(settings), settings)
    assert senses
    looker = Looker(senses, open_space(newest_starter(), settings), picture, silence)
    random = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    if options.rows.is_file():
        rows = [json.loads(line) for line in options.rows.read_text("utf-8").splitlines()]
    done = {row["photo"] for row in rows}
    with options.rows.open("a", encoding="utf-8") as file:
        for number, photo in enumerate(photos):
            for question, true in asked_of(photo["captions"], random):
                look = look_for(question, {Sense.SEEN})
                if number in done or look is None:
                    continue
                (told,) = looker.impressions(look, [hit_of(number)])
                right = bool(told) and is_right(look.kind, told, true)
                rows.append({"photo": number, "kind": look.kind, "question": question, "told": told, "right": right})
                print(json.dumps(rows[-1]), file=file, flush=True)
    by_kind = defaultdict(list)
    for row in rows:
        by_kind[row["kind"]].append(row)
    for kind, asked in by_kind.items():
        said = [row for row in asked if row["told"]]
        rights = sum(row["right"] for row in said)
        print(f"{kind}: {len(asked)} asked, {len(said)} said, {rights} right", file=sys.stderr)
    chances = table(rows, Chances.load(), senses.vision.identity)
    print(msgspec.json.format(msgspec.json.encode(chances), indent=2).decode())


if __name__ == "__main__":
    main()
