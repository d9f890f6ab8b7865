"""Which device and number type the models of a space compute with."""

from __future__ import annotations

import torch

from search.allocator import keep_blocks
from search.errors import SettingsError


def choose_device(wanted: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` -> a device that is there. Raises SettingsError."""
    device = _device(wanted)
    if device.type == "cpu":
        keep_blocks()
    return device


def _device(wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise SettingsError(f"device {wanted!r} is none of auto, cpu, cuda, cuda:N (setting MEDLEY_DEVICE)") from None
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        # Falling back in silence is how people find out weeks later that the GPU was idle.
        raise SettingsError(f"device {wanted!r} is not there: torch sees {torch.cuda.device_count()} GPU(s)")
    return device


def choose_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively, else float32.

    On CPUs with AVX512-BF16 or AMX it runs the encoders about three times as fast at a cosine of 0.999
    to float32; elsewhere it is emulated and slower than float32.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32
