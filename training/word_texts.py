"""What `training/words.py` learns from: photos as vectors, texts as vectors, and the two fits in closed form or nearly.

Knows the data's layout and both encoders; knows nothing of the maps that are trained by steps.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file
from torch import Tensor
from torch.nn import functional

from search.spaces.image_encoder import ImageEncoder
from search.spaces.inputs import fit
from search.spaces.starter import IMAGE_INPUT
from search.spaces.text.e5 import MultilingualE5
from search.spaces.text.minilm import DIMENSION, MiniLM
from search.spaces.text.sentences import EnglishSentences, by_layer
from search.spaces.weights import PRIOR, package_folder, shipped
from training.photos import Photo, read_photos
from training.text_cache import TextCache
from training.vocabulary import LANGUAGES, Vocabulary, split

SHARE = 0.6  # of MiniLM in the mixture for an English text: best of 1, 0.7, 0.5, 0.3 and 0 for passages, by validation
READ = 2  # captions of each training photo that the multilingual encoder reads: a third adds minutes and nothing else
PARALLEL = 4_000  # descriptions without photos, of 25,607
GLOSSES = 6_000
RIDGE = 1e-4  # per text
# Weights of kinds of texts in the fit of the sentence map: glosses are all that is not about photos.
_GLOSS, _CAPTION, _OTHER_LANGUAGE, _WORD, _TRANSLATED = 2.0, 1.0, 0.5, 0.5, 0.3
_SHARE_STEPS, _SHARE_RATE, _SHARE_DECAY = 600, 0.02, 0.1


class Texts:
    """Photos, their words, and vectors of both."""

    def __init__(self, data: Path, cache: Path) -> None:
        self.photos = read_photos(data)
        self._rows = _read_parallel(data)
        self._english = TextCache(cache / "english.npy", lambda: MiniLM.load().layers)
        self._every = TextCache(cache / "every.npy", lambda: lambda texts: _e5().encode(texts).layers)
        self._reading = TextCache(cache / "reading.npy", lambda: MiniLM.load().reading)
        training = [photo if photo.part == "train" else _unseen(photo) for photo in self.photos]
        self.vocabulary = Vocabulary(training, self._rows_of("train", "text"))
        self.parallel = self._choose_parallel()
        self.pictures = _pictures(self.photos, cache / "pictures.npy")
        self.captions = [sentence for photo in self.photos for sentence in self.read(photo)]
        self.every_centres = self._every(self.captions).mean(axis=0)
        self.english_centres = self._english(self.captions).mean(axis=0)
        self.english_centres[0] = load_file(shipped(PRIOR))["centre"]  # as the sentence space has it
        self._version_1 = EnglishSentences.load()

    def read(self, photo: Photo) -> tuple[str, ...]:
        """The sentences of a photo that both encoders read."""
        return photo.sentences[:READ] if photo.part == "train" else photo.sentences

    def english(self, texts: Sequence[str]) -> Tensor:
        """MiniLM's centred unit rows, `(n, 384)`."""
        return self.english_layers(texts)[:, :DIMENSION]

    def every(self, texts: Sequence[str]) -> Tensor:
        """Multilingual-e5's centred unit rows, `(n, 384)`."""
        return self.every_layers(texts)[:, :DIMENSION]

    def english_layers(self, texts: Sequence[str]) -> Tensor:
        """`(n, layers * 384)`: MiniLM's layers, centred unit rows side by side, the last first."""
        return torch.from_numpy(by_layer(self._english(texts) - self.english_centres))

    def every_layers(self, texts: Sequence[str]) -> Tensor:
        """As `english_layers`, of multilingual-e5."""
        return torch.from_numpy(by_layer(self._every(texts) - self.every_centres))

    def reading(self, texts: Sequence[str]) -> Tensor:
        """How MiniLM's tokenizer reads them, `(n, 2)`."""
        return torch.from_numpy(self._reading(texts))

    def as_version_1(self, texts: Sequence[str]) -> Tensor:
        """What version 1 of the space compares with pictures, `(n, 384)`."""
        return torch.from_numpy(self._version_1.queries(texts).pictures)

    def descriptions(self, part: str) -> dict[str, dict[str, str]]:
        """By language and photo's name."""
        rows = [row for row in self._rows_of(part) if row.get("photo")]
        return {
            language: {Path(row["photo"]).name: row[language] for row in rows if row.get(language)}
            for language in ("en", *LANGUAGES)
        }

    def other_languages(self) -> list[list[str]]:
        """Of each photo, its descriptions in other languages; none of those that do not train."""
        by_name = {Path(row["photo"]).name: row for row in self._rows_of("train") if row.get("photo")}
        translated = []
        for photo in self.photos:
            row = by_name.get(photo.path.name, {}) if photo.set == "flickr8k" else {}
            own = [row[language] for language in LANGUAGES if row.get(language)]
            translated.append(own + list(row.get("de_more") or ())[:READ])
        return translated

    @property
    def labelled_sets(self) -> list[str]:
        """The names of the sets whose photos bear labels."""
        return sorted({photo.set for photo in self.photos if photo.label})

    def captions_holding(self, photos: Sequence[Photo], words: Sequence[str]) -> np.ndarray:
        """`(words, photos)`: how many captions of a photo hold a word in any form."""
        rows = {word: row for row, word in enumerate(words)}
        held = np.zeros((len(words), len(photos)), int)
        for column, photo in enumerate(photos):
            for sentence in photo.sentences:
                for word in {self.vocabulary.base(word_seen) for word_seen in split(sentence)} & rows.keys():
                    held[rows[word], column] += 1
        return held

    def _rows_of(self, *parts: str) -> list[dict[str, Any]]:
        return [row for row in self._rows if row["part"] in parts]

    def _choose_parallel(self) -> list[tuple[str, list[str]]]:
        """English sentences with their translations: all of training photos, and a sample of the others."""
        others = self._rows_of("text")
        chosen = np.random.default_rng(0).permutation(len(others))[:PARALLEL]
        rows = self._rows_of("train") + [others[row] for row in chosen]
        return [(row["en"], [row[language] for language in LANGUAGES if row.get(language)]) for row in rows]


