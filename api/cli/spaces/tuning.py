"""`medley spaces tune` and `untune`: a space learns from judgements, and forgets again."""

from __future__ import annotations

from pathlib import Path

import click

from api.cli.options import json_option
from api.cli.output import print_json, printable
from api.cli.spaces.evaluate import (
    counting,
    differing,
    estimated,
    judged_queries,
    judgements_option,
)
from api.cli.status import opened_database
from api.engines import opened_engine
from search.catalog.feedback.tunings import forget_tuning
from search.catalog.spaces import get_space
from search.evaluation.tuning import TuningOutcome, keep, learn
from search.settings import Settings


@click.command()
@click.argument("name")
@judgements_option
@click.option("--rerank", is_flag=True, help="Measure, too, whether the second look that the settings name wins.")
@json_option
def tune(name: str, file: Path | None, rerank: bool, as_json: bool) -> None:
    """Let NAME learn from judgements how its people ask. Used only where it wins queries that were held out."""
    with opened_database() as database:
        judged, _ = judged_queries(database, file)
    with opened_engine(Settings.load(), name) as engine:
        outcome, tuning = learn(engine, judged, rerank=rerank, listener=lambda what, done, of: counting(what)(done, of))
        with engine.database.write() as connection:
            keep(connection, get_space(connection, name).id, outcome, tuning)
    if as_json:
        print_json(outcome)
    else:
        _print(outcome)


@click.command()
@click.argument("name")
def untune(name: str) -> None:
    """Take back at once what NAME has learnt from judgements."""
    with opened_database() as database, database.write() as connection:
        was_tuned = forget_tuning(connection, get_space(connection, name).id)
    click.echo(
        f"Space {printable(name)} is as it was made." if was_tuned else f"Space {printable(name)} was not tuned."
    )


def _print(outcome: TuningOutcome) -> None:
    click.echo(f"before: nDCG {estimated(outcome.before.ndcg)}, recall {estimated(outcome.before.recall)}")
    if outcome.after and outcome.gain:
        click.echo(f"after:  nDCG {estimated(outcome.after.ndcg)}, recall {estimated(outcome.after.recall)}, held out")
        click.echo(f"gain:   nDCG {differing(outcome.gain.ndcg)}")
    click.echo(f"{'Used' if outcome.used else 'Not used'}: {outcome.why}.")
    if outcome.rerank_gain:
        click.echo(f"second look: nDCG {differing(outcome.rerank_gain.ndcg)}")
        click.echo("It is taken from now on." if outcome.reranker else "It is not taken, unless it is asked for.")
    if outcome.used or outcome.reranker:
        click.echo(f"Taken back by: medley spaces untune {printable(outcome.space)}")
