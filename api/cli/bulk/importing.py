"""`medley import`: shards that a bulk job wrote, into the catalogue, each file once."""

from __future__ import annotations

import sys
import time

import click

from api.cli import INTERRUPTED
from api.cli.output import printable
from api.cli.progress import LINE_SECONDS
from api.cli.status import opened_database
from api.cli.stopping import stop_on_signals
from indexer.bulk.importing import Imported, ShardImporter
from indexer.bulk.shard_places import shard_place
from search.active_space import active_space
from search.settings import Settings


@click.command("import", short_help="Take in the shards that a bulk job wrote.")
@click.argument("folder")
@click.option("--profile", metavar="NAME", default="", help="How a store is reached, as for `medley index`.")
@click.option(
    "--root", metavar="PATH", help="Where the media are mounted here.  [default: where they were for the job]"
)
def import_shards(folder: str, profile: str, root: str | None) -> None:
    """Take in the shards of `medley index --out FOLDER`, which may be in a store.

    Each file is taken in once, however often this is run: what is searchable already as it is in a shard, what has
    changed since, and what was removed from the library is passed by.
    """
    settings = Settings.load()
    told = time.monotonic()

    def tell(imported: Imported) -> None:
        nonlocal told
        if time.monotonic() - told >= LINE_SECONDS:
            told = time.monotonic()
            rate = imported.segments / imported.seconds
            line = (
                f"{imported.shards} of {imported.of_shards} shards, {imported.segments} segments, {rate:,.0f} a second"
            )
            print(line, file=sys.stderr)

    with (
        opened_database() as database,
        stop_on_signals() as stop,
        shard_place(settings, folder, profile) as place,
    ):
        active_space(database, settings)  # a new catalogue has none yet
        done = ShardImporter(database, settings, root).run(place, stop, tell)
    click.echo(
        f"{printable(place.address)}: {done.shards} of {done.of_shards} shards, {done.indexed} files, {done.segments} "
        f"segments taken in, {done.quarantined} quarantined"
    )
    passed = [
        f"{number} {what}"
        for number, what in (
            (done.known, "known already"),
            (done.changed, "changed since"),
            (done.removed, "removed from the library"),
        )
        if number
    ]
    if passed:
        click.echo(f"passed by: {', '.join(passed)}")
    if stop.is_set():
        click.echo("Stopped; the next run continues with the rest.")
        raise click.exceptions.Exit(INTERRUPTED)
