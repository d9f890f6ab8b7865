"""Which device, number type, batches and threads models compute with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch

from search.arrays import Float32Array
from search.errors import SettingsError, SpaceError
from search.runtime.allocator import keep_blocks
from search.spaces.space import unit_rows

ItemT = TypeVar("ItemT")
MadeT = TypeVar("MadeT")
MAX_BATCH = 256


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
    supported = torch.ops.mkldnn._is_mkldnn_bf16_supported()  # noqa: SLF001 - nothing public tells
    return torch.bfloat16 if supported else torch.float32


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


def in_batches(items: Sequence[Any], encode: Callable[[Sequence[Any]], torch.Tensor]) -> Float32Array:
    """Encode in the largest batches that memory allows; `(n, d) float32` unit rows. Raises SpaceError."""
    rows: list[np.ndarray] = []
    start, size = 0, MAX_BATCH
    while start < len(items):
        try:
            with torch.inference_mode():
                vectors = encode(items[start : start + size]).float().cpu().numpy()
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            if size == 1:
                raise SpaceError(
                    "the device has no memory for even one item: free it, or set MEDLEY_DEVICE=cpu"
                ) from None
            size = max(1, min(size, len(items) - start) // 2)
            continue
        rows.append(unit_rows(vectors))
        start += len(vectors)
    return np.concatenate(rows)
