"""`medley spaces`: list, create, fill, compare, use, drop; tune and untune are in a file of their own."""

from __future__ import annotations

import sys

import click
import msgspec

from api.cli.options import json_option
from api.cli.output import print_json, print_table, printable
from api.cli.spaces.encoder_options import NamedModels, describe_space
from api.cli.spaces.tuning import tune, untune
from api.cli.status import opened_database
from api.cli.stopping import stop_on_signals
from api.schemas import SpaceView
from api.serializers import space_view
from indexer.space_filler import FillProgress, SpaceFiller
from search import space_lifecycle
from search.active_space import space_opener
from search.catalog import spaces as catalog_spaces
from search.catalog.database import Database
from search.catalog.query_log import recent_queries
from search.catalog.records import SpaceRecord
from search.catalog.states import SpaceState
from search.engine import SearchEngine
from search.errors import MedleyError, UsageError
from search.query.parse import parse_query
from search.settings import Settings


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
        for view in views:
            # Of one that is not in use, this helps nobody: the newer one may be in use already.
            for note in view.notes if view.state == SpaceState.ACTIVE else ():
                click.echo(f"{printable(view.name)}: {note}")


@spaces.command()
@click.argument("name")
@click.option(
    "--model",
    help="One model for all that it takes: ORG/NAME or a folder (sentence-transformers); an open_clip architecture, "
    "hf-hub:ORG/NAME or local-dir:PATH. Without any, the starter.",
)
@click.option("--pretrained", default="", help="Of open_clip: tag of the weights, or the path of a checkpoint.")
@click.option("--images", help="A model for what is seen: as --model, or ARCHITECTURE@TAG of open_clip.")
@click.option("--text", help="A model for what is said or written.")
@click.option("--sounds", help="A model for what is heard.")
@click.option("--dimension", multiple=True, help="Numbers of a vector to keep (Matryoshka): 256, or text=256.")
@click.option("--query-prompt", multiple=True, help="What stands before a query; the model's own by default.")
@click.option("--passage-prompt", multiple=True, help="What stands before a passage; the model's own by default.")
@click.option("--pooling", multiple=True, help="cls, mean, max, lasttoken, ...; the model's own by default.")
@click.option(
    "--dtype", multiple=True, help="float32, bfloat16 or float16; what the device multiplies fast by default."
)
def create(
    name: str,
    model: str | None,
    pretrained: str,
    images: str | None,
    text: str | None,
    sounds: str | None,
    **chosen: tuple[str, ...],
) -> None:
    """Register a new, empty space NAME. Its weights are loaded once.

    Options of an encoder are for all that are named, or for one: --pooling text=cls.
    """
    settings = Settings.load()
    wanted = describe_space(NamedModels(model, pretrained, images, text, sounds), chosen)
    with opened_database() as database:
        record = space_lifecycle.create(database, settings, name, wanted)
    click.echo(f"Space {printable(record.name)} is there, empty. Next: medley spaces fill {printable(record.name)}")


@spaces.command()
@click.argument("name")
def fill(name: str) -> None:
    """Embed what NAME lacks, while the active space keeps serving. Can be stopped and resumed."""
    settings = Settings.load()
    with opened_database() as database, stop_on_signals() as stop:
        record = _found(database, name)
        outcome = SpaceFiller(settings, database, record, space_opener(settings)(record)).run(stop, _say_progress)
    if sys.stderr.isatty():
        click.echo(err=True)
    left = outcome.total - outcome.done
    if stop.is_set():
        click.echo(f"Stopped; {left} segments are still missing, the next run continues with them.")
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
        beside = space_lifecycle.open_beside(settings, name, Database.open(settings))
        try:
            asked = [
                msgspec.structs.replace(parse_query(text), limit=limit)
                for text in queries or _query_log(engine.database)
            ]
            comparisons = space_lifecycle.compare(engine, beside, asked)
        finally:
            beside.close()
    finally:
        engine.close()
    if as_json:
        print_json({"items": comparisons, "next_cursor": None})
        return
    for comparison in comparisons:
        click.echo(f"{printable(comparison.query)}: {comparison.overlap:.0%} in common")
        for left, right in zip(comparison.left.hits, comparison.right.hits, strict=False):
            click.echo(f"  {printable(left.asset.path):60} {printable(right.asset.path)}")


@spaces.command()
@click.argument("name")
@click.option("--incomplete", is_flag=True, help="Even while something is missing from it.")
def use(name: str, incomplete: bool) -> None:
    """Switch every process to NAME at once; switching back is the same command."""
    settings = Settings.load()
    with opened_database() as database:
        record = _found(database, name)
        space_lifecycle.use(database, name, space_opener(settings)(record), incomplete=incomplete)
    click.echo(f"Space {printable(name)} serves now.")


@spaces.command()
@click.argument("name")
def drop(name: str) -> None:
    """Remove NAME with its vectors."""
    settings = Settings.load()
    with opened_database() as database:
        space_lifecycle.drop(database, settings, name)
    click.echo(f"Space {printable(name)} is gone.")


spaces.add_command(tune)
spaces.add_command(untune)


def _found(database: Database, name: str) -> SpaceRecord:
    with database.read() as connection:
        return catalog_spaces.get_space(connection, name)


def _query_log(database: Database) -> list[str]:
    with database.read() as connection:
        texts = [msgspec.json.decode(record.query).get("text", "") for record in recent_queries(connection, 20)]
    wanted = list(dict.fromkeys(text for text in texts if text))
    if not wanted:
        raise UsageError("there are no recent queries: name some, as in `medley spaces compare NAME 'a dog' beach`")
    return wanted


def _view(settings: Settings, database: Database, record: SpaceRecord) -> SpaceView:
    try:
        coverage = space_lifecycle.coverage(database, record, space_opener(settings)(record))
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
