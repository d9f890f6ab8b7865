"""`medley ask`: a question, an answer, and its sources."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from api.cli.options import filter_options, filters_of, json_option
from api.cli.output import print_answer, print_json
from api.cli.status import refuse_empty_library
from api.engines import opened_engine
from search.errors import UsageError
from search.language import backends
from search.language.question_planning import plan_question
from search.results import Filters
from search.settings import Settings
from search.signals import Sense


@click.command(short_help="Answer a question from the library, with citations.")
@click.argument("question")
@click.option(
    "--about",
    metavar="ASSET[@START-END]",
    multiple=True,
    help="Only this asset, or seconds of it; nothing is searched for.",
)
@filter_options
@click.option("--limit", type=click.IntRange(1, 100), default=8, show_default=True, help="How many hits to read.")
@json_option
def ask(question: str, about: tuple[str, ...], limit: int, as_json: bool, **given: Any) -> None:
    """Answer QUESTION from the library, with citations, or say that the library does not hold the answer."""
    filters = filters_of(given)
    if about and filters != Filters():
        raise UsageError("with --about nothing is searched for: leave out the filters, or --about")
    settings = Settings.load()
    with opened_engine(settings) as engine:
        refuse_empty_library(engine.database)
        plan = msgspec.structs.replace(plan_question(question), given=bool(about))
        if settings.vision and plan.look(tuple(Sense)):
            backends.prepare(settings)  # says so where it takes time, and is done while indexing, as a rule
        answer = engine.ask(question, filters, limit, assets=about or None)
    if as_json:
        print_json(answer)
    else:
        print_answer(answer)
