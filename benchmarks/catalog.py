"""How fast the catalogue writes, claims, finishes, hydrates and filters, beside the bare driver.

    python -m benchmarks.catalog [--postgres URL] [--rows N] [--rounds N] [--json FILE]

Each round runs ours and the bare driver's in turn, on the same tables of the same database; medians
over the rounds. `--postgres` names a server; a scratch database is made there and dropped.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from sqlalchemy import Connection, make_url

from search.catalog import assets, queue, segments, sources, spaces
from search.catalog.database import Database
from search.catalog.embeddings import STORED, insert_embeddings
from search.catalog.models import asset, segment
from search.catalog.records import AssetFacts, FoundFile, IndexedAsset, NewSegment
from search.catalog.sql.bulk import insert_rows, new_ids
from search.query.conditions import Compare, Condition, Field, KindIs, Operator, PathMatches
from search.results import Kind
from search.signals import Signal

DIMENSION = 384
HITS = 10
WORDS = "a red boat drifts under the old bridge while people on the shore wave"
SEGMENT_COLUMNS = ("id", "asset_id", "signal", "start_seconds", "end_seconds", "text", "details")
EMBEDDING_COLUMNS = ("space_id", "segment_id", "signal", "sequence", "vector")
Row = dict[str, Any]


class Bench:
    """One database with an open raw connection beside ours."""

    def __init__(self, url: str) -> None:
        self.database = Database.open(url)
        self.database.migrate()
        self.url = url
        self.name = self.database.dialect
        self.next_id = 1
        with self.database.write() as connection:
            self.source = sources.add_source(connection, "/media")
            self.space = spaces.create_space(connection, "bench", "{}", "0" * 64)

    @contextmanager
    def raw(self) -> Iterator[Any]:
        """A connection of the bare driver, set up like ours; commits at the end."""
        if self.name == "sqlite":
            connection: Any = sqlite3.connect(self.url.removeprefix("sqlite:///"))
            for pragma in (
                "foreign_keys = ON",
                "synchronous = NORMAL",
                "cache_size = -16384",
                "mmap_size = 1073741824",
            ):
                connection.execute(f"PRAGMA {pragma}")
        else:
            connection = psycopg.connect(self.url)
        try:
            yield connection
            connection.commit()
        finally:
            connection.close()

    def ids(self, count: int) -> range:
        """Ids for rows that a round writes itself."""
        if self.name == "postgresql":
            with self.database.write() as connection:
                drawn = new_ids(connection, segment, count)
            return range(drawn[0], drawn[-1] + 1)
        first, self.next_id = self.next_id, self.next_id + count
        return range(first, first + count)


def segment_rows(ids: range, asset_id: int) -> list[tuple[Any, ...]]:
    """Half of them with words, as in a mixed library."""
    rng = np.random.default_rng(ids.start)
    return [
        (
            i,
            asset_id,
            "speech" if i % 2 else "frame",
            0.0,
            5.0,
            " ".join(rng.permutation(WORDS.split())) if i % 2 else None,
            None,
        )
        for i in ids
    ]


def write_segments(connection: Connection, space_id: int, asset_id: int, ids: range, vectors: np.ndarray) -> None:
    """What a worker writes of its segments: them, the words of half of them, and their vectors."""
    insert_rows(connection, segment, SEGMENT_COLUMNS, segment_rows(ids, asset_id))
    insert_embeddings(connection, [(space_id, i, "frame", vector) for i, vector in zip(ids, vectors, strict=True)])


def raw_write(
    bench: Bench, table: str, columns: Sequence[str], types: Sequence[str], rows: list[tuple[Any, ...]]
) -> None:
    """`executemany` or binary `COPY`, by the driver alone."""
    names = ", ".join(columns)
    with bench.raw() as connection:
        if bench.name == "sqlite":
            connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})", rows)
            return
        with connection.cursor().copy(f"COPY {table} ({names}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(list(types))
            for row in rows:
                copy.write_row(row)


def clocked(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and process seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def one_asset(bench: Bench) -> int:
    """The asset that all segments are of."""
    with bench.database.write() as connection:
        file = FoundFile(path="/media/a", path_bytes=b"/media/a", size_bytes=1, modified_ns=1)
        [asset_id] = assets.sync_assets(connection, bench.source.id, [file]).ids
        [done] = queue.claim(connection, "bench", 1, 600)
        queue.finish_unchanged(connection, queue.claims_of([done]), [done.id])
    return asset_id


def bench_writes(bench: Bench, rows: int, rounds: int) -> list[Row]:
    """Segments and embeddings in bulk. Embeddings begin as float32 on both sides; ours are checked and numbered."""
    asset_id = one_asset(bench)
    vectors = np.random.default_rng(0).normal(size=(rows, DIMENSION)).astype(np.float32)
    times: dict[str, list[tuple[float, float]]] = {
        name: [] for name in ("segments", "segments raw", "embeddings", "embeddings raw")
    }

    def ours_segments(made: list[tuple[Any, ...]]) -> None:
        with bench.database.write() as connection:
            insert_rows(connection, segment, SEGMENT_COLUMNS, made)

    def ours_embeddings(ids: range) -> None:
        with bench.database.write() as connection:
            insert_embeddings(connection, [(bench.space.id, i, "frame", v) for i, v in zip(ids, vectors, strict=True)])

    def raw_embeddings(ids: range) -> None:
        stored = vectors.astype(STORED)
        made = [(bench.space.id, i, "frame", i, row.tobytes()) for i, row in zip(ids, stored, strict=True)]
        raw_write(bench, "embedding", EMBEDDING_COLUMNS, embedding_types, made)

    segment_types = ("int8", "int8", "text", "float8", "float8", "text", "bytea")
    embedding_types = ("int8", "int8", "text", "int8", "bytea")
    for _ in range(rounds):
        ids, raw_ids = bench.ids(rows), bench.ids(rows)
        made, raw_made = segment_rows(ids, asset_id), segment_rows(raw_ids, asset_id)
        times["segments"].append(clocked(lambda: ours_segments(made)))  # noqa: B023
        times["segments raw"].append(
            clocked(lambda: raw_write(bench, "segment", SEGMENT_COLUMNS, segment_types, raw_made))  # noqa: B023
        )
        times["embeddings"].append(clocked(lambda: ours_embeddings(ids)))  # noqa: B023
        times["embeddings raw"].append(
            clocked(lambda: raw_embeddings(raw_ids))  # noqa: B023
        )
    return [
        beside(bench, f"write {what}", times[what], times[f"{what} raw"], rows) for what in ("segments", "embeddings")
    ]


def beside(bench: Bench, what: str, ours: list[tuple[float, float]], raw: list[tuple[float, float]], rows: int) -> Row:
    """Rates of both, and the median of each round's ratio."""
    ratios = [theirs[0] / mine[0] for mine, theirs in zip(ours, raw, strict=True)]
    return {
        "database": bench.name,
        "what": what,
        "ours_rows_per_second": rows / float(np.median([wall for wall, _ in ours])),
        "raw_rows_per_second": rows / float(np.median([wall for wall, _ in raw])),
        "ratio": float(np.median(ratios)),
        "ours_cpu_microseconds_per_row": 1e6 * float(np.median([cpu for _, cpu in ours])) / rows,
        "raw_cpu_microseconds_per_row": 1e6 * float(np.median([cpu for _, cpu in raw])) / rows,
    }


