"""What a language model with an adapter tells about feature maps: captions, answers, how well words fit.

All of it is an impression, never a fact: the networks see 260 pixels or hear 5 s, and the model is small. Knows
the encoder's maps and the prompts of the adapter's record; knows no library.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from search.arrays import Float32Array, FloatArray
from search.errors import LanguageModelError
from search.multimodal.adapter import Adapter
from search.multimodal.beam_search import Beams, Written, search
from search.multimodal.resampler import Resampler, ResamplerShape
from search.multimodal.split_decoder import SplitDecoder

# A wide search prefers short sentences, so what is likeliest word by word is offered beside them.
CAPTION_BEAMS = (Beams(width=1), Beams(width=12))
ANSWER_BEAMS = Beams(width=3, tokens=12)
_TOGETHER = 12  # maps in one batch
_POSITIONS = 2048  # of texts that are scored at once


@dataclass(frozen=True)
class Impression:
    """What the model says about a map, and the mean log-probability of its tokens."""

    words: str
    per_token: float


class MultimodalModel:
    """A language model and its adapter. Not thread-safe: it is lent out together with the language model."""

    def __init__(self, decoder: SplitDecoder, resampler: Resampler, tokenizer: Any, adapter: Adapter) -> None:
        self._decoder = decoder
        self._resampler = resampler.eval()
        self._tokenizer = tokenizer
        self._record = adapter.record
        self._typical = torch.from_numpy(adapter.tensors["typical"])
        self._place = {int(word): row for row, word in enumerate(decoder.words.tolist())}

    @classmethod
    def build(cls, network: Any, tokenizer: Any, adapter: Adapter) -> Self:
        """`network`: a causal model of transformers, which stays as it is. Raises LanguageModelError."""
        tensors = {name: torch.from_numpy(held) for name, held in adapter.tensors.items()}
        updates = {name.removeprefix("layers."): held for name, held in tensors.items() if name.startswith("layers.")}
        words = tensors["words"].long().to(network.device)
        decoder = SplitDecoder.of(network, tokenizer, adapter.record.layer, updates, words)
        return cls(decoder, resampler_of(adapter, decoder.width).to(network.device), tokenizer, adapter)

    def beside(self, adapter: Adapter) -> Self:
        """The same decoder with the resampler of another encoder, trained over the same updates.

        Raises LanguageModelError.
        """
        where = self._resampler.mean.device
        decoder = self._decoder.with_words(torch.from_numpy(adapter.tensors["words"]).long().to(where))
        return type(self)(decoder, resampler_of(adapter, decoder.width).to(where), self._tokenizer, adapter)

    @torch.inference_mode()
    def soft_tokens(self, maps: FloatArray) -> Float32Array:
        """`(n, places, channels)` -> `(n, tokens, width)`."""
        where = self._resampler.mean.device
        parts = [
            self._resampler(torch.from_numpy(np.ascontiguousarray(maps[at : at + _TOGETHER], np.float32)).to(where))
            for at in range(0, len(maps), _TOGETHER)
        ]
        if not parts:
            return np.empty((0, self._record.tokens, self._decoder.width), np.float32)
        soft: Float32Array = torch.cat(parts).cpu().numpy()
        return soft

    def captions(self, soft: Float32Array, searches: Sequence[Beams] = CAPTION_BEAMS) -> list[list[Impression]]:
        """Captions that are likely for each picture, from `soft` tokens `(n, tokens, width)`; each text once.

        In the order of the searches, the best of each first.
        """
        found = [self._write(soft, self._record.caption, beams) for beams in searches]
        return [list({said.words: said for said in chain(*of_one)}.values()) for of_one in zip(*found, strict=True)]

    def answers(self, question: str, soft: Float32Array, beams: Beams = ANSWER_BEAMS) -> list[Impression]:
        """A short answer about each picture, from `soft` tokens `(n, tokens, width)`."""
        return [said[0] for said in self._write(soft, self._record.question.format(question), beams)]

    def gains(self, captions: Sequence[str], soft: Float32Array) -> Float32Array:
        """`(len(soft), len(captions))`: nats that each map adds to each caption over other maps.

        Those are the typical ones and all that were given: what a caption's words are worth after any map is estimated
        better from many than from few.
        """
        typical = self._likelihoods(self._record.caption, captions, self._typical)
        likelihoods = self._likelihoods(self._record.caption, captions, torch.from_numpy(soft))
        return (likelihoods - _mean(torch.cat([typical, likelihoods]))).numpy()

    def fits(self, caption: str, soft: Float32Array) -> Float32Array:
        """`(len(soft),)`: nats a token of a caption after each map, over their mean: which of them does it fit best?"""
        likelihoods = self._likelihoods(self._record.caption, [caption], torch.from_numpy(soft))[:, 0]
        known = sum(word in self._place for word in self._target(caption))
        told: Float32Array = ((likelihoods - likelihoods.mean()) / max(1, known)).numpy()
        return told

    def choices(self, question: str, answers: Sequence[str], soft: Float32Array) -> Float32Array:
        """`(len(soft), len(answers))`: nats a token of answers to a question; half of their prior is taken away."""
        asked = self._record.question.format(question)
        prior = self._likelihoods(asked, answers, self._typical)
        lengths = torch.tensor([len(self._target(answer)) for answer in answers])
        return ((torch.from_numpy(self.likelihoods(question, answers, soft)) - 0.5 * _mean(prior)) / lengths).numpy()

    def likelihoods(self, question: str, answers: Sequence[str], soft: Float32Array) -> Float32Array:
        """`(len(soft), len(answers))`: log-probability of each answer to a question about each map."""
        asked = self._record.question.format(question)
        told: Float32Array = self._likelihoods(asked, answers, torch.from_numpy(soft)).numpy()
        return told

    @torch.inference_mode()
    def _write(self, soft: Float32Array, prompt: str, beams: Beams) -> list[list[Impression]]:
        ids = torch.tensor(self._ids(prompt))
        end = self._tokenizer.eos_token_id
        written: list[list[Written]] = []
        for at in range(0, len(soft), _TOGETHER):
            written += search(self._decoder, torch.from_numpy(soft[at : at + _TOGETHER]), ids, end, beams)
        return [[self._impression(text) for text in texts] for texts in written]

    def _impression(self, written: Written) -> Impression:
        ids = self._decoder.words[list(written.words)].tolist()
        words = str(self._tokenizer.decode(ids, skip_special_tokens=True)).strip()
        return Impression(words, written.log_probability / (len(ids) + 1))

    @torch.inference_mode()
    def _likelihoods(self, prompt: str, texts: Sequence[str], soft: Tensor) -> Tensor:
        """`(len(soft), len(texts)) float32` log-probabilities. Words outside the vocabulary are left out of them."""
        asked = self._ids(prompt)
        rows = [asked + self._target(text) for text in texts]
        longest = max(map(len, rows)) - 1
        ids, wanted = torch.zeros(len(rows), longest, dtype=torch.long), torch.full((len(rows), longest), -1)
        for at, row in enumerate(rows):
            ids[at, : len(row) - 1] = torch.tensor(row[:-1])
            said = [self._place.get(word, -1) for word in row[len(asked) :]]
            wanted[at, len(asked) - 1 : len(row) - 1] = torch.tensor(said)
        together = max(1, _POSITIONS // longest)
        scores = []
        for at in range(0, len(rows), together):
            block = slice(at, at + together)
            # The lower layers see no picture: they read each text once.
            empty = self._decoder.begin(torch.zeros(len(ids[block]), 0, self._decoder.width))
            states = self._decoder.below(ids[block], empty.lower, empty.words)
            maps = soft.split(max(1, together // len(states)))
            scores.append(torch.cat([self._told(part, states, wanted[block]) for part in maps]))
        return torch.cat(scores, dim=1)

    def _told(self, soft: Tensor, states: Tensor, wanted: Tensor) -> Tensor:
        """Log-probability of each text after each map, `(len(soft), texts)`; padding follows and is not seen."""
        maps, texts = len(soft), len(states)
        read = self._decoder.begin(soft)
        upper = read.upper.take(torch.arange(maps).repeat_interleave(texts))
        above = self._decoder.above(states.repeat(maps, 1, 1), upper, read.words + read.soft)
        logs = self._decoder.logits(above).log_softmax(-1)
        wanted = wanted.repeat(maps, 1)
        each = logs.gather(2, wanted.clamp(min=0).to(logs.device)[..., None])[..., 0].cpu()
        return (each * (wanted >= 0)).sum(1).view(maps, texts)

    def _target(self, text: str) -> list[int]:
        return [*self._ids(" " + text), int(self._tokenizer.eos_token_id)]

    def _ids(self, text: str) -> list[int]:
        # Special tokens in foreign words are split into ordinary ones: a text can't open a turn.
        ids: list[int] = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
        return ids


def _mean(likelihoods: Tensor) -> Tensor:
    """`(n, texts)` -> `(texts,)`: the logarithm of the mean probability."""
    return likelihoods.logsumexp(0) - math.log(len(likelihoods))


def resampler_of(adapter: Adapter, width: int) -> Resampler:
    """The resampler of an adapter, for soft tokens of `width`. Raises LanguageModelError."""
    weights = {name: torch.from_numpy(held) for name, held in adapter.below("resampler.").items()}
    record = adapter.record
    try:
        shape = ResamplerShape(
            places=weights["window"].shape[2],
            channels=len(weights["mean"]),
            tokens=record.tokens,
            width=width,
            inner=record.inner,
            heads=record.heads,
        )
        resampler = Resampler(shape)
        resampler.load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        raise LanguageModelError(f"the multimodal adapter does not fit its record: {error}") from None
    return resampler
