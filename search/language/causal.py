"""Scoring and writing with one loaded causal model of transformers.

Four things make scoring fast: the prefix is computed once and its keys and values are shared by all
candidates, candidates run in batches of similar length, logits are computed for target tokens only
(the vocabulary's matrix is a fifth of the embedded model), and on a CPU every core has batches of its
own. Not thread-safe; see Exclusive.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from msgspec import Struct
from torch.nn import functional

from search.errors import LanguageModelError
from search.language.llm import Likelihood, Limits, Prompt, Request
from search.multimodal.adapter import Adapter
from search.multimodal.model import MultimodalModel
from search.runtime.token_batches import in_token_batches
from search.spaces.device import Lanes

BATCH_TOKENS = 512  # padded tokens of one forward pass: with more a core is hardly faster
LOGIT_ROWS = 128  # positions whose logits are computed at once: more are fetched anew from the system each time
MAX_PREFIXES = 4  # prefixes whose keys and values are kept


class _Row(Struct, frozen=True):
    """A request as the model takes it: embedded tokens `(n, width)`, then the target's ids."""

    prompt: torch.Tensor
    target: torch.Tensor

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.target)


class _Start(Struct, frozen=True):
    """What is known after a prefix: keys and values (None without a prefix), and the last state `(1, width)`."""

    cache: Any
    last: torch.Tensor


