"""Path globs in both databases, with the meaning of `fnmatch.fnmatchcase` for the path or its end.

SQLite's GLOB means the same as long as a glob has no `[`; with one, Python's own translation decides
(GLOB negates sets with `^` and takes an unclosed `[` amiss). PostgreSQL gets a regular expression.
"""

from __future__ import annotations

import fnmatch
import re
from functools import cache

from sqlalchemy import ColumnElement, String, func, literal, or_
from sqlalchemy.sql.expression import ColumnClause

_SPECIAL = re.compile(r"[][\\.*+?^${}()|]")


def matches_on_sqlite(path: ColumnClause, glob: str) -> ColumnElement[bool]:
    """The whole path matches, or its end behind some `/`."""
    globs = [glob] if glob.startswith("*") else [glob, f"*/{glob}"]
    if "[" in glob:
        return or_(*(func.medley_fnmatch(path, each) == 1 for each in globs))
    # SQLite gives up early on failing stars, so a hostile glob stays cheap.
    return or_(*(path.bool_op("GLOB")(literal(each, String)) for each in globs))


def matches_on_postgresql(path: ColumnClause, glob: str) -> ColumnElement[bool]:
    """As on SQLite."""
    return path.bool_op("~")(literal(f"^(?:.*/)?{to_regex(glob)}$", String))


def fnmatch_path(path: str, glob: str) -> int:
    """SQLite's `medley_fnmatch`: 1 or 0."""
    return 1 if _compiled(glob)(path) else 0


@cache
def _compiled(glob: str):  # type: ignore[no-untyped-def]
    # Its atomic groups keep it linear, whatever the stars.
    return re.compile(fnmatch.translate(glob)).match


def to_regex(glob: str) -> str:
    """PostgreSQL's regular expression for a glob, without anchors."""
    parts: list[str] = []
    at = 0
    while at < len(glob):
        character, at = glob[at], at + 1
        if character == "*":
            if parts[-1:] != [".*"]:
                parts.append(".*")
        elif character == "?":
            parts.append(".")
        elif character == "[" and (end := _set_end(glob, at)) is not None:
            parts.append(_set(glob[at:end]))
            at = end + 1
        else:
            parts.append(_SPECIAL.sub(r"\\\g<0>", character))
    return "".join(parts)


def _set_end(glob: str, start: int) -> int | None:
    """Where the set that begins at `start` has its `]`; one in first place is a member."""
    first = start + 1 if glob[start : start + 1] == "!" else start
    end = glob.find("]", first + 1)
    return end if end >= 0 else None


def _set(inside: str) -> str:
    negated = inside.startswith("!")
    inside = inside[1:] if negated else inside
    ranges: list[str] = []
    at = 0
    while at < len(inside):
        width = 3 if at + 2 < len(inside) and inside[at + 1] == "-" else 1
        low, high = inside[at], inside[at + width - 1]
        if low <= high:  # an upside-down range holds nothing
            ranges.append(f"\\U{ord(low):08x}-\\U{ord(high):08x}")
        at += width
    if not ranges:
        return "." if negated else "(?!)"
    return f"[{'^' if negated else ''}{''.join(ranges)}]"
