"""The language model as an adapter is trained through it: frozen below, low-rank updates above.

All that is said of one photo stands in one row behind its soft tokens, each thing invisible to the others. States are
on the network's device; ids and where they stand are counted on the CPU and sent there once a step. Knows Llama-like
decoders of transformers; knows no picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from msgspec import Struct
from torch import Tensor, nn
from torch.nn import functional

from search.arrays import Float32Array
from search.multimodal.adapter import AdapterRecord
from search.multimodal.low_rank import attach
from search.multimodal.resampler import Resampler, ResamplerShape, windows
from training.multimodal_data import Lesson, Said

_LONGEST = 30  # tokens of a target; longer ones are cut
_ROUNDED = 8  # a row's length is a multiple, so that few shapes occur
_SINK = 50.0  # states larger than this collect attention and say nothing
_GRID = 3  # places a side at which the first tokens look, where a map is square


class _Below(Struct, frozen=True):
    """What the frozen layers make of a prompt with its target."""

    states: Tensor  # (length, width)
    prompt: int  # tokens
    target: Tensor  # ids on the CPU, the end last


class TrainedDecoder:
    """`updates` is trained; everything else is frozen. Keeps what the lower layers made of each text."""

    def __init__(
        self,
        network: Any,
        tokenizer: Any,
        layer: int,
        rank: int | None,
        record: AdapterRecord,
        lessons: Sequence[Lesson],
        words: Iterable[int] = (),
    ) -> None:
        """`rank` of the updates; None: the layers stay as they are. `words`: ids to tell from those of the targets."""
        network.requires_grad_(False)
        self._decoder = network.get_decoder()
        self._embed = network.get_input_embeddings()
        self.device: torch.device = self._embed.weight.device
        self._tokenizer = tokenizer
        self._layer = layer
        self._lower, self._upper = self._decoder.layers[:layer], self._decoder.layers[layer:]
        named = {
            f"{layer + index}.{name}": update
            for index, part in enumerate(self._upper)
            for name, update in (attach(part, rank) if rank else {}).items()
        }
        # A ModuleDict takes no dots in its names.
        self.updates = nn.ModuleDict({name.replace(".", "/"): update for name, update in named.items()})
        self._end = int(tokenizer.eos_token_id)
        bos = tokenizer.bos_token_id
        self._first = self._end if bos is None else int(bos)
        self._first_state = self._read(torch.tensor([[self._first]]))[0]
        self._kept: dict[Said, _Below] = {}
        # The softmax runs over the tokens that the targets use: a seventh of the vocabulary.
        texts = {text for lesson in lessons for text in (*lesson.captions, *(pair.answer for pair in lesson.exchanges))}
        used = {token for text in texts for token in self._target(" " + text)}
        self.words = torch.tensor(sorted(used | set(words)))
        self._place = torch.full((len(self._embed.weight),), 0)
        self._place[self.words] = torch.arange(len(self.words))
        self._head = network.get_output_embeddings().weight[self.words]
        self._caption = record.caption

    @property
    def width(self) -> int:
        """Length of a soft token."""
        return int(self._head.shape[1])

    def named_updates(self) -> dict[str, Tensor]:
        """`(out, rank)` and `(rank, in)` by layer, name and part, as adapters store them."""
        held = {name.replace("/", "."): tensor.detach() for name, tensor in self.updates.state_dict().items()}
        return {name: tensor.float().cpu() for name, tensor in held.items() if name.endswith((".a", ".b"))}

    def load_updates(self, updates: Mapping[str, Tensor]) -> None:
        """Continue from these. As `named_updates` returns them."""
        self.updates.load_state_dict({_key(name): tensor for name, tensor in updates.items()}, strict=False)

    def typical_states(self, lessons: Sequence[Lesson]) -> Tensor:
        """`(n, width) float32`: what enters the upper layers when captions are read."""
        said = [Said(self._caption, " " + caption) for lesson in lessons for caption in lesson.captions]
        states = torch.cat([below.states for below in self._below(said)]).float()
        return states[states.pow(2).mean(1).sqrt() < _SINK]

    def states_of(self, said: Said) -> Tensor:
        """`(length, width) float32`: what enters the upper layers when a target is read after its prompt."""
        (below,) = self._below([said])
        return below.states[below.prompt :].float()

    def loss(self, soft: Tensor, said: Sequence[Sequence[Said]]) -> tuple[Tensor, int]:
        """Summed negative log-likelihood of all targets after `soft (n, tokens, width)`, and how many tokens."""
        below = [self._below(row) for row in said]
        start = 1 + soft.shape[1]
        length = max(start + sum(len(piece.states) for piece in row) for row in below)
        length = -(-length // _ROUNDED) * _ROUNDED
        part = torch.full((len(below), length), -1)  # which thing a position belongs to; 0: the photo
        places = torch.zeros(len(below), length, dtype=torch.long)
        rows, asked, targets = [], [], []
        for number, row in enumerate(below):
            pieces = [self._first_state, soft[number].to(self._first_state)]
            part[number, :start], places[number, :start], at = 0, torch.arange(start), start
            for index, piece in enumerate(row, start=1):
                end = at + len(piece.states)
                pieces.append(piece.states)
                part[number, at:end], places[number, at:end] = index, torch.arange(start, start + end - at)
                asked.append(number * length + torch.arange(at + piece.prompt - 1, end))
                targets.append(piece.target)
                at = end
            pieces.append(self._first_state.new_zeros(length - at, self.width))
            rows.append(torch.cat(pieces))
        part, places = part.to(self.device), places.to(self.device)
        seen = (part[:, None, :] == 0) | (part[:, None, :] == part[:, :, None])
        mask = self._causal(length).masked_fill(~seen[:, None], float("-inf"))
        states = self._run(self._upper, torch.stack(rows), mask, places)
        wanted = self._decoder.norm(states.flatten(0, 1)[torch.cat(asked).to(self.device)])
        goal = self._place[torch.cat(targets)].to(self.device)
        return functional.cross_entropy((wanted @ self._head.T).float(), goal, reduction="sum"), len(goal)

    def _below(self, said: Sequence[Said]) -> list[_Below]:
        """What the frozen layers make of each; computed once."""
        new = [entry for entry in dict.fromkeys(said) if entry not in self._kept]
        if new:
            pairs = [(self._ids(entry.prompt), self._target(entry.target)) for entry in new]
            rows = [[self._first, *prompt, *target[:-1]] for prompt, target in pairs]
            longest = max(map(len, rows))
            ids = torch.tensor([row + [self._end] * (longest - len(row)) for row in rows])
            with torch.no_grad():
                states = self._read(ids)
            for entry, own, row, (prompt, target) in zip(new, states, rows, pairs, strict=True):
                self._kept[entry] = _Below(own[1 : len(row)].clone(), len(prompt), torch.tensor(target))
        return [self._kept[entry] for entry in said]

    def _read(self, ids: Tensor) -> Tensor:
        """What the frozen layers make of ids `(n, length)`."""
        length = ids.shape[1]
        places = torch.arange(length, device=self.device)[None]
        return self._run(self._lower, self._embed(ids.to(self.device)), self._causal(length), places)

    def _causal(self, length: int) -> Tensor:
        return torch.full((length, length), float("-inf"), device=self.device).triu(1)[None, None]

    def _run(self, layers: Sequence[nn.Module], states: Tensor, mask: Tensor, places: Tensor) -> Tensor:
        angles = self._decoder.rotary_emb(states, places)
        for layer in layers:
            states = layer(
                states,
                attention_mask=mask.to(states.dtype),
                position_ids=places,
                position_embeddings=angles,
                use_cache=False,
            )
        return states

    def _target(self, text: str) -> list[int]:
        return [*self._ids(text)[:_LONGEST], self._end]

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False).input_ids
        return ids


def new_resampler(record: AdapterRecord, maps: Float32Array, states: Tensor) -> Resampler:
    """One that has learnt nothing: channels in their deviations over `maps (n, places, channels)`, tokens like states.

    `states (n, width)`: what the layer reads otherwise, on the device to train on. The first tokens look at a grid of a
    square map.
    """
    shape = ResamplerShape(
        places=maps.shape[1],
        channels=maps.shape[2],
        tokens=record.tokens,
        width=states.shape[1],
        inner=record.inner,
        heads=record.heads,
    )
    resampler = Resampler(shape).to(states.device)
    places = torch.from_numpy(maps).flatten(0, 1)
    resampler.mean.copy_(places.mean(0))
    resampler.spread.copy_(places.std(0) + 0.05)
    side, grid = int(shape.places**0.5), min(_GRID, int(shape.tokens**0.5))
    with torch.no_grad():
        resampler.leave.weight.copy_(states.std(0))
        resampler.leave.bias.copy_(states.mean(0))
        if side * side == shape.places:
            resampler.window[: grid * grid] = windows(side, grid)[:, None]
    return resampler


@torch.no_grad()
def adapter_tensors(resampler: Resampler, typical: Float32Array, words: Tensor) -> dict[str, np.ndarray]:
    """What adapters store of a resampler; `typical (n, places, channels)`: maps that tell a text's prior."""
    resampler.eval()
    soft = resampler(torch.from_numpy(typical).to(resampler.mean.device)).cpu().numpy()
    held = {f"resampler.{name}": tensor.cpu().numpy() for name, tensor in resampler.state_dict().items()}
    return held | {"words": words.numpy(), "typical": soft}


def _key(name: str) -> str:
    """`20.mlp.up_proj.a` -> `20/mlp/up_proj.a`."""
    path, _, last = name.rpartition(".")
    return f"{path.replace('.', '/')}.{last}"