class CausalModel:
    """A decoder with its tokenizer. With `lanes`, threads of one core each, batches are scored side by side."""

    sees = False

    def __init__(self, model: Any, tokenizer: Any, lanes: Lanes | None = None) -> None:
        self._lanes = lanes
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._decoder = model.get_decoder()
        self._words = model.get_input_embeddings()
        self._head = model.get_output_embeddings()
        self._prefixes: dict[str, _Start] = {}
        self._adapted: tuple[Adapter, MultimodalModel] | None = None

    @property
    def width(self) -> int:
        """Length of an input embedding."""
        return int(self._words.weight.shape[1])

    def adapted(self, adapter: Adapter) -> MultimodalModel:
        """The model with an adapter, made at the first call and kept with it. Raises LanguageModelError.

        Adapters over the same base share its layers: only a resampler is changed for another.
        """
        base = adapter.base or adapter
        if self._adapted is None or self._adapted[0] is not base:
            self._adapted = (base, MultimodalModel.build(self._model, self._tokenizer, base))
        model = self._adapted[1]
        return model if base is adapter else model.beside(adapter)

    @torch.inference_mode()
    def score(self, prefix: Prompt, requests: Sequence[Request]) -> list[Likelihood]:
        """See LanguageModel.score."""
        start = self._prefix(prefix)
        rows = [self._row(request, bool(prefix)) for request in requests]

        def score(batch: Sequence[int]) -> list[Likelihood]:
            return self._score_batch(start, [rows[index] for index in batch])

        return in_token_batches([row.length for row in rows], BATCH_TOKENS, score, self._lanes)

    @torch.inference_mode()
    def write(self, prompts: Sequence[Prompt], limits: Limits) -> list[str]:
        """See LanguageModel.write. Prompts of one length run together."""
        embedded = [self._embed(self._as_turn(prompt) if limits.chat else prompt) for prompt in prompts]
        by_length: dict[int, list[int]] = {}
        for index, prompt in enumerate(embedded):
            by_length.setdefault(len(prompt), []).append(index)
        texts = [""] * len(prompts)
        for rows in by_length.values():
            written = [""] * len(rows)
            for step in self._steps(torch.stack([embedded[row] for row in rows]), limits):
                written = [self._decode(tokens) for tokens in step]
                if all(cut_at_stop(text, limits) is not None for text in written):
                    break
            for row, text in zip(rows, written, strict=True):
                cut = cut_at_stop(text, limits)
                texts[row] = (text if cut is None else cut).strip()
        return texts

    def stream(self, prompt: Prompt, limits: Limits) -> Iterator[str]:
        """See LanguageModel.stream."""
        # inference_mode may not span a yield: the caller's code would run inside it.
        with torch.inference_mode():
            embedded = self._embed(self._as_turn(prompt) if limits.chat else prompt)[None]
        # A stop word may still be half written: as many letters as the longest has are held back.
        held = max((len(stop) for stop in limits.stop), default=0)
        steps, told, whole = self._steps(embedded, limits), "", ""
        while True:
            with torch.inference_mode():
                step = next(steps, None)
            if step is None:
                break
            text = self._decode(step[0])
            cut = cut_at_stop(text, limits)
            whole = text if cut is None else cut
            safe = whole if cut is not None else whole[: len(whole) - held]
            # The same goes for a letter of several tokens.
            if len(safe) > len(told) and not safe.endswith("\ufffd"):
                yield safe[len(told) :]
                told = safe
            if cut is not None:
                break
        if len(whole) > len(told):
            yield whole[len(told) :]

    def _steps(self, inputs: torch.Tensor, limits: Limits) -> Iterator[list[list[int]]]:
        """Greedy decoding of `(n, length, width)`; yields all tokens so far, per row, after each step."""
        ends = self._ends()
        tokens: list[list[int]] = [[] for _ in range(len(inputs))]
        done = [False] * len(inputs)
        cache = None
        for _ in range(limits.tokens):
            output = self._decoder(inputs_embeds=inputs, past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            best = self._head(output.last_hidden_state[:, -1]).argmax(-1)
            for row, token in enumerate(best.tolist()):
                done[row] = done[row] or token in ends
                if not done[row]:
                    tokens[row].append(token)
            if all(done):
                break
            yield tokens
            inputs = self._words(best[:, None])
        yield tokens

    @torch.inference_mode()  # holds for a thread, and lanes have threads of their own
    def _score_batch(self, start: _Start, rows: Sequence[_Row]) -> list[Likelihood]:
        longest = max(1, max(row.length for row in rows) - 1)
        device = self._words.weight.device
        inputs = torch.zeros(len(rows), longest, self.width, dtype=self._words.weight.dtype, device=device)
        for index, row in enumerate(rows):
            whole = torch.cat([row.prompt, self._words(row.target[:-1])])
            inputs[index, : len(whole)] = whole
        # Padding stands at the end, where a causal model can't see it, so no mask is needed.
        shared = copy.deepcopy(start.cache)
        if shared is not None and len(rows) > 1:
            shared.batch_repeat_interleave(len(rows))
        states = self._decoder(inputs_embeds=inputs, past_key_values=shared, use_cache=shared is not None)
        # One place further on: a target right behind the prefix is told by the prefix's last state.
        hidden = torch.cat([start.last.expand(len(rows), 1, -1), states.last_hidden_state], dim=1)
        wanted = [own[len(row.prompt) : row.length] for own, row in zip(hidden, rows, strict=True)]
        each = self._log_probabilities(torch.cat(wanted), torch.cat([row.target for row in rows]))
        parts = torch.split(each, [len(row.target) for row in rows])
        return [Likelihood(float(part.sum()), len(part)) for part in parts]

    def _log_probabilities(self, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """`(n, width)` and `(n,)` -> `(n,)`."""
        pairs = zip(torch.split(states, LOGIT_ROWS), torch.split(targets, LOGIT_ROWS), strict=True)
        return torch.cat([-functional.cross_entropy(self._head(s).float(), t, reduction="none") for s, t in pairs])

    def _prefix(self, prefix: Prompt) -> _Start:
        """What is known after the prefix. That of plain words is kept."""
        if not prefix:
            return _Start(None, torch.zeros_like(self._words.weight[:1]))
        words = "".join(piece for piece in prefix if isinstance(piece, str)) if _is_text(prefix) else None
        if words is not None and words in self._prefixes:
            return self._prefixes[words]
        output = self._decoder(inputs_embeds=self._embed(prefix)[None], use_cache=True)
        start = _Start(output.past_key_values, output.last_hidden_state[0, -1:])
        if words is not None:
            if len(self._prefixes) >= MAX_PREFIXES:
                self._prefixes.pop(next(iter(self._prefixes)))
            self._prefixes[words] = start
        return start

    def _row(self, request: Request, follows: bool) -> _Row:
        target = self._ids(request.target)
        if not len(target):
            raise LanguageModelError("an empty text has no likelihood")
        prompt = self._embed(request.prompt)
        if not len(prompt) and not follows:
            raise LanguageModelError("a text's likelihood needs something before it")
        return _Row(prompt, target)

    def _embed(self, prompt: Prompt) -> torch.Tensor:
        """`(tokens, width)` of the model's dtype."""
        parts = []
        for piece in prompt:
            if isinstance(piece, str):
                parts.append(self._words(self._ids(piece)))
            elif isinstance(piece, np.ndarray):
                if piece.ndim != 2 or piece.shape[1] != self.width:
                    raise LanguageModelError(f"soft tokens of shape {piece.shape}; this model is {self.width} wide")
                parts.append(torch.from_numpy(piece).to(self._words.weight))
            else:
                raise LanguageModelError("this language model takes text and soft tokens, not pictures")
        return torch.cat(parts) if parts else self._words(self._ids(""))

    def _ids(self, text: str) -> torch.Tensor:
        # Special tokens in the library's words are split into ordinary ones: text can't open a new turn.
        ids = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
        return torch.tensor(ids, dtype=torch.long, device=self._words.weight.device)

    def _as_turn(self, prompt: Prompt) -> Prompt:
        """The prompt inside the model's own chat form, whose special tokens are the only real ones."""
        if not self._tokenizer.chat_template:
            return prompt
        mark = "\u241f"  # stands for the prompt while the template is filled
        turn = [{"role": "user", "content": mark}]
        filled = self._tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        before, _, after = filled.partition(mark)
        return (self._special(before), *prompt, self._special(after))

    def _special(self, text: str) -> np.ndarray:
        ids = self._tokenizer(text, add_special_tokens=False).input_ids
        device = self._words.weight.device
        embedded = self._words(torch.tensor(ids, dtype=torch.long, device=device))
        return np.asarray(embedded.float().cpu().numpy())

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))

    def _ends(self) -> set[int]:
        ends = self._model.generation_config.eos_token_id
        ids = ends if isinstance(ends, list) else [ends]
        return {token for token in [*ids, self._tokenizer.eos_token_id] if token is not None}


def _is_text(prompt: Prompt) -> bool:
    return all(isinstance(piece, str) for piece in prompt)


def cut_at_stop(text: str, limits: Limits) -> str | None:
    """The text before the first stop, or None when there is none yet. Stops at the very start don't count."""
    places = [at for stop in limits.stop if (at := text.lstrip().find(stop)) > 0]
    return text.lstrip()[: min(places)] if places else None
