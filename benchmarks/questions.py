"""Questions about the shared data, with what a right answer must hold and where it stands.

Spoken facts are written by hand about readings that anyone can hear; the others are made from labels,
captions and the files' facts. Every question is `validation` or `test`, by its source, so that nothing about
a source is fitted and reported alike. Knows no engine and no model.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from search.language.lexical import content


class Question(Struct, frozen=True, kw_only=True):
    """One question. `answer` is a pattern that the answer must hold; `sources` are files that may carry it."""

    kind: str  # spoken, moment, seen, place, count, fact, unanswerable
    text: str
    answer: str = ""  # empty: being right about the source is enough
    sources: frozenset[str] = frozenset()
    part: str = "test"

    @property
    def answerable(self) -> bool:
        """Does the library hold the answer?"""
        return self.kind != "unanswerable"


class Written(Struct, frozen=True, forbid_unknown_fields=True):
    """What was written by hand, in questions.json."""

    spoken: dict[str, tuple[tuple[str, str], ...]]  # reading -> (question, pattern that an answer must hold)
    moments: dict[str, str]  # reading -> what it speaks of
    unanswerable: tuple[str, ...]  # neither said nor shown; the later ones come close to what is said
    things: dict[str, tuple[str, ...]]  # set of photos -> labels, as a question says them
    places: dict[str, tuple[str, ...]]
    absent: tuple[str, ...]  # things that no photo shows


WRITTEN = msgspec.json.decode(Path(__file__).with_suffix(".json").read_bytes(), type=Written)
AGREE = 2  # captions of a photo that name a thing before it counts as shown
CAMERAS = ("Canon EOS R5", "Nikon Z6", "Fujifilm X-T4", "Sony A7C", "Pixel 8", "iPhone 14")


class Facts(Struct, frozen=True):
    """What a photo's file is made to state about itself, the same at every run."""

    captured_at: float
    camera: str
    latitude: float
    longitude: float


def facts_of(name: str) -> Facts:
    """Facts for a file, drawn from its name."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    day = 1_262_304_000 + (seed % 5000) * 86_400 + (seed >> 13) % 86_400
    return Facts(float(day), CAMERAS[seed % len(CAMERAS)], (seed >> 20) % 120 - 60, (seed >> 30) % 340 - 170)


def part_of(name: str) -> str:
    """`validation` for a third of all sources, by name; `test` for the others."""
    return "validation" if hashlib.sha256(name.encode()).digest()[0] % 3 == 0 else "test"


def all_questions(photos: Sequence[Mapping[str, str]]) -> list[Question]:
    """Every question. `photos`: rows with `set`, `name` and (where they have one) `label`."""
    return [*spoken(), *moments(), *unanswerable(), *seen(photos), *counts(photos), *file_facts(photos)]


def spoken() -> Iterator[Question]:
    """Facts from the readings."""
    for name, asked in WRITTEN.spoken.items():
        for text, answer in asked:
            yield Question(kind="spoken", text=text, answer=answer, sources=frozenset({name}), part=part_of(name))


def moments() -> Iterator[Question]:
    """Where in the recordings something is said."""
    for name, subject in WRITTEN.moments.items():
        text = f"When does the speaker mention {subject}?"
        yield Question(kind="moment", text=text, answer=name, sources=frozenset({name}), part=part_of(name))


def unanswerable() -> Iterator[Question]:
    """What the library does not hold."""
    for text in WRITTEN.unanswerable:
        yield Question(kind="unanswerable", text=text, part=part_of(text))
    for thing in WRITTEN.absent:
        yield Question(kind="unanswerable", text=f"Is there a photo of a {thing}?", part=part_of(thing))


def seen(photos: Sequence[Mapping[str, str]]) -> Iterator[Question]:
    """Things and places: any photo with the label will do, or one whose captions name the thing."""
    labelled = {p["name"]: content(p.get("label", "")) for p in photos}
    told = {p["name"]: [content(line) for line in p.get("captions", "").splitlines()] for p in photos}
    for kind, groups in (("seen", WRITTEN.things), ("place", WRITTEN.places)):
        for labels in groups.values():
            for label in labels:
                thing = content(label)
                # The same thing may be in other sets too, also as "elephants" and "elephant".
                names = frozenset(name for name, held in labelled.items() if held == thing)
                names |= {name for name, lines in told.items() if sum(thing <= line for line in lines) >= AGREE}
                if names:
                    for text in (f"Is there a photo of {label}?", f"Which pictures show {label}?"):
                        yield Question(kind=kind, text=text, sources=names, part=part_of(label))


def counts(photos: Sequence[Mapping[str, str]]) -> Iterator[Question]:
    """How many photos of a thing there are."""
    for label in ("pagoda", "gramophone", "menorah", "helicopter", "bonsai", "bamboo forest", "sneaker", "archery"):
        names = frozenset(p["name"] for p in photos if p.get("label") == label)
        if names:
            text = f"How many photos of {label} do I have?"
            yield Question(kind="count", text=text, answer=rf"\b{len(names)} photo", sources=names, part=part_of(label))


def file_facts(photos: Sequence[Mapping[str, str]]) -> Iterator[Question]:
    """What files say about themselves, for photos picked by their names."""
    picked = sorted(photos, key=lambda photo: hashlib.sha256(photo["name"].encode()).digest()[::-1])[:40]
    for index, photo in enumerate(picked):
        name, facts = photo["name"], facts_of(photo["name"])
        text, answer = (
            (f"What camera was {name} taken with?", re.escape(facts.camera)),
            (f"When was {name} taken?", r"\b(?:19|20)\d\d\b"),
            (f"Where was {name} taken?", rf"{abs(facts.latitude):.4f}"),
            (f"What is the resolution of {name}?", r"\d+ x \d+"),
        )[index % 4]
        yield Question(kind="fact", text=text, answer=answer, sources=frozenset({name}), part=part_of(name))


def read_photos(data: Path) -> list[dict[str, str]]:
    """Every photo of the data: `set`, `name` (unique), `file` (its path); `label`, `captions` where it has them."""
    photos = []
    for listing in sorted((data / "photos").glob("*.jsonl")):
        for line in listing.read_text("utf-8").splitlines():
            row = json.loads(line)
            file = data / "photos" / listing.stem / row["file"]
            known = {"label": row["label"]} if "label" in row else {}
            if "captions" in row:
                known["captions"] = "\n".join(row["captions"])
            photos.append({"set": listing.stem, "name": file.name, "file": str(file), **known})
    return photos


def read_speech(data: Path) -> dict[str, str]:
    """Name of each recording -> what is said in it."""
    rows = [json.loads(line) for line in (data / "speech" / "ljspeech.jsonl").read_text("utf-8").splitlines()]
    said = {row["file"].removesuffix(".flac"): row["text"] for row in rows}
    said["jfk"] = (
        "And so my fellow Americans, ask not what your country can do for you, ask what you can do for your country."
    )
    return said
