"""The pointer: which line of each page or passage answers a question, as a language model reads it?

The embedded language model reads a page and then the question; the question's last state points at the state of the
line that answers, or nowhere (pointer networks, arXiv 1506.03134). Its lower layers are the model's own, the upper ones
have low-rank updates (LoRA, arXiv 2106.09685) trained by training/pointer_reader.py. It knows more of the world than
the small reader does. Knows tokens and statements; knows no hits and no thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec
import numpy as np
from msgspec import Struct
from safetensors import SafetensorError
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from search.arrays import Float32Array
from search.errors import LanguageModelError
from search.language import embedded_model
from search.runtime.lazy import Exclusive
from search.runtime.packed_weights import unpack
from search.runtime.token_batches import in_token_batches
from search.settings import Settings

if TYPE_CHECKING:
    import torch

    from search.language.reading.decoder import Decoder
    from search.spaces.device import Lanes

WEIGHTS = Path(__file__).parent.parent / "weights" / "pointer-reader.safetensors"
LAYERS = 24  # of the language model's 30: the last ones choose words, which nobody asks for here
FIRST_ADAPTED = 6
MAX_PAGE_TOKENS = 320  # a longer page is read in parts
MAX_STATEMENT_TOKENS = 96
MAX_QUESTION_TOKENS = 72
_BATCH_TOKENS = 1024  # padded, of one forward pass
Tokenize = Callable[[str], list[int]]
_FIRST = 1  # <|im_start|>, which begins every text
_PADDING = 2


class Part(Struct, frozen=True):
    """Some statements of a page as the model reads them: ids, and where each statement ends."""

    ids: list[int]
    ends: list[int]


def parts_of(tokenize: Tokenize, statements: Sequence[str]) -> list[Part]:
    """A page in as many parts as MAX_PAGE_TOKENS asks for; each statement stands in one of them, in order."""
    parts = [Part([_FIRST], [])]
    for statement in statements:
        tokens = tokenize(statement + "\n")[:MAX_STATEMENT_TOKENS]
        if parts[-1].ends and len(parts[-1].ids) + len(tokens) > MAX_PAGE_TOKENS:
            parts.append(Part([_FIRST], []))
        parts[-1].ids.extend(tokens)
        parts[-1].ends.append(len(parts[-1].ids) - 1)
    return parts


def question_ids(tokenize: Tokenize, question: str) -> list[int]:
    """What follows a page; `question` in English."""
    return [*tokenize(f"\nQuestion: {question}")[:MAX_QUESTION_TOKENS], *tokenize("\nAnswer:")]


def open_tokenizer(folder: Path) -> Tokenize:
    """Of the model in a folder. Special tokens in words are split into ordinary ones: text can't open a turn.

    Raises LanguageModelError.
    """
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # noqa: BLE001 - the library raises no narrower one
        raise LanguageModelError(f"the embedded language model's tokenizer can't be read: {error}") from None
    tokenizer.encode_special_tokens = True

    def tokenize(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    return tokenize


class PointerReader:
    """The trained reader. Not thread-safe; see Exclusive."""

    def __init__(
        self, decoder: Decoder, tokenize: Tokenize, heads: Mapping[str, torch.Tensor], lanes: Lanes | None = None
    ) -> None:
        """`decoder`: with its updates. `heads`: `query` and `key` `(inner, width)`, and `nowhere` `(width,)`."""
        self._decoder, self._tokenize, self._lanes = decoder, tokenize, lanes
        self._query, self._key, self._nowhere = (heads[name] for name in ("query", "key", "nowhere"))

    @classmethod
    def load(cls, settings: Settings, weights: Path = WEIGHTS) -> Self:
        """Merge the updates into the embedded language model. Raises LanguageModelError."""
        import torch  # takes seconds to import: only questions pay for it

        from search.language.reading.decoder import Decoder
        from search.spaces.device import Lanes, choose_device, choose_dtype

        if settings.threads:
            torch.set_num_threads(settings.threads)
        device = choose_device(settings.device)
        unusable = (OSError, SafetensorError, KeyError, ValueError, RuntimeError, msgspec.MsgspecError)
        try:
            learnt = {name: torch.from_numpy(held) for name, held in unpack(load_file(weights)).items()}
            heads = {name: learnt[name].to(device) for name in ("query", "key", "nowhere")}
        except unusable as error:
            raise LanguageModelError(f"{weights.name} can't be read: {error}") from None
        folder = embedded_model.prepare(settings.models)
        updates = {name: held for name, held in learnt.items() if name.startswith("layers.")}
        try:
            decoder = Decoder.load(folder, LAYERS, updates, device, choose_dtype(device))
        except unusable as error:
            raise LanguageModelError(f"{folder.name} and {weights.name} don't fit together: {error}") from None
        tokenize = open_tokenizer(folder)
        lanes = Lanes(settings.threads, "medley-pointer") if device.type == "cpu" else None
        return cls(decoder, tokenize, heads, lanes)

    def read(
        self, question: str, pages: Sequence[Sequence[str]], wanted: Sequence[Collection[int]]
    ) -> list[Float32Array]:
        """For each page `(len(page),) float32`: nats by which each statement is likelier to answer than nowhere.

        `question` in English. Of a long page only the parts are read that hold statements `wanted`, by their indices;
        the others have NaN.
        """
        asked = question_ids(self._tokenize, question)
        told = [np.full(len(page), np.nan, np.float32) for page in pages]
        parts: list[tuple[Float32Array, Part]] = []  # with the place of its scores
        for scores, page, rows in zip(told, pages, wanted, strict=True):
            start = 0
            for part in parts_of(self._tokenize, page) if page else []:
                stop = start + len(part.ends)
                if any(start <= row < stop for row in rows):
                    parts.append((scores[start:stop], part))
                start = stop

        def score(batch: Sequence[int]) -> list[Float32Array]:
            return self._scores([parts[index][1] for index in batch], asked)

        lengths = [len(part.ids) + len(asked) for _, part in parts]
        for (place, _), scores in zip(parts, in_token_batches(lengths, _BATCH_TOKENS, score, self._lanes), strict=True):
            place[:] = scores
        return told

    def _scores(self, parts: Sequence[Part], asked: Sequence[int]) -> list[Float32Array]:
        import torch

        with torch.inference_mode():
            rows = [[*part.ids, *asked] for part in parts]
            longest = max(map(len, rows))
            # Padding stands at the end, where a causal model can't see it, so no mask is needed.
            ids = torch.tensor([row + [_PADDING] * (longest - len(row)) for row in rows], device=self._key.device)
            states = self._decoder.states(ids).float()
            scores = []
            for own, row, part in zip(states, rows, parts, strict=True):
                last = own[len(row) - 1]
                pointed = (own[part.ends] @ self._key.T) @ (self._query @ last) / math.sqrt(len(self._query))
                scores.append((pointed - last @ self._nowhere).cpu().numpy())
            return scores


class LazyPointerReader:
    """The shipped pointer, loaded at its first use and released when idle. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._lazy: Exclusive[PointerReader] = Exclusive(
            lambda: PointerReader.load(settings), settings.idle_release_seconds
        )

    def read(
        self, question: str, pages: Sequence[Sequence[str]], wanted: Sequence[Collection[int]]
    ) -> list[Float32Array]:
        """See PointerReader.read. Raises LanguageModelError."""
        with self._lazy.use() as reader:
            return reader.read(question, pages, wanted)

    def release(self) -> None:
        """Release the weights; they load again when needed."""
        self._lazy.release()
