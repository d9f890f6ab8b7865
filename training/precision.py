"""The number type that steps are computed in."""

from __future__ import annotations

import torch

from search.spaces.device import choose_dtype


def autocast(enabled: bool = True) -> torch.autocast:
    """bfloat16 where this CPU multiplies it; elsewhere float32, because emulated bfloat16 takes fifty times as long."""
    native = choose_dtype(torch.device("cpu")) is torch.bfloat16
    return torch.autocast("cpu", torch.bfloat16, enabled=enabled and native)
