"""`medley eval` and `medley judgements`: how well spaces find what people said is right."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from api.cli.options import json_option
from api.cli.output import print_json, print_table, printable
from api.cli.status import opened_database
from api.engines import opened_engine
from search.catalog.database import Database
from search.catalog.feedback import judgements as stored_judgements
from search.catalog.feedback.tunings import forget_tuning
from search.catalog.spaces import list_spaces
from search.errors import UsageError
from search.evaluation.evaluate import DEPTH, FEWEST_WRONG, Measured, measure
from search.evaluation.judgements import JudgedQuery, Row, grouped, read_csv, resolve, stored
from search.evaluation.metrics import Difference, Estimate
from search.evaluation.report import EvaluationReport, report, ways_of
from search.settings import Settings

MOST_NAMED = 5  # unknown paths that are printed
judgements_option = click.option(
    "--judgements",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A CSV file with the columns query, path and, if wanted, relevance (0 to 3); else what the library holds.",
)


@click.command("eval", short_help="Measure spaces on your own judgements.")
@click.argument("spaces", nargs=-1)
@judgements_option
@click.option("--at", "depth", type=click.IntRange(1, 100), default=DEPTH, show_default=True, help="Hits that count.")
@click.option("--rerank", is_flag=True, help="Measure each with a second look, too.")
@json_option
def evaluate(spaces: tuple[str, ...], file: Path | None, depth: int, rerank: bool, as_json: bool) -> None:
    """Recall, nDCG and calibration of SPACES (the active one without any), and each against the first.

    Judgements are the thumbs of the page, or a file. Every judged query that has a right answer is asked.
    """
    settings = Settings.load()
    with opened_database() as database:
        judged, unknown = judged_queries(database, file)
    measured: list[Measured] = []
    for name in spaces or ("",):
        with opened_engine(settings, name) as engine:
            ways = ways_of(engine, rerank=rerank)
            measured += [measure(label, way, judged, depth, counting(label)) for label, way in ways]
    made = report(measured, [row.path for row in unknown])
    if as_json:
        print_json(made)
    else:
        _print(made)


@click.group(short_help="What people said of results.")
def judgements() -> None:
    """Judgements stay in this library's catalogue. `medley eval` measures by them, `medley spaces tune` learns."""


@judgements.command("list")
@json_option
def list_them(as_json: bool) -> None:
    """Show all, oldest first."""
    with opened_database() as database, database.read() as connection:
        listed = stored_judgements.list_judgements(connection)
    if as_json:
        print_json({"items": listed, "next_cursor": None})
    elif not listed:
        click.echo("There is no judgement yet: the thumbs beside the page's hits make them.")
    else:
        rows = [
            (str(judgement.relevant), printable(judgement.query), printable(judgement.path)) for judgement in listed
        ]
        print_table(rows, ("relevance", "query", "path"))


@judgements.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_them(file: Path) -> None:
    """Store the judgements of a CSV FILE with the columns query, path and, if wanted, relevance (0 to 3)."""
    rows = read_csv(file)
    with opened_database() as database, database.write() as connection:
        resolved, unknown = resolve(connection, rows)
        for query, asset_id, relevant in resolved:
            stored_judgements.judge(connection, query, asset_id, relevant)
    click.echo(f"{len(resolved)} judgements stored.")
    _say_unknown([row.path for row in unknown])


@judgements.command("clear")
def clear() -> None:
    """Take all judgements back, and what spaces have learnt from them."""
    with opened_database() as database, database.write() as connection:
        count = stored_judgements.forget_judgements(connection)
        tuned = [record.name for record in list_spaces(connection) if forget_tuning(connection, record.id)]
    click.echo(f"{count} judgements are gone.")
    if tuned:
        click.echo(f"What was learnt from them is gone, too: {printable(', '.join(tuned))}.")


def judged_queries(database: Database, file: Path | None) -> tuple[list[JudgedQuery], list[Row]]:
    """The judgements of a file or of the library, and the rows whose path is of no asset. Raises UsageError."""
    with database.read() as connection:
        if file is None:
            return stored(connection), []
        resolved, unknown = resolve(connection, read_csv(file))
    if not resolved and unknown:
        raise UsageError(f"{file}: none of its {len(unknown)} paths is of an asset of this library")
    return grouped(resolved), unknown


def counting(what: str) -> Callable[[int, int], None]:
    """Says on a terminal how far it is."""

    def say(done: int, of: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{what}: {done} of {of}{chr(10) if done == of else ''}", nl=False, err=True)

    return say


def _print(made: EvaluationReport) -> None:
    first = made.evaluations[0]
    rows = [
        (
            printable(row.name),
            estimated(row.recall),
            estimated(row.ndcg),
            estimated(row.calibration_error) if row.calibration_error else "too few judged wrong",
            f"{row.right}, {row.wrong}",
        )
        for row in made.evaluations
    ]
    columns = f"recall@{first.depth}", f"nDCG@{first.depth}", "calibration error", "hits judged right, wrong"
    print_table(rows, ("space", *columns))
    click.echo(f"{first.queries} queries; intervals of 95 %; calibration by the judged hits alone")
    if any(row.calibration_error is None for row in made.evaluations):
        click.echo(
            f"Calibration can be measured from {FEWEST_WRONG} hits that were judged wrong on: "
            "judge the wrong ones among the first hits, too"
        )
    for row in made.contrasts:
        click.echo(
            f"{printable(row.second)} against {printable(row.first)}: "
            f"recall {differing(row.recall)}; nDCG {differing(row.ndcg)}"
        )
    _say_unknown(made.unknown_paths)


def estimated(value: Estimate) -> str:
    """`0.612 (0.570 to 0.653)`."""
    return f"{value.mean:.3f} ({value.low:.3f} to {value.high:.3f})"


def differing(value: Difference) -> str:
    """`+0.031 (+0.008 to +0.055, p = 0.009)`."""
    noise = ", not to be told from chance" if value.is_noise else ""
    return f"{value.mean:+.3f} ({value.low:+.3f} to {value.high:+.3f}, p = {value.p:.3f}{noise})"


def _say_unknown(paths: Sequence[str]) -> None:
    if paths:
        named = ", ".join(printable(path) for path in paths[:MOST_NAMED])
        more = " and others" if len(paths) > MOST_NAMED else ""
        click.echo(f"{len(paths)} rows name no asset of this library, or several: {named}{more}", err=True)
