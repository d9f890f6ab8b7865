"""Trains `search/spaces/weights/sound.safetensors`: sounds into the sentence space.

    python -m training.sounds ../shared/data

Two ridge regressions on frozen features (whisper's encoder states and spectrogram statistics): to the
labels and to the labels' vectors. Both are closed-form, so the result is the same on every run. Reports text to sound
mAP with one fold left out, with phrasings that training never saw, and for labels that it never heard.
Settings are chosen inside the training folds only.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from indexer.decoding import audio
from indexer.decoding.decoder import limits_of
from indexer.decoding.items import DecodeRequest, SoundItem
from search.settings import Settings
from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform
from search.spaces.sound import FEATURES, HEAD, SoundFeatures, SoundHead, windows
from search.spaces.space import unit_rows
from search.spaces.text.minilm import MiniLM
from search.spaces.weights import PRIOR, SHIPPED, shipped
from training.sound_phrasings import SEEN, UNSEEN
from training.synthetic_sounds import synthetic

SEED = 0
FOLDS = 4
COPIES = 5  # changed copies of each clip that training hears besides the clip
DIMENSIONS = 400  # principal components kept
# Between plain components (0) and white ones (1), which give the faintest differences the most weight.
WHITENING = 0.5
GRID = {"ridge": (0.3, 1.0, 3.0), "temperature": (0.07, 0.15), "blend": (0.5, 0.65, 0.8)}
SYNTHETIC = ("silence", "noise", "tone", "synthetic music")


@dataclass(frozen=True)
class Clips:
    """Labelled windows. `copies` are changed by augmentation and never tested on."""

    labels: np.ndarray  # (n,) str
    folds: np.ndarray  # (n,) int, 0 to FOLDS - 1
    features: np.ndarray  # (n, FEATURES)
    copies: np.ndarray  # (n, COPIES, FEATURES)


@dataclass(frozen=True)
class Recipe:
    """What validation chooses."""

    ridge: float  # times the mean variance of a dimension
    temperature: float
    blend: float


class Phrases:
    """Vectors of phrasings in the centred sentence space."""

    def __init__(self) -> None:
        model, centre = MiniLM.load(), load_file(shipped(PRIOR))["centre"]
        self.seen = {label: unit_rows(model.encode(texts) - centre) for label, texts in SEEN.items()}
        self.unseen = {label: unit_rows(model.encode(texts) - centre) for label, texts in UNSEEN.items()}

    def label(self, label: str) -> np.ndarray:
        """What all phrasings of a label have in common, a unit vector `(384,)`."""
        return np.asarray(unit_rows(self.seen[label].mean(axis=0, keepdims=True))[0])


def main() -> None:
    """Train, report, write weights and record."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--held-out", type=Path, help="also write the head that has not heard fold 4, to this file")
    arguments.add_argument("--cache", type=Path, help="an .npz that keeps the features between runs")
    options = arguments.parse_args()
    started = time.monotonic()
    clips = load_clips(options.data, options.cache)
    phrases = Phrases()
    chosen = [choose(clips, clips.folds != fold, phrases) for fold in range(FOLDS)]
    heads = [fit(Whitened(clips, clips.folds != fold), phrases, recipe) for fold, recipe in enumerate(chosen)]
    if options.held_out:
        _save(heads[-1], options.held_out)
    results = report(clips, heads, phrases) | {"unheard_labels": unheard(clips, phrases, chosen[0])}
    recipe = choose(clips, np.ones(len(clips.labels), bool), phrases)
    weights = fit(Whitened(clips, np.ones(len(clips.labels), bool)), phrases, recipe)
    _save(weights, SHIPPED / HEAD)
    record = {
        "command": "python -m training.sounds ../shared/data",
        "data": {
            "ESC-10 (folds 1 to 4)": "CC BY 3.0",
            "UrbanSound8K (70 clips)": "CC BY-NC 3.0",
            "LJSpeech (22 readings)": "public domain",
            "silence, noise, tones and simple music": "synthesised here",
        },
        "split": "leave one fold out; settings chosen inside the other folds; UrbanSound8K folded by recording",
        "seed": SEED,
        "loss": "squared error (ridge) to labels and to their vectors, on frozen features",
        "clips": len(clips.labels),
        "recipe": recipe.__dict__,
        "seconds": round(time.monotonic() - started),
        "results": results,
    }
    (SHIPPED / HEAD).with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2))


def _save(weights: dict[str, np.ndarray], file: Path) -> None:
    save_file({name: np.ascontiguousarray(_small(value)) for name, value in weights.items()}, file)
    file.chmod(0o644)  # safetensors writes for the owner alone


def _small(value: np.ndarray) -> np.ndarray:
    return value.astype(np.float16 if value.size > 4096 else np.float32)


