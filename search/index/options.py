"""How partitions are kept: exact or approximate, where, from what size on."""

from __future__ import annotations

from pathlib import Path

import msgspec

from search.index.gpu import Gpu
from search.index.planner import Planner, plan_lists


class PartitionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How partitions are kept. With the defaults they are exact at any size."""

    ivf_threshold: int | None = None  # rows above which `tend` builds lists; None: never
    plan: Planner = plan_lists
    gpu: Gpu | None = None  # where searches run; None: the CPU
    gpu_ivf_threshold: int | None = None  # as `ivf_threshold`, while the rows lie on GPUs
    folder: Path | None = None  # for exact rows on disk; None: the system's temporary folder


EXACT = PartitionOptions()
