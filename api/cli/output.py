"""How commands talk to a terminal, a pipe, or a program that reads JSON.

Knows rich and the result values; knows no engine. File names may hold anything: control characters
are shown escaped, so that a name can't repaint the terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
import msgspec

from search.results import Answer, Hit, Moment, SearchResult


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def printable(text: str) -> str:
    """The text on one line with control characters escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def on_terminal() -> bool:
    """Is a person watching standard output?"""
    return sys.stdout.isatty()


def clock(seconds: float) -> str:
    """`75.2` -> `1:15`, `3700` -> `1:01:40`."""
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def stretch(start: float | None, end: float | None) -> str:
    """The times of a moment for a person; empty for a whole image."""
    if start is None:
        return ""
    return clock(start) if end is None or end <= start else f"{clock(start)}-{clock(end)}"


def print_table(rows: Sequence[Sequence[str]], heads: Sequence[str]) -> None:
    """Columns aligned with spaces; the last one is as long as it needs."""
    lines = [list(heads), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads) - 1)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        click.echo("  ".join([*cells, line[-1]]).rstrip())


def print_result(result: SearchResult) -> None:
    """The ranking for a person."""
    if not result.hits:
        click.echo("Nothing found.")
        return
    if aspects := result.query.get("aspects"):
        parts = ", ".join(f"{aspect['sense']} {printable(aspect['text'])!r}" for aspect in aspects)
        click.echo(f"Looked for together: {parts}")
    if not result.matched:
        click.echo("Nothing in your library matches well; these come closest:")
    elif not result.confident:
        click.echo("These may match:")
    for number, hit in enumerate(result.hits, start=1):
        for line in _hit_lines(number, hit):
            click.echo(line)
    hits = "1 hit" if len(result.hits) == 1 else f"{len(result.hits)} hits"
    click.echo(f"{hits} in {result.took_seconds * 1000:.0f} ms, space {result.space}")


def _hit_lines(number: int, hit: Hit) -> Iterable[str]:
    yield f"{number:3}. {hit.relevance:4.0%}  {printable(hit.asset.path)}"
    for moment in hit.moments[:3]:
        if described := _moment_line(moment):
            yield f"           {described}"


def _moment_line(moment: Moment) -> str:
    words = printable(moment.text or "")
    if len(words) > 90:
        words = words[:89] + "…"
    where = stretch(moment.start_seconds, moment.end_seconds)
    if not where and not words:
        return ""
    return "  ".join(part for part in (where, moment.signal.value, f"“{words}”" if words else "") if part)


def print_answer(answer: Answer) -> None:
    """An answer and its citations for a person."""
    if not answer.found:
        click.echo(answer.answer or "Your library does not hold the answer.")
        return
    click.echo(answer.answer)
    for citation in answer.citations:
        where = stretch(citation.start_seconds, citation.end_seconds)
        place = f"{printable(citation.path)} {where}".rstrip()
        click.echo(f"  [{citation.number}] {place}: “{printable(citation.quote)}”")
