"""What the trainings of the reader and the pointer share: both score the statements of a page against "nowhere".

Knows scores and named tensors; knows no network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor

from search.runtime.packed_weights import pack, unpack

WARM = 30  # steps
DECLINED = 0.9  # share of what is nowhere
Named = Iterable[tuple[str, Tensor]]


def certain_and_best(scores: Sequence[Tensor], wanted: Sequence[Tensor]) -> tuple[float, float]:
    """Shares of what is answered somewhere, from `(questions, 1 + statements)` and right columns `(questions,)`.

    The best statement is right and leads "nowhere" (column 0) by as much as declines DECLINED of what is nowhere; it is
    right.
    """
    lead = torch.cat([told[:, 1:].amax(1) - told[:, 0] for told in scores])
    hit = torch.cat([told[:, 1:].argmax(1) + 1 == right for told, right in zip(scores, wanted, strict=True)])
    there = torch.cat(list(wanted)) > 0
    least = torch.quantile(lead[~there], DECLINED)
    answerable = max(1, int(there.sum()))
    return int((hit & there & (lead > least)).sum()) / answerable, int((hit & there).sum()) / answerable


def take_step(optimiser: torch.optim.Optimizer, loss: Tensor, rate: float, step: int, share: float) -> None:
    """One step down the `loss` of scores `(questions, columns)`.

    Its rate rises for the first WARM steps and falls with the `share` of the time that is over.
    """
    for group in optimiser.param_groups:
        group["lr"] = rate * min(1.0, (step + 1) / WARM) * (0.5 + 0.5 * float(np.cos(np.pi * share)))
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_([tensor for group in optimiser.param_groups for tensor in group["params"]], 1.0)
    optimiser.step()


def save(named: Named, output: Path) -> None:
    """Write tensors `(...)` as they ship."""
    save_file(pack({name: tensor.detach().float().cpu().numpy() for name, tensor in named}), output)
    output.chmod(0o644)  # safetensors leaves it to its owner alone


@torch.no_grad()
def resume(named: Named, start: Path) -> None:
    """Continue from what was learnt before: copies it into tensors `(...)`."""
    learnt = unpack(load_file(start))
    for name, tensor in named:
        tensor.copy_(torch.from_numpy(learnt[name]))
