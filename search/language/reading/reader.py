"""The reader: which statement of a page or passage answers a question, if any?

A cross-encoder on the shipped sentence encoder: question and statements are read together through low-rank adapters
(LoRA, arXiv 2106.09685), trained by training/reader.py. Knows tokens and statements; knows no hits and no thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from msgspec import Struct
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from search.arrays import Float32Array
from search.language.reading.cross_encoder import CrossEncoder
from search.language.reading.glosses import with_gloss
from search.language.reading.weekdays import spelled_out
from search.runtime.lazy import Lazy
from search.runtime.packed_weights import unpack
from search.spaces.weights import MINILM, MINILM_TOKENIZER

WEIGHTS = Path(__file__).parent.parent / "weights" / "reader.safetensors"
LAYERS = 6
MAX_TOKENS = 320  # of question and statements together
MAX_QUESTION_TOKENS = 64
MAX_STATEMENT_TOKENS = 96
_CLASS, _SEPARATOR = 101, 102  # of the checkpoint's vocabulary
NO_STATEMENT = -1


class Encoded(Struct, frozen=True):
    """A question with statements, as the network reads them. Three lists of one length."""

    ids: list[int]
    kinds: list[int]  # 0 the question, 1 statements
    owners: list[int]  # index of the token's statement, NO_STATEMENT for the question


def encode(tokenizer: Tokenizer, question: str, statements: Sequence[str]) -> Encoded:
    """[CLS] question [SEP] statement [SEP] statement [SEP] ...; what is over MAX_TOKENS is left out."""
    ids = [_CLASS, *_tokens(tokenizer, question, MAX_QUESTION_TOKENS), _SEPARATOR]
    kinds, owners = [0] * len(ids), [NO_STATEMENT] * len(ids)
    for number, statement in enumerate(statements):
        tokens = [*_tokens(tokenizer, statement, MAX_STATEMENT_TOKENS), _SEPARATOR]
        if len(ids) + len(tokens) > MAX_TOKENS:
            break
        ids += tokens
        kinds += [1] * len(tokens)
        owners += [number] * len(tokens)
    return Encoded(ids, kinds, owners)


def as_read(statement: str, passage: str) -> str:
    """A statement of a passage as the reader gets it: days of the week in full, foreign words with their meaning."""
    return with_gloss(spelled_out(statement), passage)


def _tokens(tokenizer: Tokenizer, text: str, most: int) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids[:most])


class Reader:
    """The trained reader. Stateless after loading, so any number of threads may call it."""

    def __init__(
        self, network: CrossEncoder, tokenizer: Tokenizer, statement: Float32Array, nowhere: Float32Array
    ) -> None:
        """`statement` and `nowhere`, `(width,)`: what states are multiplied with for a score."""
        self._network = network
        self._tokenizer = tokenizer
        self._statement = statement
        self._nowhere = nowhere

    @classmethod
    def load(cls, adapters: Path = WEIGHTS) -> Self:
        """Merge the adapters into the installed sentence encoder. Raises SpaceError."""
        weights = load_file(MINILM.find())
        trained = unpack(load_file(adapters))
        for name in [name.removesuffix(".down") for name in trained if name.endswith(".down")]:
            weights[f"{name}.weight"] = weights[f"{name}.weight"] + trained[f"{name}.up"] @ trained[f"{name}.down"]
        tokenizer = Tokenizer.from_file(str(MINILM_TOKENIZER.find()))
        tokenizer.no_padding()
        return cls(CrossEncoder(weights, LAYERS), tokenizer, trained["statement"], trained["nowhere"])

    def read(self, question: str, statements: Sequence[str]) -> Float32Array:
        """`(len(statements),) float32`: by how many nats each is likelier to answer than that none of its page does."""
        scores = np.full(len(statements), -np.inf, np.float32)
        for start, stop in _windows(self._tokenizer, question, statements):
            scores[start:stop] = self._score(question, statements[start:stop])
        return scores

    def _score(self, question: str, statements: Sequence[str]) -> Float32Array:
        encoded = encode(self._tokenizer, question, statements)
        states = self._network.states(np.array(encoded.ids), np.array(encoded.kinds))
        told, owners = self._statement @ states, np.array(encoded.owners)
        means = [told[owners == number].mean() for number in range(len(statements))]
        return np.array(means, np.float32) - self._nowhere @ states[:, 0]


class LazyReader:
    """The shipped reader, loaded at its first use and released when idle. Thread-safe."""

    def __init__(self, idle_seconds: float) -> None:
        self._lazy = Lazy(Reader.load, idle_seconds)

    def read(self, question: str, statements: Sequence[str]) -> Float32Array:
        """See Reader.read."""
        with self._lazy.use() as reader:
            return reader.read(question, statements)

    def release(self) -> None:
        """Release the weights; they load again when needed."""
        self._lazy.release()


def _windows(tokenizer: Tokenizer, question: str, statements: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Runs of statements that fit together with the question."""
    room = MAX_TOKENS - 2 - len(_tokens(tokenizer, question, MAX_QUESTION_TOKENS))
    start, used = 0, 0
    for number, statement in enumerate(statements):
        length = 1 + len(_tokens(tokenizer, statement, MAX_STATEMENT_TOKENS))
        if used + length > room:
            yield start, number
            start, used = number, 0
        used += length
    if start < len(statements):
        yield start, len(statements)
