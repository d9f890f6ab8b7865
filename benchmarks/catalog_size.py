"""How PostgreSQL holds millions of segments: the catalogue's tables as they are, beside the same rows in partitions.

    python -m benchmarks.catalog_size [--postgres URL] [--segments 2000000] [--rounds 20] [--json FILE]

Makes a scratch database with the real schema (indexes, full text and foreign keys included), fills it inside the server
with synthetic rows (100 segments an asset, half with words, one vector of 512 dimensions each), copies segments into 16
partitions by id and embeddings into one by space and 16 by segment, and asks both the same: what a search reads of its
candidates, what a follower reads, what a filter leaves, the removal of an asset, the removal of a space. Drops the
database afterwards. Sizes are bytes a segment, which is what scales.
"""

from __future__ import annotations

import argparse
import json
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psycopg
from sqlalchemy import make_url

from benchmarks.search import show
from search.catalog import spaces
from search.catalog.database import Database

PARTS = 16
EACH = 100  # segments of an asset
VECTOR_BYTES = 1024
CANDIDATES = 200
FOLLOWED = 10_000
FILTERED_ASSETS = 2000
BLOCK = 200_000  # segments made in one transaction

_PARTED = """
CREATE SCHEMA parted;
CREATE TABLE parted.segment (LIKE public.segment INCLUDING DEFAULTS, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE parted.embedding (LIKE public.embedding, PRIMARY KEY (space_id, segment_id)) PARTITION BY LIST (space_id);
CREATE TABLE parted.embedding_1 PARTITION OF parted.embedding FOR VALUES IN (1)
    PARTITION BY RANGE (segment_id);
CREATE TABLE parted.embedding_2 PARTITION OF parted.embedding FOR VALUES IN (2);
{parts}
INSERT INTO parted.segment SELECT * FROM public.segment;
INSERT INTO parted.embedding SELECT * FROM public.embedding;
-- Without id it could not be unique here: what keeps a segment from coming twice would be lost.
CREATE INDEX ON parted.segment (asset_id, ordinal);
CREATE INDEX ON parted.segment (asset_id, signal) INCLUDE (id);
CREATE INDEX ON parted.embedding (space_id, signal, sequence);
CREATE INDEX ON parted.embedding (segment_id);
"""

_FILL = """
INSERT INTO {table} ({columns}) SELECT {values} FROM generate_series({first}, {last}) AS i
"""


