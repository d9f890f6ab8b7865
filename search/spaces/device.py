"""Which device, number type and threads models compute with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from search.allocator import keep_blocks
from search.errors import SettingsError

ItemT = TypeVar("ItemT")
MadeT = TypeVar("MadeT")


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


class Lanes:
    """Threads that compute with one core each.

    A small network gains little from several cores for one batch, and threads that wait for each other by
    spinning lose most of it as soon as others want the same cores: measured on two busy cores, 33 pictures a
    second in two lanes, 12 with two threads a batch.
    """

    def __init__(self, count: int, name: str) -> None:
        """`count` 0: as many as torch uses."""
        wanted = torch.get_num_threads()
        self.count = count or wanted
        made = threading.Barrier(self.count)

        def begin() -> None:
            torch.set_num_threads(1)
            made.wait()

        self._threads = ThreadPoolExecutor(self.count, name, begin)
        for started in [self._threads.submit(int) for _ in range(self.count)]:
            started.result()
        torch.set_num_threads(wanted)  # for threads that begin later: the call above is theirs too

    def map(self, work: Callable[[ItemT], MadeT], items: Iterable[ItemT]) -> Iterator[MadeT]:
        """As the built-in, side by side."""
        return self._threads.map(work, items)
