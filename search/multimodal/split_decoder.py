"""A causal decoder whose lower layers read words alone and whose upper layers, adapted, read soft tokens too.

Soft tokens enter between the two, after the first token and before the words. So the lower layers are the
plain language model's own, shared with it, and what they make of a text is the same for every picture. The
upper layers are copies with the low-rank updates merged in. Knows decoders of Llama's make; knows no picture.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from search.errors import LanguageModelError
from search.multimodal.low_rank import merge


class KeyValues:
    """Keys and values of some layers for what was read so far; attention layers call `update`."""

    def __init__(self, held: Sequence[tuple[Tensor, Tensor] | None]) -> None:
        """Keys and values of each layer, both `(batch, heads, positions, width)`; None where nothing was read."""
        self._held = list(held)

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *_: object) -> tuple[Tensor, Tensor]:
        """Add those of further positions, `(batch, heads, positions, width)`; returns those of all."""
        if (before := self._held[layer_idx]) is not None:
            keys, values = torch.cat([before[0], keys], dim=2), torch.cat([before[1], values], dim=2)
        self._held[layer_idx] = (keys, values)
        return keys, values

    def take(self, rows: Tensor) -> KeyValues:
        """Only these rows `(n,)` of the batch, in this order."""
        return KeyValues([kept and (kept[0][rows], kept[1][rows]) for kept in self._held])

    def copy(self) -> KeyValues:
        """A copy to continue from without changing this one."""
        return KeyValues(self._held)


@dataclass(frozen=True)
class Read:
    """What was read: keys and values of both halves, words with the first token, and soft tokens."""

    lower: KeyValues
    upper: KeyValues
    words: int
    soft: int

    def take(self, rows: Tensor) -> Read:
        """Only these rows `(n,)` of the batch, in this order."""
        return Read(self.lower.take(rows), self.upper.take(rows), self.words, self.soft)


class SplitDecoder:
    """Both halves with the vocabulary that the adapter was trained for. Not thread-safe."""

    def __init__(
        self, network: Any, first_token: int, layer: int, updates: Mapping[str, Tensor], words: Tensor
    ) -> None:
        """`updates`: `INDEX.NAME.a` and `.b` for every linear layer from `layer` on; `words` `(n,)`: ids to use.

        Raises LanguageModelError where the network is of another make or size.
        """
        decoder = network.get_decoder()
        if not all(hasattr(decoder, part) for part in ("layers", "rotary_emb", "norm")):
            raise LanguageModelError(
                f"{type(decoder).__name__} is not a decoder of Llama's kind: it can't take soft tokens"
            )
        self._lower = decoder.layers[:layer]
        self._upper = copy.deepcopy(decoder.layers[layer:])
        try:
            for index, part in enumerate(self._upper):
                part.self_attn.layer_idx = index  # its place in KeyValues
                prefix = f"{layer + index}."
                merge(part, {n.removeprefix(prefix): t for n, t in updates.items() if n.startswith(prefix)})
        except (KeyError, RuntimeError) as error:
            raise LanguageModelError(f"the multimodal adapter does not fit the language model: {error}") from None
        self._rotary, self._norm = decoder.rotary_emb, decoder.norm
        self._embed = network.get_input_embeddings()
        self._first = first_token
        self._output = network.get_output_embeddings().weight
        self.use_words(words)

    def use_words(self, words: Tensor) -> None:
        """Change the vocabulary to these ids `(n,)`."""
        self.words = words
        self._head = self._output[words]

    def with_words(self, words: Tensor) -> Self:
        """The same layers with another vocabulary `(n,)`."""
        other = copy.copy(self)
        other.use_words(words)
        return other

    @property
    def width(self) -> int:
        """Length of a soft token."""
        return int(self._head.shape[1])

    def begin(self, soft: Tensor) -> Read:
        """Read the first token and then soft tokens `(n, tokens, width)`."""
        count, tokens, _ = soft.shape
        lower, upper = KeyValues([None] * len(self._lower)), KeyValues([None] * len(self._upper))
        first = self.below(torch.full((count, 1), self._first), lower, 0)
        self._run(self._upper, torch.cat([first, soft.to(first)], dim=1), upper, 0)
        return Read(lower, upper, 1, tokens)

    def read(self, so_far: Read, ids: Tensor) -> tuple[Read, Tensor]:
        """Further words `(n, length)`; returns what was read and the upper states `(n, length, width)`."""
        lower, upper = so_far.lower.copy(), so_far.upper.copy()
        states = self.below(ids, lower, so_far.words)
        states = self.above(states, upper, so_far.words + so_far.soft)
        return Read(lower, upper, so_far.words + ids.shape[1], so_far.soft), states

    def below(self, ids: Tensor, cache: KeyValues, before: int) -> Tensor:
        """`(n, length)` ids after `before` others -> the states that enter the upper layers."""
        return self._run(self._lower, self._embed(ids.to(self._embed.weight.device)), cache, before)

    def above(self, states: Tensor, cache: KeyValues, before: int) -> Tensor:
        """States `(batch, positions, width)` from `below`, after `before` positions -> states for `logits`."""
        normed: Tensor = self._norm(self._run(self._upper, states, cache, before))
        return normed

    def logits(self, states: Tensor) -> Tensor:
        """`(..., width)` -> `(..., len(words)) float32`."""
        scores: Tensor = states @ self._head.T
        return scores.float()

    def _run(self, layers: Sequence[nn.Module], states: Tensor, cache: KeyValues, before: int) -> Tensor:
        length = states.shape[1]
        places = torch.arange(before, before + length, device=states.device)[None]
        angles = self._rotary(states, places)
        unseen = torch.full((length, before + length), float("-inf"), dtype=states.dtype, device=states.device)
        mask = unseen.triu(before + 1)[None, None]
        for layer in layers:
            states = layer(
                states,
                attention_mask=mask,
                position_ids=places,
                past_key_values=cache,
                use_cache=True,
                position_embeddings=angles,
            )
        return states

    @classmethod
    def of(cls, network: Any, tokenizer: Any, layer: int, updates: Mapping[str, Tensor], words: Tensor) -> Self:
        """As the constructor, with the tokenizer's own first token."""
        first = tokenizer.bos_token_id
        return cls(network, tokenizer.eos_token_id if first is None else first, layer, updates, words)