class Catalogue:
    """A scratch database of the real schema with that many synthetic segments, twice."""

    def __init__(self, url: str, segments: int) -> None:
        self._segments = segments
        self._database = Database.open(url)
        self._database.migrate()
        with self._database.write() as connection:
            for name in ("bench", "other"):
                spaces.create_space(connection, name, "{}", "0" * 64)
        self._connection = psycopg.connect(url, autocommit=True)
        self.fill_seconds = timed(self._fill)
        self._run("ANALYZE")

    def close(self) -> None:
        """Close all connections."""
        self._connection.close()
        self._database.close()

    def _run(self, statement: str, *values: Any) -> list[Any]:
        cursor = self._connection.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def _fill(self) -> None:
        assets = self._segments // EACH
        self._run(
            "INSERT INTO source (id, root, recursive, watched, state, created_at) "  # the only one
            "VALUES (1, '/m', true, false, 'active', 0)"
        )
        self._run(
            _FILL.format(
                table="asset", first=1, last=assets,
                columns="id, source_id, path, path_bytes, kind, size_bytes, modified_ns, status, created_at",
                values="i, 1, '/m/' || i, convert_to('/m/' || i, 'UTF8'), 'video', 1, 1, 'indexed', 0",
            )
        )  # fmt: skip
        signal = "CASE WHEN i % 2 = 0 THEN 'frame' ELSE 'speech' END"
        words = "'a red boat drifts under the old bridge while word' || (i % 99991) || ' waits on the shore'"
        words = f"CASE WHEN i % 2 = 0 THEN NULL ELSE {words} END"
        for first in range(1, self._segments + 1, BLOCK):
            last = min(first + BLOCK - 1, self._segments)
            self._run(
                _FILL.format(
                    table="segment", first=first, last=last,
                    columns="id, asset_id, ordinal, signal, start_seconds, end_seconds, text",
                    values=f"i, 1 + (i - 1) / {EACH}, (i - 1) % {EACH}, {signal}, i % {EACH}, i % {EACH} + 5, {words}",
                )
            )  # fmt: skip
            for space in (1, 2):
                end = last if space == 1 else first + (last - first) // 10
                self._run(
                    _FILL.format(
                        table="embedding", first=first, last=end,
                        columns="space_id, segment_id, signal, sequence, vector",
                        values=f"{space}, i, {signal}, i + {(space - 1) * self._segments}, "
                        f"decode(repeat(md5(i::text), {VECTOR_BYTES // 16}), 'hex')",
                    )
                )  # fmt: skip

    def part(self) -> float:
        """Copy everything into partitions; seconds."""
        step = self._segments // PARTS + 1
        parts = "\n".join(
            f"CREATE TABLE parted.{table}_p{number} PARTITION OF parted.{parent} "
            f"FOR VALUES FROM ({number * step}) TO ({(number + 1) * step});"
            for number in range(PARTS)
            for table, parent in (("segment", "segment"), ("embedding", "embedding_1"))
        )
        seconds = timed(lambda: self._run(_PARTED.format(parts=parts)))
        self._run("ANALYZE")
        return seconds

    def asked(self, schema: str, rounds: int) -> dict[str, float]:
        """Median milliseconds of each question."""
        self._run(f"SET search_path TO {schema}, public")
        rng = np.random.default_rng(1)

        def ids(count: int, most: int) -> list[int]:
            return [int(number) for number in rng.integers(1, most, count)]

        questions: dict[str, Callable[[], Any]] = {
            "positions of 200 candidates": lambda: self._run(
                "SELECT segment.id, segment.asset_id, start_seconds, end_seconds, text FROM segment "
                "JOIN asset ON asset.id = segment.asset_id WHERE asset.status <> 'missing' AND segment.id = ANY(%s)",
                ids(CANDIDATES, self._segments),
            ),
            "10,000 vectors that follow a number": lambda: self._run(
                "SELECT segment_id, sequence, vector FROM embedding WHERE space_id = 1 AND signal = 'frame' "
                "AND sequence > %s ORDER BY sequence LIMIT %s",
                ids(1, self._segments)[0],
                FOLLOWED,
            ),
            "segments of 2,000 assets": lambda: self._run(
                "SELECT id FROM segment WHERE asset_id = ANY(%s) AND signal = 'frame'",
                ids(FILTERED_ASSETS, self._segments // EACH),
            ),
            "vectors of 200 segments": lambda: self._run(
                "SELECT segment_id, vector FROM embedding WHERE space_id = 1 AND segment_id = ANY(%s)",
                ids(CANDIDATES, self._segments),
            ),
            "removal of an asset": lambda: self._remove(int(rng.integers(1, self._segments // EACH))),
        }
        taken = {name: [1000 * timed(ask) for _ in range(rounds)] for name, ask in questions.items()}
        return {name: median(times) for name, times in taken.items()}

    def _remove(self, asset_id: int) -> None:
        with self._connection.transaction():
            self._run(
                "DELETE FROM embedding WHERE segment_id IN (SELECT id FROM segment WHERE asset_id = %s)", asset_id
            )
            self._run("DELETE FROM segment WHERE asset_id = %s", asset_id)

    def space_removed(self, schema: str) -> float:
        """Milliseconds to remove a space that holds a tenth of the segments."""
        self._run(f"SET search_path TO {schema}, public")
        statement = "DELETE FROM embedding WHERE space_id = 2" if schema == "public" else "DROP TABLE embedding_2"
        return 1000 * timed(lambda: self._run(statement))

    def sizes(self) -> list[dict[str, Any]]:
        """Bytes a segment of tables and indexes."""
        tables = self._run(
            "SELECT relname, pg_relation_size(oid), pg_indexes_size(oid), pg_total_relation_size(oid) FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace "
            "AND relname IN ('asset', 'segment', 'embedding', 'segment_text') ORDER BY relname"
        )
        return [
            {"table": name, "rows": rows / self._segments, "indexes": indexes / self._segments,
             "bytes a segment": total / self._segments}
            for name, rows, indexes, total in tables
        ]  # fmt: skip


def timed(work: Callable[[], Any]) -> float:
    """Seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Fill, ask both, print, drop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgres", default="postgresql://postgres@127.0.0.1:5432/postgres")
    parser.add_argument("--segments", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    name = f"medley_bench_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(options.postgres, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}".encode())
        try:
            url = make_url(options.postgres).set(database=name).render_as_string(hide_password=False)
            catalogue = Catalogue(url, options.segments)
            try:
                results = measured(catalogue, options.segments, options.rounds)
            finally:
                catalogue.close()
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    return results


def measured(catalogue: Catalogue, segments: int, rounds: int) -> dict[str, Any]:
    """All tables."""
    print(f"filled with {segments:,} segments in {catalogue.fill_seconds:.0f} s, inside the server")
    sizes = catalogue.sizes()
    show("Bytes a segment", sizes)
    plain = catalogue.asked("public", rounds)
    print(f"copied into partitions in {catalogue.part():.0f} s", flush=True)
    parted = catalogue.asked("parted", rounds)
    plain["removal of a space of a tenth"] = catalogue.space_removed("public")
    parted["removal of a space of a tenth"] = catalogue.space_removed("parted")
    table = [
        {"question": name, "as it is, ms": plain[name], "in partitions, ms": parted[name],
         "times": parted[name] / plain[name]}
        for name in plain
    ]  # fmt: skip
    show(f"PostgreSQL, {segments:,} segments", table)
    return {"segments": segments, "fill seconds": catalogue.fill_seconds, "sizes": sizes, "questions": table}


if __name__ == "__main__":
    main()
