"""Trains `search/spaces/weights/words.safetensors`: words and languages of the starter's text side.

    python -m training.words ../shared/data --cache /tmp/words

Pictures stay what the image head makes of them (`training/images.py`). Learned is (1) a linear map from
multilingual-e5-small into the sentence space, by ridge regression, from sentences whose meaning MiniLM knows in
English; (2) how English a text is, by logistic regression; (3) what each encoder's vector is compared with pictures
by: maps trained on words and phrases (all photos of a word are right), on captions, and on parallel sentences.
Only `train` parts and texts without photos train, only validation photos choose; `benchmarks/everyday.py` reports.
A first run leaves out a fifth of all words and every set but the captioned one, and is only looked at.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor

from search.spaces.text import e5, minilm
from search.spaces.weights import E5, IMAGE, MINILM, SHIPPED, WORDS, file_sha256, shipped
from training.image_validation import QUERY
from training.measures import average_precisions, own_ranks, recall_at
from training.photos import Photo
from training.word_maps import TUNED, Trainer, WordMaps
from training.word_texts import SHARE, Texts, fit_sentence_map, fit_share

SEED = 0
STEPS = 700
Asked = Callable[[list[str]], Tensor]  # words -> what is compared with pictures

LEFT_OUT_SHARE = 0.2  # of the words, in the first run
_SMALL = 10_000  # numbers
LEAST_PHOTOS = 6  # of the validation part, for a word to be looked at


def main(data: Path, cache: Path) -> None:
    """All steps; what is in the cache is not computed again."""
    started = time.monotonic()
    cache.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    texts = Texts(data, cache)
    sentence_map = fit_sentence_map(texts)
    share = fit_share(texts, sentence_map)
    words = np.array(sorted(texts.vocabulary.words))
    left_out = frozenset(np.random.default_rng(SEED).choice(words, int(len(words) * LEFT_OUT_SHARE), replace=False))
    captioned = np.array([photo.set == "flickr8k" for photo in texts.photos])
    unseen = Trainer(texts, texts.vocabulary.entries(left_out), captioned).run(STEPS)
    report = {"before": look(texts, None, left_out), "left_out": look(texts, unseen, left_out)}
    print(json.dumps(report, indent=1), flush=True)
    maps = Trainer(texts, texts.vocabulary.entries(), np.ones(len(texts.photos), bool)).run(STEPS)
    report["after"] = look(texts, maps, left_out)
    export(texts, maps, sentence_map, share)
    write_record(data, report, time.monotonic() - started)


@torch.no_grad()
def look(texts: Texts, maps: WordMaps | None, left_out: frozenset[str]) -> dict[str, float]:
    """On validation photos: words, captions in four languages; and the labelled sets. Without maps: version 1."""
    rows = np.flatnonzero([photo.part == "validation" for photo in texts.photos])
    pictures = texts.pictures[0][rows]
    photos = [texts.photos[row] for row in rows]

    def asked(words: list[str], english: bool = True) -> Tensor:
        if maps is None:
            return texts.as_version_1(words)
        return maps.queries(texts.english_layers(words), texts.every_layers(words), SHARE if english else 0.0)

    captions = [sentence for photo in photos for sentence in photo.sentences]
    own = np.arange(len(photos)).repeat(len(photos[0].sentences))
    measured = {"captions": recall_at(own_ranks((asked(captions) @ pictures.T).numpy(), own), 10)}
    for language, pairs in texts.descriptions("validation").items():
        told = [pairs[photo.path.name] for photo in photos if photo.path.name in pairs]
        own = np.array([number for number, photo in enumerate(photos) if photo.path.name in pairs])
        measured[language] = recall_at(own_ranks((asked(told, language == "en") @ pictures.T).numpy(), own), 10)
    for name, chosen in (("words", set(texts.vocabulary.words) - left_out), ("words left out", left_out)):
        measured[name] = _precision(texts, photos, pictures, sorted(chosen), asked)
    measured |= {name: _label_precision(texts, name, asked) for name in texts.labelled_sets}
    measured["labelled sets"] = float(np.mean([measured[name] for name in texts.labelled_sets]))
    return {name: round(value, 3) for name, value in measured.items()}


def _precision(texts: Texts, photos: list[Photo], pictures: Tensor, words: list[str], asked: Asked) -> float:
    held = texts.captions_holding(photos, words)
    enough = np.flatnonzero((held >= 2).sum(axis=1) >= LEAST_PHOTOS)
    best = (asked([words[number] for number in enough]) @ pictures.T).topk(10, dim=1).indices.numpy()
    return float(np.mean([(held[number][row] >= 2).mean() for number, row in zip(enough, best, strict=True)]))


def _label_precision(texts: Texts, name: str, asked: Asked) -> float:
    """Mean average precision of "a photo of LABEL" over a set."""
    rows = np.flatnonzero([photo.set == name for photo in texts.photos])
    labels = np.array([texts.photos[row].label for row in rows])
    names, first = np.unique(labels, return_index=True)
    queries = asked([texts.photos[rows[number]].sentences[QUERY] for number in first])
    scores = (queries @ texts.pictures[0][rows].T).numpy()
    return float(average_precisions(scores, names[:, None] == labels[None, :]).mean())


def export(texts: Texts, maps: WordMaps, sentence_map: np.ndarray, share: dict[str, np.ndarray]) -> None:
    """Write the weights: matrices `(out, in)` as float16, what is small as float32."""
    tensors = {name: value.numpy() for name, value in maps.state().items()}
    tensors |= {"every.centres": texts.every_centres, "english.centres": texts.english_centres}
    tensors["share.most"] = np.array([SHARE], np.float32)
    tensors |= {"sentence.map": sentence_map[:-1].T, "sentence.bias": sentence_map[-1]}
    tensors |= {f"share.{name}": value for name, value in share.items()}
    small = {
        name: np.ascontiguousarray(value, np.float16 if value.size > _SMALL else np.float32)
        for name, value in tensors.items()
    }
    save_file(small, SHIPPED / WORDS)


def write_record(data: Path, report: dict[str, dict[str, float]], seconds: float) -> None:
    """The record beside the weights: what they come from and how good they were when chosen."""
    record = {
        "file": WORDS,
        "sha256": file_sha256(shipped(WORDS)),
        "command": f"python -m training.words {data}",
        "seed": SEED,
        "minutes": round(seconds / 60),
        "base": {"text": MINILM.sha256, "every language": E5.sha256, "image head": file_sha256(shipped(IMAGE))},
        "loss": "words and phrases: all their photos as positives, soft by how many captions say it, as a list and "
        "one by one; captions against photos; parallel sentences against the English one; both maps near the "
        f"sentence space; then {TUNED} of the way from where the maps began",
        "layers": {"text": minilm.LAYERS, "every language": e5.LAYERS},
        "split": "train parts and texts without photos train, validation photos choose, test parts only report",
        "data": json.loads((Path(__file__).parent / "photo_sets.json").read_text("utf-8"))
        | {
            "multi30k.jsonl.gz": "descriptions in English, German, French and Czech, train part and those without "
            "photos here; Multi30k, research use as Flickr30k",
            "timm": "WordNet's glosses of 21,000 ImageNet classes; WordNet licence",
        },
        "share_of_english": SHARE,
        "validation": report,
        "measures": "captions and languages: recall at 10 among 500 photos; words: precision at 10, right is what two "
        "captions say; labelled sets: mean average precision of 'a photo of LABEL'. 'left_out' is a run without a "
        "fifth of the words and without any of these sets; 'before' is version 1 of the space",
    }
    path = (SHIPPED / WORDS).with_suffix(".json")
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train the words and languages of the starter space.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("build/words"))
    arguments = parser.parse_args()
    main(arguments.data, arguments.cache)