def bench_queue(bench: Bench, count: int, batch: int = 32) -> list[Row]:
    """Claiming and finishing everything that is pending, three vectors an asset."""
    files = [
        FoundFile(path=f"/media/q/{i}.jpg", path_bytes=b"/media/q/%d.jpg" % i, size_bytes=i, modified_ns=i)
        for i in range(count)
    ]
    with bench.database.write() as connection:
        sync, _ = clocked(lambda: assets.sync_assets(connection, bench.source.id, files))
    vector = np.random.default_rng(1).normal(size=DIMENSION).astype(np.float32)
    parts = [
        NewSegment(signal=signal, text="a few words", vectors={bench.space.id: vector})
        for signal in ("image", "text", "text")
    ]
    claims, finishes = [], []
    while True:
        wall = time.perf_counter()
        with bench.database.write() as connection:
            claimed = queue.claim(connection, "bench", batch, 600)
        claims.append(time.perf_counter() - wall)
        if not claimed:
            break
        results = [
            IndexedAsset(asset_id=record.id, kind="image", content_hash="0" * 64, facts=AssetFacts(), segments=parts)
            for record in claimed
        ]
        wall = time.perf_counter()
        with bench.database.write() as connection:
            queue.finish(connection, queue.claims_of(claimed), results)
        finishes.append(time.perf_counter() - wall)
    return [
        {"database": bench.name, "what": "sync new files", "ours_rows_per_second": count / sync},
        {
            "database": bench.name,
            "what": f"claim by {batch}",
            "ours_rows_per_second": batch / float(np.median(claims[:-1])),
        },
        {
            "database": bench.name,
            "what": f"finish by {batch}",
            "ours_rows_per_second": batch / float(np.median(finishes)),
        },
    ]


