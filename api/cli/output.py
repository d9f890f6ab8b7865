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

from search.results import Answer, Citation, Hit, Moment, SearchResult, Why

CLOSEST = 3  # hits shown where there is no answer


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


def where(moment: Moment | Citation) -> str:
    """The times, page or lines of a moment for a person; empty for a whole image."""
    if moment.page is not None:
        return f"page {moment.page}"
    if moment.lines is not None:
        first, last = moment.lines
        return f"line {first}" if first == last else f"lines {first}-{last}"
    start, end = moment.start_seconds, moment.end_seconds
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
    for text in result.query.get("unknown", []):
        click.echo(f"The space knows nothing of {printable(text)!r}: it is looked for literally.")
    for time in result.query.get("times", []):
        click.echo(f"Understood {printable(time['words'].strip())!r} as {time['filter']}")
    if not result.hits:
        click.echo("Nothing found.")
        return
    if not result.query.get("parts", True):
        _print_newest(result)
        return
    if aspects := result.query.get("aspects"):
        parts = ", ".join(f"{aspect['sense']} {printable(aspect['text'])!r}" for aspect in aspects)
        click.echo(f"Looked for together: {parts}")
    if unwanted := result.query.get("unwanted"):
        click.echo(f"Pictures and sounds of {' and '.join(repr(printable(text)) for text in unwanted)} rank lower.")
    for suggestion in result.query.get("suggestions", ()):
        told = "the library spells it so" if suggestion["reason"] == "sound" else "nothing knows that word"
        click.echo(f"Looked for {suggestion['suggestion']!r} where you wrote {printable(suggestion['word'])!r}: {told}")
    if not result.matched:
        click.echo("Nothing in your library matches well; these come closest:")
    elif not result.confident:
        click.echo("These may match:")
    ended = not result.matched
    for number, hit in enumerate(result.hits, start=1):
        if hit.less_likely and not ended:
            click.echo("Less likely:")
            ended = True
        for line in _hit_lines(number, hit):
            click.echo(line)
    hits = "1 hit" if len(result.hits) == 1 else f"{len(result.hits)} hits"
    if result.matched:
        hits += f" shown, {result.matching} match"
    click.echo(f"{hits} in {result.took_seconds * 1000:.0f} ms, space {result.space}")


def _print_newest(result: SearchResult) -> None:
    """What passes the filters, without a ranking: its date says more than a probability."""
    for hit in result.hits:
        click.echo(f"{(hit.asset.dated_at or '')[:10]:10}  {printable(hit.asset.path)}")
    more = " and more (--limit)" if result.next_cursor else ""
    click.echo(f"{len(result.hits)}{more}, newest first")


def _hit_lines(number: int, hit: Hit) -> Iterable[str]:
    copies = f"  and {len(hit.copies)} {'copy' if len(hit.copies) == 1 else 'copies'}" if hit.copies else ""
    yield f"{number:3}. {hit.relevance:4.0%}  {printable(hit.asset.path)}{copies}"
    for moment in hit.moments[:3]:
        if described := _moment_line(moment):
            yield f"           {described}"
        if moment.why:  # asked for with --explain
            yield f"             because: {', '.join(map(_reason, moment.why))}"


def _reason(why: Why) -> str:
    return f"{why.signal} {why.relevance:.0%} (score {why.score:.3f}, number {why.rank} of its list)"


def _moment_line(moment: Moment) -> str:
    words = printable(moment.text or "")
    if len(words) > 90:
        words = words[:89] + "…"
    stretch = where(moment)
    if not stretch and not words:
        return ""
    return "  ".join(part for part in (stretch, moment.signal.value, f"“{words}”" if words else "") if part)


def print_answer(answer: Answer) -> None:
    """An answer and its citations for a person."""
    if not answer.found:
        if answer.closest:
            click.echo("Your library holds no sure answer. These lines come closest:")
            _print_citations(answer.closest)
        else:
            click.echo("Your library does not hold the answer.")
        if answer.hits:
            click.echo("These files come closest:")
        for number, hit in enumerate(answer.hits[:CLOSEST], start=1):
            for line in _hit_lines(number, hit):
                click.echo(line)
        return
    click.echo(answer.answer)
    _print_citations(answer.citations)


def _print_citations(citations: Sequence[Citation]) -> None:
    for citation in citations:
        location = f"{printable(citation.path)} {where(citation)}".rstrip()
        click.echo(f"  [{citation.number}] {location}: “{printable(citation.quote)}”")
