"""`medley spaces`: list, create, fill, compare, use, drop."""

from __future__ import annotations

import sys

import click
import msgspec

from api.cli.account import opened_database
from api.cli.options import json_option
from api.cli.output import print_json, print_table, printable
from api.cli.stopping import stop_on_signals
from api.schemas import SpaceView
from api.views import space_view
from indexer.filler import Filler, FillProgress
from search import space_changes
from search.catalog import spaces as catalog_spaces
from search.catalog.database import Database
from search.catalog.memory import recent_queries
from search.catalog.records import SpaceRecord
from search.engine import SearchEngine
from search.errors import MedleyError, UsageError
from search.query import parse_query
from search.serving import opener
from search.settings import Settings
from search.spaces.specification import ClipSpecification, Specification, StarterSpecification


@click.group(short_help="Embedding spaces: create, fill, compare, switch.")
def spaces() -> None:
    """Try another model without taking search down: create a space, fill it, compare it, use it."""


@spaces.command("list")
@json_option
def list_spaces(as_json: bool) -> None:
    """Show all spaces, with what each holds and lacks."""
    settings = Settings.load()
    with opened_database() as database:
        with database.read() as connection:
            records = catalog_spaces.list_spaces(connection)
        views = [_view(settings, database, record) for record in records]
    if as_json:
        print_json({"items": views, "next_cursor": None})
    elif not views:
        click.echo("There is no space yet: the first `medley index` makes the starter.")
    else:
        print_table([_row(view) for view in views], ("name", "state", "fingerprint", "vectors", "missing"))


@spaces.command()
@click.argument("name")
@click.option("--model", help="open_clip architecture, hf-hub:ORG/NAME or local-dir:PATH; without it, the starter.")
@click.option("--pretrained", default="", help="Tag of the weights, or the path of a checkpoint.")
def create(name: str, model: str | None, pretrained: str) -> None:
    """Register a new, empty space NAME. Its weights are loaded once."""
    wanted: Specification = ClipSpecification(model=model, pretrained=pretrained) if model else StarterSpecification()
    settings = Settings.load()
    with opened_database() as database:
        record = space_changes.create(database, settings, name, wanted)
    click.echo(f"Space {printable(record.name)} is there, empty. Next: medley spaces fill {printable(record.name)}")


@spaces.command()
@click.argument("name")
def fill(name: str) -> None:
    """Embed what NAME lacks, while the active space goes on serving. May be stopped and started again."""
    settings = Settings.load()
    with opened_database() as database, stop_on_signals() as stop:
        record = _found(database, name)
        outcome = Filler(settings, database, record, opener(settings)(record)).run(stop, _say_progress)
    if sys.stderr.isatty():
        click.echo(err=True)
    left = outcome.total - outcome.done
    if stop.is_set():
        click.echo(f"Stopped; {left} segments are still missing, the next run goes on with them.")
    elif outcome.failed:
        raise MedleyError(f"{outcome.failed} segments could not be filled; the last because: {outcome.problem}")
    else:
        click.echo(f"{outcome.done} segments filled. Next: medley spaces compare {name}, medley spaces use {name}")


@spaces.command()
@click.argument("name")
@click.argument("queries", nargs=-1)
@click.option("--limit", type=click.IntRange(1, 100), default=5, show_default=True)
@json_option
def compare(name: str, queries: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Answer QUERIES (by default the recent ones) by the active space and by NAME, side by side."""
    settings = Settings.load()
    engine = SearchEngine.open(settings)
    try:
        beside = space_changes.open_beside(settings, name, Database.open(settings))
        try:
            asked = [
                msgspec.structs.replace(parse_query(text), limit=limit) for text in queries or _recent(engine.database)
            ]
            found = space_changes.compare(engine, beside, asked)
        finally:
            beside.close()
    finally:
        engine.close()
    if as_json:
        print_json({"items": found, "next_cursor": None})
        return
    for one in found:
        click.echo(f"{printable(one.query)}: {one.overlap:.0%} in common")
        for left, right in zip(one.left.hits, one.right.hits, strict=False):
            click.echo(f"  {printable(left.asset.path):60} {printable(right.asset.path)}")


@spaces.command()
@click.argument("name")
@click.option("--incomplete", is_flag=True, help="Even while something is missing from it.")
def use(name: str, incomplete: bool) -> None:
    """Switch every process to NAME at once; switching back is the same command."""
    settings = Settings.load()
    with opened_database() as database:
        record = _found(database, name)
        space_changes.use(database, name, opener(settings)(record), incomplete=incomplete)
    click.echo(f"Space {printable(name)} serves now.")


@spaces.command()
@click.argument("name")
def drop(name: str) -> None:
    """Remove NAME with its vectors."""
    settings = Settings.load()
    with opened_database() as database:
        space_changes.drop(database, settings, name)
    click.echo(f"Space {printable(name)} is gone.")


def _found(database: Database, name: str) -> SpaceRecord:
    with database.read() as connection:
        return catalog_spaces.get_space(connection, name)


def _recent(database: Database) -> list[str]:
    with database.read() as connection:
        texts = [msgspec.json.decode(record.query).get("text", "") for record in recent_queries(connection, 20)]
    wanted = list(dict.fromkeys(text for text in texts if text))
    if not wanted:
        raise UsageError("there are no recent queries: name some, as in `medley spaces compare NAME 'a dog' beach`")
    return wanted


def _view(settings: Settings, database: Database, record: SpaceRecord) -> SpaceView:
    try:
        coverage = space_changes.coverage(database, record, opener(settings)(record))
    except MedleyError:
        coverage = []
    return space_view(record, coverage)


def _row(view: SpaceView) -> tuple[str, ...]:
    held = sum(part.embedded for part in view.coverage)
    missing = sum(part.missing for part in view.coverage)
    return printable(view.name), view.state, view.fingerprint[:12], str(held), str(missing)


def _say_progress(progress: FillProgress) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{progress.done} of {progress.total} segments", nl=False, err=True)