def load_clips(data: Path, cache: Path | None) -> Clips:
    """All clips with their features."""
    if cache and cache.is_file():
        stored = np.load(cache)
        return Clips(stored["labels"], stored["folds"], stored["features"], stored["copies"])
    random = np.random.default_rng(SEED)
    sources = [*recordings(data), *synthetic(random)]
    extract = SoundFeatures.load(Settings.load().models, threads=2)
    waveforms = [waveform for _, _, waveform in sources]
    features = np.stack([extract(windows(waveform)).mean(axis=0) for waveform in waveforms])
    copies = np.stack([extract([changed(w, random) for w in waveforms]) for _ in range(COPIES)], axis=1)
    clips = Clips(
        np.array([label for label, _, _ in sources]), np.array([fold for _, fold, _ in sources]), features, copies
    )
    if cache:
        np.savez(cache, **clips.__dict__)
    return clips


def recordings(data: Path) -> list[tuple[str, int, Waveform]]:
    """(label, fold, waveform) of every labelled recording; those of one source stay in one fold."""
    clips = []
    for row in _rows(data / "sounds" / "esc10.jsonl"):
        label = row["label"].lower()
        clips.append((label, row["fold"] - 1, _waveform(data / "sounds" / "esc10" / row["file"])))
    sources: dict[str, int] = {}
    for row in _rows(data / "sounds" / "urbansound8k.jsonl"):
        recording = Path(row["file"]).name.split("-")[0]
        fold = sources.setdefault(recording, len(sources) % FOLDS)
        clips.append((row["label"], fold, _waveform(data / "sounds" / "urbansound8k" / row["file"])))
    for number, row in enumerate(_rows(data / "speech" / "ljspeech.jsonl")):
        clips.append(("speech", number % FOLDS, _waveform(data / "speech" / "ljspeech" / row["file"])))
    return clips


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _waveform(path: Path) -> Waveform:
    request = DecodeRequest(path, limits_of(Settings.load()), {})
    return np.concatenate([item.waveform for item in audio.decode(request) if isinstance(item, SoundItem)])


def changed(waveform: Waveform, random: np.random.Generator) -> Waveform:
    """Another cut of the clip at another loudness, with a little noise and another room."""
    longest = 5 * SAMPLE_RATE_HZ
    length = min(len(waveform), int(random.uniform(0.5, 1.0) * longest))
    start = random.integers(0, len(waveform) - length + 1)
    piece = waveform[start : start + length] * random.uniform(0.3, 1.2)
    noise = np.cumsum(random.normal(size=length)) if random.random() < 0.5 else random.normal(size=length)
    noise *= 10 ** random.uniform(-4, -1.5) * (np.abs(piece).max() + 1e-4) / (np.abs(noise).max() + 1e-9)
    if random.random() < 0.5:  # a microphone that hears less of the high or of the low
        tilt = random.uniform(-0.6, 0.6)
        piece = piece - tilt * np.concatenate([[0], piece[:-1]])
    return (piece + noise).clip(-1, 1).astype(np.float32)


class Whitened:
    """The training part, standardised and turned to its principal components once for every recipe."""

    def __init__(self, clips: Clips, train: np.ndarray) -> None:
        """`train`: which clips, `(clips,) bool`."""
        x = np.concatenate([clips.features[train], clips.copies[train].reshape(-1, FEATURES)]).astype(np.float64)
        self.labels = np.concatenate([clips.labels[train], np.repeat(clips.labels[train], COPIES)])
        self.mean, self.deviation = x.mean(axis=0), x.std(axis=0) + 1e-3
        scaled = (x - self.mean) / self.deviation
        variances, directions = np.linalg.eigh(scaled.T @ scaled / len(x))
        scale = (variances[::-1][:DIMENSIONS] + 1e-6) ** (WHITENING / 2)
        self.basis = directions[:, ::-1][:, :DIMENSIONS] / scale
        self.reduced = scaled @ self.basis


def fit(data: Whitened, phrases: Phrases, recipe: Recipe) -> dict[str, np.ndarray]:
    """The weights of a SoundHead from a training part, such as `basis` `(features, dimensions)`."""
    labels, reduced = data.labels, data.reduced
    names = sorted(set(labels))
    balance = {name: len(labels) / (len(names) * (labels == name).sum()) for name in names}
    weight = np.array([balance[label] for label in labels])[:, None]
    vectors = np.stack([phrases.label(name) for name in names])
    one_hot = (labels[:, None] == np.array(names)).astype(np.float64)
    targets = np.hstack([one_hot, one_hot @ vectors])
    centre, offset = (reduced * weight).sum(axis=0) / weight.sum(), (targets * weight).sum(axis=0) / weight.sum()
    centred = reduced - centre
    gram = (centred * weight).T @ centred
    gram += recipe.ridge * np.trace(gram) / len(gram) * np.eye(len(gram))
    linear = np.linalg.solve(gram, (centred * weight).T @ (targets - offset))
    bias = offset - centre @ linear
    count = len(names)
    return {
        "mean": data.mean,
        "deviation": data.deviation,
        "basis": data.basis,
        "map": linear[:, count:],
        "map_bias": bias[count:],
        "classes": linear[:, :count],
        "classes_bias": bias[:count],
        "labels": vectors,
        "temperature": np.array([recipe.temperature]),
        "blend": np.array([recipe.blend]),
    }


