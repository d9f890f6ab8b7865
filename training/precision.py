"""Where steps are computed, and in which number type."""

from __future__ import annotations

import argparse

import torch

from search.spaces.device import choose_dtype


def add_device(parser: argparse.ArgumentParser) -> None:
    """The option `--device`; given or not, `Settings.load(device=...)` takes it."""
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N; default: the setting device, which is auto")


def autocast(enabled: bool = True, device: torch.device | None = None) -> torch.autocast:
    """bfloat16 where the device (default: this CPU) multiplies it; elsewhere float32.

    Emulated bfloat16 takes fifty times as long.
    """
    device = device or torch.device("cpu")
    native = choose_dtype(device) is torch.bfloat16
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled and native)
