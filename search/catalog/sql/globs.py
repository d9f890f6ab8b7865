"""Names as people mean them, and path globs over them, with one meaning on both databases.

A name is the same whether its accents are signs of their own (macOS's NFD) or parts of their letters (NFC), and
whatever its case, unless somebody asks for that. In a glob only `*` and `?` are special.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from sqlalchemy import ColumnElement, LargeBinary, String, case, cast, func, literal, literal_column

_SPECIAL = re.compile(r"[][\\.*+?^${}()|]")


def folded(text: str | None, exact: int = 0) -> str | None:
    """SQLite's `medley_folded`, and what both databases compare with: NFC and, unless `exact`, in lower case."""
    if text is None:
        return None
    if text.isascii():
        return text if exact else text.lower()
    text = unicodedata.normalize("NFC", text)
    # Whether a sigma is the last letter of its word is another matter in a glob than in a name.
    return text if exact else unicodedata.normalize("NFC", text.lower()).replace("ς", "σ")


def folded_column(column: ColumnElement[Any], dialect: str, *, exact: bool = False) -> ColumnElement[str]:
    """The same of a column, in SQL."""
    if dialect == "sqlite":
        # Its own lower() knows ASCII only and is five times as fast as a call of ours.
        is_ascii = func.length(column) == func.length(cast(column, LargeBinary))
        plain = column if exact else func.lower(column, type_=String)
        return case((is_ascii, plain), else_=func.medley_folded(column, int(exact), type_=String))
    form: ColumnElement[str] = literal_column("NFC")
    composed = func.normalize(column, form, type_=String)
    if exact:
        return composed
    # By name: the database's own collation may be C, which knows no letters but ASCII's.
    lower = func.lower(composed.collate("und-x-icu"), type_=String)
    return func.replace(func.normalize(lower, form), "ς", "σ", type_=String)


def matches_glob(path: ColumnElement[str], glob: str, dialect: str, *, exact: bool = False) -> ColumnElement[bool]:
    """Whether the whole path matches, or its end after some `/`."""
    name = folded_column(path, dialect, exact=exact)
    wanted = folded(glob, exact) or ""
    if dialect == "sqlite":
        # GLOB gives up early on failing stars, so a hostile glob stays cheap.
        return (literal("/", String) + name).bool_op("GLOB")(literal("*/" + wanted.replace("[", "[[]"), String))
    return name.bool_op("~")(literal(f"^(?:.*/)?{to_regex(wanted)}$", String))


def to_regex(glob: str) -> str:
    """PostgreSQL's regular expression for a glob, without anchors."""
    parts: list[str] = []
    for character in glob:
        if character == "*":
            if parts[-1:] != [".*"]:
                parts.append(".*")
        elif character == "?":
            parts.append(".")
        else:
            parts.append(_SPECIAL.sub(r"\\\g<0>", character))
    return "".join(parts)
