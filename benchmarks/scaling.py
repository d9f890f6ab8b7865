"""What a library of so many segments needs and costs: measured rates, multiplied out, as in docs/scaling.md.

    python -m benchmarks.scaling [--segments 100000,1000000,100000000,1000000000] [--core-hour 0.04] [--gpu-hour 2.5]
                                 [--gigabyte-month 0.08]

Measures nothing: each figure below names where it was measured (a page of docs/benchmarks and its command) or
published. Segments are photographs, one each, and vectors have 512 dimensions. Prices are assumptions; give your own.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass

from search.index.planner import list_count

SIZES = (100_000, 1_000_000, 100_000_000, 1_000_000_000)

# docs/benchmarks/ingestion.md, `benchmarks.ingest`: 49.7 photographs of a megapixel a second on two cores, end to end.
PHOTOS_PER_CORE_SECOND = 49.7 / 2
# Published: clip-retrieval on one RTX 3080, end to end, bound by reading and decoding.
PHOTOS_PER_GPU_SECOND = 1500.0
# docs/benchmarks/catalogue.md, `benchmarks.catalog_size` at 2,000,000: bytes in PostgreSQL with indexes and full text.
ASSET_BYTES = 286.3  # an asset; it was 2.863 a segment, with a hundred of them each
SEGMENT_BYTES = 327.3
VECTOR_BYTES = 1424 / 1.1  # one of 512 dimensions; 1.1 spaces were held
# docs/benchmarks/partitions.md, `benchmarks.search --dimension 512`.
LISTS_MEMORY_BYTES = 126.0
LISTS_DISK_BYTES = 1024.0
FLAT_MEMORY_BYTES = 2736.0
# `--only growth`: vectors followed into lists a processor second at a million; it falls with the number of lists.
FOLLOWED_PER_SECOND, FOLLOWED_AT = 14_500.0, 1_000_000
# docs/benchmarks/everyday.md: a text query through both encoders; docs/benchmarks/partitions.md: a search in lists.
QUERY_CORE_SECONDS = 0.0067 + 0.00034
# tests/api/test_encoders.py prints them: resident after the first searches.
API_BYTES, ENCODERS_BYTES = 175e6, 757e6
# `search.settings`: above that many vectors a partition has lists.
LISTS_FROM = 50_000
GPU_ROW_BYTES = 1024.0  # half precision
HOURS_A_MONTH = 730


@dataclass(frozen=True)
class Prices:
    """In any currency; the defaults are about what large clouds ask without a contract."""

    core_hour: float = 0.04  # with 4 GB of memory
    gpu_hour: float = 2.5  # of 80 GB
    gigabyte_month: float = 0.08  # of fast disk


def core_hours(segments: int) -> float:
    """To make that many photographs searchable without a GPU."""
    return segments / PHOTOS_PER_CORE_SECOND / 3600


def gpu_hours(segments: int) -> float:
    """The same with one GPU and enough cores to decode for it."""
    return segments / PHOTOS_PER_GPU_SECOND / 3600


def catalogue_bytes(segments: int) -> float:
    """On PostgreSQL's disk, with one space."""
    return segments * (ASSET_BYTES + SEGMENT_BYTES + VECTOR_BYTES)


def memory_bytes(segments: int) -> float:
    """Of the partitions in one process."""
    return segments * (FLAT_MEMORY_BYTES if segments < LISTS_FROM else LISTS_MEMORY_BYTES)


def fill_hours(segments: int) -> float:
    """Until a process without a snapshot has followed all: a processor second takes fewer, the more lists there are."""
    lists = list_count(segments) / list_count(FOLLOWED_AT)
    return segments / (FOLLOWED_PER_SECOND / max(1.0, lists)) / 3600


def machines(segments: int) -> tuple[int, str]:
    """Cores that serve, and where."""
    if segments <= 1_000_000:
        return 4, "one"
    if segments <= 100_000_000:
        return 16 + 2 * 8 + 4, "PostgreSQL 16 cores, 2 API of 8, encoders 4"
    return 10 * 36 + 64, "ten of those, by source, and Milvus 64 cores"


def needs(sizes: Sequence[int]) -> list[dict[str, str]]:
    """What each size takes to make and to hold."""
    return [
        {
            "segments": f"{size:,}",
            "core hours to index": shown(core_hours(size)),
            "or GPU hours": shown(gpu_hours(size)),
            "catalogue, GB": shown(catalogue_bytes(size) / 1e9),
            "memory of a replica, GB": shown((API_BYTES + memory_bytes(size)) / 1e9),
            "its disk, GB": shown(size * LISTS_DISK_BYTES / 1e9 if size >= LISTS_FROM else 0.0),
            "or GPU memory, GB": shown(size * GPU_ROW_BYTES / 1e9),
            "hours to fill it": shown(fill_hours(size)),
        }
        for size in sizes
    ]


def costs(sizes: Sequence[int], prices: Prices) -> list[dict[str, str]]:
    """What each size costs once and each month."""
    rows = []
    for size in sizes:
        cores, where = machines(size)
        disk = catalogue_bytes(size) / 1e9 + 2 * size * LISTS_DISK_BYTES / 1e9
        rows.append(
            {
                "segments": f"{size:,}",
                "indexing on CPUs": shown(core_hours(size) * prices.core_hour),
                "with GPUs": shown(gpu_hours(size) * (prices.gpu_hour + 16 * prices.core_hour)),
                "machines that serve": where,
                "a month": shown(cores * prices.core_hour * HOURS_A_MONTH + disk * prices.gigabyte_month),
                "of which disk": shown(disk * prices.gigabyte_month),
            }
        )
    return rows


def shown(number: float) -> str:
    """Two digits that count."""
    if number <= 0:
        return "-"
    digits = max(0, 1 - math.floor(math.log10(number)))
    return f"{round(number, digits if number < 10 else -max(0, math.floor(math.log10(number)) - 1)):,.{digits}f}"


def table(rows: Sequence[dict[str, str]]) -> str:
    """As Markdown."""
    lines = [f"| {' | '.join(rows[0])} |", f"|{'---|' * len(rows[0])}"]
    return "\n".join([*lines, *(f"| {' | '.join(row.values())} |" for row in rows)])


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", default=",".join(map(str, SIZES)))
    parser.add_argument("--core-hour", type=float, default=Prices.core_hour)
    parser.add_argument("--gpu-hour", type=float, default=Prices.gpu_hour)
    parser.add_argument("--gigabyte-month", type=float, default=Prices.gigabyte_month)
    options = parser.parse_args()
    sizes = [int(size) for size in options.segments.split(",")]
    print(table(needs(sizes)) + "\n")
    print(table(costs(sizes, Prices(options.core_hour, options.gpu_hour, options.gigabyte_month))))
    print(f"\nQueries of text a second and core: {1 / QUERY_CORE_SECONDS:.0f}")


if __name__ == "__main__":
    main()
