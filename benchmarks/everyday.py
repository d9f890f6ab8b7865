"""What people type: single words, short phrases, other languages, things that are not there.

    python -m benchmarks.everyday ../shared/data [--version 1] [--part test] [--json FILE]
    python -m benchmarks.everyday ../shared/data --library /tmp/everyday [--version 1] [--json FILE]

The first form asks the starter space alone: photos with captions of `--part` and of the validation part, without an
index. The second builds a real library of files of all kinds below the given folder (once; minutes), and asks the
engine. Any folder of the layout of the data will do. A photo is right for words that at least two of its captions
hold; captions leave things out, so what is right is more than what counts as right.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from PIL import Image

from benchmarks.everyday_details import details
from benchmarks.everyday_library import library_report
from search.settings import Settings
from search.signals import Signal
from search.spaces.inputs import fit
from search.spaces.registry import open_space
from search.spaces.space import Space
from search.spaces.specification import NEWEST_STARTER, StarterSpecification, newest_starter
from search.words import stem
from training.measures import own_ranks, recall_at
from training.photos import SENTENCES, Photo, read_photos
from training.vocabulary import FUNCTION_WORDS

WRITTEN = Path(__file__).with_name("everyday.json")
LEAST_PHOTOS = 12  # that a word or phrase must be right for
LEAST_CAPTIONS = 2  # of a photo that must hold it
LOOKED_AT = 10
PARALLEL = ("en", "de", "fr", "cs")


class Asked(Struct, frozen=True):
    """Words, and which of the photos are right for them."""

    text: str
    right: np.ndarray  # (photos,) bool


def main() -> None:
    """Print the tables; write the numbers as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--version", type=int, default=NEWEST_STARTER, help="of the starter space")
    parser.add_argument("--part", default="test")
    parser.add_argument("--library", type=Path, help="build a library here and ask the engine")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    version = newest_starter() if chosen.version == NEWEST_STARTER else StarterSpecification(version=chosen.version)
    photos = [photo for photo in read_photos(chosen.data) if photo.part in (chosen.part, "validation")]
    photos = [photo for photo in photos if _has_captions(photo)]
    captions = [[_words(sentence) for sentence in photo.sentences] for photo in photos]
    written = json.loads(WRITTEN.read_text("utf-8"))
    if chosen.library:
        report = library_report(chosen.data, chosen.library, version, photos, words_of(captions), written["absent"])
    else:
        with tempfile.TemporaryDirectory() as home:
            report = space_report(
                chosen.data, open_space(version, Settings.load({}, home=home)), photos, captions, chosen.part
            )
    for title, rows in report.items():
        print(f"\n| {title} | |\n|---|---|")
        for name, value in rows.items():
            print(f"| {name} | {value} |")
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", "utf-8")


def space_report(
    data: Path, space: Space, photos: Sequence[Photo], captions: Sequence[Sequence[Sequence[str]]], part: str
) -> dict[str, dict[str, Any]]:
    """What the vectors find, without calibration."""
    pictures = np.concatenate(
        [
            space.embed(Signal.IMAGE, [fit(_open(photo), space.image_input) for photo in photos[start : start + 32]])
            for start in range(0, len(photos), 32)
        ]
    )
    written = json.loads(WRITTEN.read_text("utf-8"))

    def precision(asked: Sequence[Asked]) -> str:
        queries = space.embed_query_text([query.text for query in asked])[Signal.IMAGE]
        best = np.argsort(-(queries @ pictures.T), axis=1)[:, :LOOKED_AT]
        return f"{np.mean([query.right[row].mean() for query, row in zip(asked, best, strict=True)]):.3f}"

    asked = {"words": words_of(captions), "phrases": phrases_of(captions)}
    return {
        f"precision at {LOOKED_AT} among {len(photos)} photos": {
            f"{kind} ({len(queries_of_kind)})": precision(queries_of_kind) for kind, queries_of_kind in asked.items()
        },
        f"captions of photos, R@10 among {len(photos)}": _captions(data, space, photos, pictures, part),
        f"written queries, precision at {LOOKED_AT}": _by_language(written["pictures"], captions, precision),
        "passages of another language": passages(space, written["pairs"]),
        "colours, counts, negation: pairs in the right order": details(
            space, pictures, [photo.sentences for photo in photos]
        ),
    }


def words_of(captions: Sequence[Sequence[Sequence[str]]]) -> list[Asked]:
    """All single words that are right for enough photos, in the form that captions use most."""
    return _asked(captions, lambda words: [(word,) for word in words if len(word) > 2])


