"""Judgements as they are measured by: queries, each with the assets that are right and wrong.

Read from the catalogue, or from a CSV file with the columns query, path and, if wanted, relevance.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from search.catalog.database import Connection
from search.catalog.feedback.judgements import assets_named, list_judgements
from search.errors import UsageError

MOST_ROWS = 100_000
HIGHEST = 3


class JudgedQuery(Struct, frozen=True):
    """A query, and how relevant assets are for it, by id; missing assets were not judged."""

    text: str
    relevant: Mapping[int, int]  # above 0: right; 0: wrong

    @property
    def can_be_found(self) -> bool:
        """Is anything right?"""
        return any(grade > 0 for grade in self.relevant.values())


class Row(Struct, frozen=True):
    """A line of a CSV file."""

    query: str
    path: str
    relevant: int
    line: int


def stored(connection: Connection) -> list[JudgedQuery]:
    """All of the catalogue."""
    return grouped((record.query, record.asset_id, record.relevant) for record in list_judgements(connection))


def grouped(judged: Iterable[tuple[str, int, int]]) -> list[JudgedQuery]:
    """(query, asset id, relevance) -> queries, in the order in which they first come."""
    by_query: dict[str, dict[int, int]] = {}
    for query, asset_id, relevant in judged:
        by_query.setdefault(query.strip(), {})[asset_id] = relevant
    return [JudgedQuery(query, relevant) for query, relevant in by_query.items()]


def read_csv(path: Path) -> list[Row]:
    """The lines of a file. Raises UsageError, which names the line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file)
            named = {(name or "").strip().lower(): name for name in lines.fieldnames or ()}
            if not {"query", "path"} <= named.keys():
                raise UsageError(f"{path}: its first line must name the columns query and path, and may name relevance")
            rows = [_row(path, lines.line_num, {key: line.get(name) for key, name in named.items()}) for line in lines]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: can't be read as CSV: {error}") from None
    if len(rows) > MOST_ROWS:
        raise UsageError(f"{path}: has {len(rows)} judgements; at most {MOST_ROWS} are taken at once")
    return rows


def resolve(connection: Connection, rows: Sequence[Row]) -> tuple[list[tuple[str, int, int]], list[Row]]:
    """Rows -> (query, asset id, relevance), and those whose path is of no asset, or of several.

    A path is an asset's, or its end from a slash on.
    """
    named = assets_named(connection, {row.path for row in rows})
    resolved = [(row.query, named[row.path][0], row.relevant) for row in rows if len(named[row.path]) == 1]
    return resolved, [row for row in rows if len(named[row.path]) != 1]


def _row(path: Path, number: int, line: Mapping[str, str | None]) -> Row:
    query, asset = ((line.get(key) or "").strip() for key in ("query", "path"))
    said = (line.get("relevance") or "1").strip()
    if not query or not asset:
        raise UsageError(f"{path}: line {number} has no query or no path")
    if not said.isdecimal() or int(said) > HIGHEST:
        raise UsageError(f"{path}: line {number}: relevance is 0 (wrong) to {HIGHEST}, not {said!r}")
    return Row(query, asset, int(said), number)
