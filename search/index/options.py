"""How partitions are kept: exact or approximate, where, from what size on."""

from __future__ import annotations

from pathlib import Path

import msgspec

from search.index.planner import Planner, plan_lists


class PartitionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How partitions are kept. The defaults are exact whatever the size."""

    ivf_threshold: int | None = None  # rows above which `tend` builds lists; None: never
    plan: Planner = plan_lists
    device: str = ""  # where exact search runs: a torch device, or empty for FAISS on the CPU
    folder: Path | None = None  # for exact rows on disk; None: the system's temporary folder


EXACT = PartitionOptions()
