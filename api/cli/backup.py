"""`medley backup` and `medley restore`: the whole state in one file.

The file holds the catalogue, from which partitions and full-text indexes are rebuilt, and what was
uploaded. Other media stay where they are; thumbnails and snapshots are caches.
"""

from __future__ import annotations

from pathlib import Path

import click

from api.backup import pack, unpack
from api.cli.status import opened_database
from search.catalog.database import Database
from search.errors import UsageError
from search.settings import Settings


@click.command(short_help="Write the whole state into one file.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
def backup(file: Path, force: bool) -> None:
    """Write everything that Medley knows into FILE. It may keep running meanwhile."""
    if file.exists() and not force:
        raise UsageError(f"{file} exists already; --force replaces it")
    settings = Settings.load()
    with opened_database() as database:
        outcome = pack(settings, database, file)
    click.echo(f"{file}: {outcome.rows} rows, {outcome.uploads} uploaded files, {file.stat().st_size} bytes")


@click.command(short_help="Read the whole state from a backup.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--with-keys", is_flag=True, help="API keys too: only from a backup that you trust.")
def restore(file: Path, with_keys: bool) -> None:
    """Read everything from FILE into an empty home folder and catalogue, of either database; all of it or nothing."""
    settings = Settings.load()
    settings.make_home()
    database = Database.open(settings)
    try:
        outcome = unpack(settings, database, file, with_keys=with_keys)
    finally:
        database.close()
    click.echo(
        f"{outcome.rows} rows and {outcome.uploads} uploaded files restored; partitions are rebuilt at the next start"
    )
    if not with_keys:
        click.echo("API keys were left out; --with-keys brings them.")
