"""`medley ask`: a question, an answer, and where it stands."""

from __future__ import annotations

from typing import Any

import click

from api.cli.options import filter_options, filters_of, json_option
from api.cli.output import print_answer, print_json
from search.engine import SearchEngine
from search.settings import Settings


@click.command(short_help="Answer a question from the library, with citations.")
@click.argument("question")
@filter_options
@click.option("--limit", type=click.IntRange(1, 100), default=8, show_default=True, help="How many hits to read.")
@json_option
def ask(question: str, limit: int, as_json: bool, **given: Any) -> None:
    """Answer QUESTION from the library, with citations, or say that the library does not hold the answer."""
    engine = SearchEngine.open(Settings.load())
    try:
        answer = engine.ask(question, filters_of(given), limit)
    finally:
        engine.close()
    if as_json:
        print_json(answer)
    else:
        print_answer(answer)