def choose(clips: Clips, train: np.ndarray, phrases: Phrases) -> Recipe:
    """The recipe with the best mAP when one of the training folds is left out. `train`: `(clips,) bool`."""
    folds = sorted(set(clips.folds[train]))
    scores: dict[Recipe, list[float]] = {}
    for fold in folds:
        inner, outer = Whitened(clips, train & (clips.folds != fold)), train & (clips.folds == fold)
        for ridge in GRID["ridge"]:
            weights = fit(inner, phrases, Recipe(ridge, 1.0, 0.5))
            for temperature, blend in product(GRID["temperature"], GRID["blend"]):
                weights |= {"temperature": np.array([temperature]), "blend": np.array([blend])}
                vectors = SoundHead(weights)(clips.features[outer])
                by_label = text_to_sound(vectors, clips.labels[outer], phrases.seen)
                score = np.mean([value for label, value in by_label.items() if label not in SYNTHETIC])
                scores.setdefault(Recipe(ridge, temperature, blend), []).append(float(score))
    return max(scores, key=lambda recipe: float(np.mean(scores[recipe])))


def text_to_sound(vectors: np.ndarray, labels: np.ndarray, texts: dict[str, np.ndarray]) -> dict[str, float]:
    """Average precision of each label of `(n, 384)` vectors, over its phrasings `(m, 384)`."""
    return {
        label: float(np.mean([average_precision(vectors @ text, labels == label) for text in texts[label]]))
        for label in sorted(set(labels))
    }


def average_precision(scores: np.ndarray, relevant: np.ndarray) -> float:
    """Of one ranking, with `(n,)` scores and bool relevances."""
    hits = relevant[np.argsort(-scores, kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def report(clips: Clips, heads: Sequence[dict[str, np.ndarray]], phrases: Phrases) -> dict[str, object]:
    """Results over the folds that each head has not heard. Heads: As `fit` returns them."""
    seen: dict[str, list[float]] = {}
    unseen: dict[str, list[float]] = {}
    nearest: list[float] = []
    for fold, weights in enumerate(heads):
        test = clips.folds == fold
        vectors, labels = SoundHead(weights)(clips.features[test]), clips.labels[test]
        for store, texts in ((seen, phrases.seen), (unseen, phrases.unseen)):
            for label, score in text_to_sound(vectors, labels, texts).items():
                store.setdefault(label, []).append(score)
        similar = vectors @ vectors.T
        np.fill_diagonal(similar, -2)
        nearest += list(labels[similar.argmax(axis=1)] == labels)
    return {
        "text_to_sound_mAP": _mean({label: values for label, values in unseen.items() if label not in SYNTHETIC}),
        "text_to_sound_mAP_seen_phrasings": _mean({k: values for k, values in seen.items() if k not in SYNTHETIC}),
        "text_to_sound_mAP_with_synthetic_labels": _mean(unseen),
        "sound_to_sound_P@1": round(float(np.mean(nearest)), 3),
        "mAP_by_label_unseen_phrasings": {label: round(float(np.mean(values)), 3) for label, values in unseen.items()},
    }


def _mean(by_label: dict[str, list[float]]) -> float:
    return round(float(np.mean([np.mean(values) for values in by_label.values()])), 3)


def unheard(clips: Clips, phrases: Phrases, recipe: Recipe) -> dict[str, object]:
    """AP of each label when training has never heard it: what is left for sounds that nobody labelled."""
    scores, chance = {}, {}
    for label in sorted(set(clips.labels)):
        weights = fit(Whitened(clips, clips.labels != label), phrases, recipe)
        vectors = SoundHead(weights)(clips.features)
        scores[label] = text_to_sound(vectors, clips.labels, phrases.unseen)[label]
        chance[label] = float((clips.labels == label).mean())
    return {
        "mAP": round(float(np.mean(list(scores.values()))), 3),
        "chance": round(float(np.mean(list(chance.values()))), 3),
        "by_label": {label: round(score, 3) for label, score in scores.items()},
    }


if __name__ == "__main__":
    main()