def fit_sentence_map(texts: Texts) -> np.ndarray:
    """`(385, 384)`: multilingual vectors, with a one appended, to MiniLM's vectors of the English text."""
    vocabulary = texts.vocabulary
    forms = [form for every in vocabulary.words.values() for form in every] + vocabulary.phrases
    pairs = [(text, text, _GLOSS) for text in glosses()] + [(form, form, _WORD) for form in forms]
    training = [photo for photo in texts.photos if photo.part == "train"]
    pairs += [
        (text, text, _CAPTION) for text in dict.fromkeys(text for photo in training for text in texts.read(photo))
    ]
    pairs += [(other, english, _OTHER_LANGUAGE) for english, others in texts.parallel for other in others]
    pairs += [
        (other, english, _TRANSLATED)
        for english, by_language in vocabulary.translations.items()
        for others in by_language.values()
        for other in others
    ]
    sources, wanted, weights = zip(*pairs, strict=True)
    x = np.hstack([texts.every(sources).numpy(), np.ones((len(pairs), 1), np.float32)])
    weighted = (x * np.array(weights, np.float32)[:, None]).T
    gram = weighted @ x + RIDGE * len(pairs) * np.eye(x.shape[1], dtype=np.float32)
    return np.linalg.solve(gram, weighted @ texts.english(wanted).numpy()).astype(np.float32)


def fit_share(texts: Texts, sentence_map: np.ndarray) -> dict[str, np.ndarray]:
    """How English a text is: weights of a logistic regression, named as `EverydaySentences` reads them.

    `sentence_map`: `(385, 384)`, the last row an offset.
    """
    english = [form for forms in texts.vocabulary.words.values() for form in forms] + texts.vocabulary.phrases
    english += [sentence for sentence, _ in texts.parallel] + glosses()
    known = set(english) | set(texts.vocabulary.translations)
    other = [text for _, others in texts.parallel for text in others]
    translated = texts.vocabulary.translations.values()
    words = {text for by_language in translated for many in by_language.values() for text in many}
    other += sorted(words - known)
    sources = english + other
    every, ours = texts.every(sources), texts.english(sources)
    mapped = functional.normalize(
        every @ torch.from_numpy(sentence_map[:-1]) + torch.from_numpy(sentence_map[-1]), dim=1
    )
    agreement = (mapped * ours).sum(dim=1, keepdim=True)
    x = torch.cat([every, texts.reading(sources), agreement], dim=1)
    truth = torch.cat([torch.ones(len(english)), torch.zeros(len(other))])
    scale = torch.cat([torch.full((every.shape[1],), 4.0), torch.ones(3)])  # unit rows have small numbers
    layer = torch.nn.Linear(x.shape[1], 1)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=_SHARE_RATE, weight_decay=_SHARE_DECAY)
    random = np.random.default_rng(0)
    for _ in range(_SHARE_STEPS):
        rows = torch.from_numpy(random.integers(len(x), size=2048))
        loss = functional.binary_cross_entropy_with_logits(layer(x[rows] * scale)[:, 0], truth[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    weights = (layer.weight.detach()[0] * scale).numpy()
    return {
        "every": weights[:-3],
        "reading": weights[-3:-1],
        "agreement": weights[-1:],
        "bias": layer.bias.detach().numpy(),
    }


def glosses() -> list[str]:
    """A sample of WordNet's glosses of nouns, as timm carries them."""
    folder = package_folder("timm", "timm") / "data" / "_info"
    lines = (folder / "imagenet_synset_to_definition.txt").read_text("utf-8").splitlines()
    definitions = list(dict.fromkeys(line.split("\t", 1)[1].split(";")[0][:200].strip() for line in lines))
    return [definitions[row] for row in np.random.default_rng(0).permutation(len(definitions))[:GLOSSES]]


def _read_parallel(data: Path) -> list[dict[str, Any]]:
    with gzip.open(data / "text" / "multi30k.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _pictures(photos: Sequence[Photo], cache: Path) -> Tensor:
    """`(2, photos, 384)`: as the space sees them, and mirrored."""
    if not cache.exists():
        encoder = ImageEncoder.load("cpu")
        rows = np.empty((2, len(photos), 384), np.float32)
        for start in range(0, len(photos), 32):
            images = [Image.open(photo.path).convert("RGB") for photo in photos[start : start + 32]]
            fitted = [fit(image, IMAGE_INPUT) for image in images]
            rows[0, start : start + 32] = encoder.encode(fitted)
            rows[1, start : start + 32] = encoder.encode([np.ascontiguousarray(picture[:, ::-1]) for picture in fitted])
        np.save(cache, rows)
    return torch.from_numpy(np.load(cache))


def _unseen(photo: Photo) -> Photo:
    """A photo that trains nothing, so that its words are not known either."""
    return Photo(photo.path, photo.set, photo.part, photo.group, None, ("",))


def _e5() -> MultilingualE5:
    return MultilingualE5.load()
