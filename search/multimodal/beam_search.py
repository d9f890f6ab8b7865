"""Beam search: the likeliest short texts after soft tokens and a prompt.

Knows the split decoder; knows neither pictures nor tokenizers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from search.multimodal.split_decoder import SplitDecoder


@dataclass(frozen=True)
class Beams:
    """How far and how wide to look."""

    width: int = 4
    tokens: int = 26  # at most
    length_power: float = 0.7  # of the length that a text's log-probability is divided by


@dataclass(frozen=True)
class Written:
    """Ids in the decoder's vocabulary, the end left out, and their log-probability with it."""

    words: tuple[int, ...]
    log_probability: float


def search(decoder: SplitDecoder, soft: Tensor, prompt: Tensor, end: int, beams: Beams) -> list[list[Written]]:
    """For each of `soft (n, tokens, width)`, `beams.width` texts after the ids `prompt (length,)`, the best first.

    Fewer where the vocabulary is smaller than that. `end` closes a text.
    """
    count, width = len(soft), min(beams.width, len(decoder.words))
    read, states = decoder.read(decoder.begin(soft), prompt.expand(count, -1))
    steps = decoder.logits(states[:, -1]).log_softmax(-1)
    scores, chosen = steps.topk(width, dim=1)  # (n, width)
    where = decoder.words.device
    rows = torch.arange(count, device=where).repeat_interleave(width)
    read = read.take(rows)
    texts, scores = chosen.reshape(-1, 1), scores.reshape(-1)
    first = torch.arange(count, device=where)[:, None] * width
    stop = int((decoder.words == end).nonzero()[0, 0])
    for _ in range(beams.tokens - 1):
        over = texts[:, -1] == stop
        if bool(over.all()):
            break
        read, states = decoder.read(read, decoder.words[texts[:, -1:]])
        steps = decoder.logits(states[:, -1]).log_softmax(-1)
        # A text that is over only goes on with its end, at no cost.
        steps[over] = -torch.inf
        steps[over, stop] = 0.0
        joint = (scores[:, None] + steps).view(count, -1)
        scores, flat = joint.topk(width, dim=1)
        origin = (first + flat // steps.shape[1]).view(-1)
        texts = torch.cat([texts[origin], (flat % steps.shape[1]).view(-1, 1)], dim=1)
        scores, read = scores.reshape(-1), read.take(origin)
    lengths = (texts != stop).sum(1) + 1
    ranked = (scores / lengths**beams.length_power).view(count, width).argsort(1, descending=True)
    return [
        [Written(tuple(w for w in texts[row].tolist() if w != stop), float(scores[row])) for row in rows]
        for rows in (first + ranked).tolist()
    ]