def phrases_of(captions: Sequence[Sequence[Sequence[str]]]) -> list[Asked]:
    """All runs of two to four words that are right for enough photos, from one telling word to another."""
    return _asked(
        captions, lambda words: [tuple(words[i : i + n]) for n in (2, 3, 4) for i in range(len(words) - n + 1)]
    )


def _asked(
    captions: Sequence[Sequence[Sequence[str]]], parts: Callable[[Sequence[str]], list[tuple[str, ...]]]
) -> list[Asked]:
    held: dict[tuple[str, ...], np.ndarray] = {}
    spelled: dict[tuple[str, ...], dict[str, int]] = {}
    for number, sentences in enumerate(captions):
        for words in sentences:
            telling = [part for part in parts(words) if not {part[0], part[-1]} & FUNCTION_WORDS]
            for part in set(telling):
                key = tuple(map(stem, part))
                held.setdefault(key, np.zeros(len(captions), int))[number] += 1
                spelling = spelled.setdefault(key, {})
                spelling[" ".join(part)] = spelling.get(" ".join(part), 0) + 1
    right = {key: count >= LEAST_CAPTIONS for key, count in held.items()}
    enough = [key for key, photos in right.items() if photos.sum() >= LEAST_PHOTOS]
    return [Asked(_most_often(spelled[key]), right[key]) for key in sorted(enough)]


def _most_often(spelled: Mapping[str, int]) -> str:
    return max(spelled, key=lambda form: spelled[form])


def _captions(data: Path, space: Space, photos: Sequence[Photo], pictures: np.ndarray, part: str) -> dict[str, str]:
    """Each language's description of a photo finds the photo."""
    texts, own = [sentence for photo in photos for sentence in photo.sentences], np.arange(len(photos))
    by_set = {"own captions": (texts, own.repeat(len(photos[0].sentences)))}
    places = {photo.path.name: number for number, photo in enumerate(photos)}
    listing = data / "text" / "multi30k.jsonl.gz"
    here = [row for row in _rows(listing) if row["part"] == part and Path(row["photo"] or "").name in places]
    for language in PARALLEL:
        told = [row for row in here if row.get(language)]
        if told:
            own = np.array([places[Path(row["photo"]).name] for row in told])
            by_set[f"{language}, {part} ({len(told)})"] = ([row[language] for row in told], own)
    return {
        name: f"{recall_at(own_ranks(space.embed_query_text(texts)[Signal.IMAGE] @ pictures.T, own), 10):.3f}"
        for name, (texts, own) in by_set.items()
    }


def _by_language(
    written: Sequence[Mapping[str, str]],
    captions: Sequence[Sequence[Sequence[str]]],
    precision: Callable[[Sequence[Asked]], str],
) -> dict[str, str]:
    """The same things asked for in each language; right is what two captions hold all the English words of."""
    right = []
    for row in written:
        wanted = {stem(word) for word in row["words"].split()}
        held = [sum(wanted <= set(map(stem, words)) for words in sentences) for sentences in captions]
        right.append(np.array(held) >= LEAST_CAPTIONS)
    languages = [name for name in written[0] if name != "words"]
    return {
        language: precision([Asked(row[language], held) for row, held in zip(written, right, strict=True)])
        for language in languages
    }


def passages(space: Space, pairs: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Questions in one language, and passages in another that answer them."""
    queries = space.embed_query_text([pair["question"] for pair in pairs])[Signal.SPEECH]
    ranks = own_ranks(
        queries @ space.embed(Signal.SPEECH, [pair["passage"] for pair in pairs]).T, np.arange(len(pairs))
    )
    trained = np.array([{pair["asked"], pair["said"]} <= set(PARALLEL) for pair in pairs])
    groups = {"all": np.ones(len(pairs), bool), "languages of the training": trained, "others": ~trained}
    return {
        f"{name} ({held.sum()}), R@1 / R@5": f"{recall_at(ranks[held], 1):.3f} / {recall_at(ranks[held], 5):.3f}"
        for name, held in groups.items()
        if held.any()
    }


def _words(sentence: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", sentence.lower())


def _rows(listing: Path) -> list[dict[str, Any]]:
    """Of a compressed list; none where it is missing."""
    if not listing.exists():
        return []
    with gzip.open(listing, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _has_captions(photo: Photo) -> bool:
    """Five of its own: not a label, and not questions with their answers."""
    return photo.label is None and len(set(photo.sentences)) == SENTENCES and "?" not in photo.sentences[0]


def _open(photo: Photo) -> Image.Image:
    with Image.open(photo.path) as image:
        return image.convert("RGB")


if __name__ == "__main__":
    main()