def bench_reads(bench: Bench, rounds: int) -> list[Row]:
    """Hydrating ten hits beside the same statement on the bare driver; filters to id sets."""
    with bench.database.read() as connection:
        every = segments.filter_segments(connection, None)
    rng = np.random.default_rng(2)
    columns = ", ".join(str(column) for column in (*segment.columns, *asset.columns))
    statement = f"SELECT {columns} FROM segment JOIN asset ON asset.id = segment.asset_id"
    statement += " WHERE asset.status <> 'missing' AND segment.id"
    statement += f" IN ({', '.join('?' * HITS)})" if bench.name == "sqlite" else " = ANY(%s)"
    ours, bare = [], []

    def hydrate(ids: list[int]) -> None:
        with bench.database.read() as connection:
            segments.hydrate(connection, ids)

    with bench.raw() as raw:
        if bench.name == "postgresql":
            raw.commit()
            raw.autocommit = True
        for _ in range(rounds * 100):
            ids = rng.choice(every, HITS).tolist()
            ours.append(clocked(lambda: hydrate(ids))[0])  # noqa: B023
            parameters = ids if bench.name == "sqlite" else (ids,)
            bare.append(clocked(lambda: raw.execute(statement, parameters).fetchall())[0])  # noqa: B023
        if bench.name == "postgresql":
            raw.autocommit = False
    rows: list[Row] = [
        {
            "database": bench.name,
            "what": f"hydrate {HITS} hits, p{percentile}",
            "ours_milliseconds": 1e3 * float(np.percentile(ours, percentile)),
            "raw_milliseconds": 1e3 * float(np.percentile(bare, percentile)),
            "added_milliseconds": 1e3 * float(np.percentile(ours, percentile) - np.percentile(bare, percentile)),
        }
        for percentile in (50, 10)
    ]
    conditions: dict[str, Condition] = {
        "kind:image": KindIs(Kind.IMAGE),
        "path:*7.jpg": PathMatches("*7.jpg"),
        "size<100": Compare(Field.SIZE, Operator.LESS, 100),
    }
    for name, condition in conditions.items():
        times = []
        for _ in range(rounds):
            with bench.database.read() as connection:
                wall = time.perf_counter()
                matching = segments.filter_segments(connection, condition, Signal.TEXT)
                times.append(time.perf_counter() - wall)
        what = f"filter {name} ({len(matching):,} of {len(every):,})"
        rows.append({"database": bench.name, "what": what, "ours_milliseconds": 1e3 * float(np.median(times))})
    return rows


@contextmanager
def scratch_postgres(server: str) -> Iterator[str]:
    """A database of our own on that server."""
    name = f"medley_bench_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def measure(url: str, rows: int, rounds: int) -> list[Row]:
    """Everything on one database."""
    bench = Bench(url)
    try:
        return bench_writes(bench, rows, rounds) + bench_queue(bench, rows // 5) + bench_reads(bench, rounds)
    finally:
        bench.database.close()


def table(rows: list[Row]) -> str:
    """Markdown."""
    lines = ["| database | what | ours | bare driver | ratio or difference |", "|---|---|---|---|---|"]
    for row in rows:
        if "ours_milliseconds" in row:
            ours, raw = f"{row['ours_milliseconds']:.2f} ms", row.get("raw_milliseconds")
            bare = f"{raw:.2f} ms" if raw is not None else ""
            last = f"+{row['added_milliseconds']:.2f} ms" if raw is not None else ""
        else:
            ours, raw = f"{row['ours_rows_per_second']:,.0f}/s", row.get("raw_rows_per_second")
            bare = f"{raw:,.0f}/s" if raw is not None else ""
            cpu = "{ours_cpu_microseconds_per_row:.1f} to {raw_cpu_microseconds_per_row:.1f} µs CPU a row"
            last = f"{row['ratio']:.2f}; {cpu.format(**row)}" if raw is not None else ""
        lines.append(f"| {row['database']} | {row['what']} | {ours} | {bare} | {last} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgres", help="a server's URL, e.g. postgresql://postgres@127.0.0.1/postgres")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(f"sqlite:///{folder}/medley.sqlite", arguments.rows, arguments.rounds)
    if arguments.postgres:
        with scratch_postgres(arguments.postgres) as url:
            results += measure(url, arguments.rows, arguments.rounds)
    print(table(results))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
