"""`medley status` and `medley failures`: what became of every file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from api.account import account, all_failures, all_notes
from api.cli.options import json_option
from api.cli.output import print_json, print_table, printable
from api.schemas import Page, Status
from search.catalog import queue
from search.catalog.database import Database
from search.settings import Settings


@contextmanager
def opened_database() -> Iterator[Database]:
    """The catalogue of the settings, migrated."""
    settings = Settings.load()
    settings.home.mkdir(parents=True, exist_ok=True)
    database = Database.open(settings)
    try:
        database.migrate()
        yield database
    finally:
        database.close()


@click.command(short_help="The account of every file.")
@click.option("--notes", is_flag=True, help="List what was left out of searchable files.")
@json_option
def status(as_json: bool, notes: bool) -> None:
    """Say how many files are searchable, waiting, failed or gone."""
    with opened_database() as database:
        found = account(database)
        noted = all_notes(database) if notes else []
    if as_json:
        print_json(found)
        return
    _print_status(found)
    if noted:
        print_table([(printable(path), printable(note)) for path, note in noted], ("path", "left out"))


def _print_status(found: Status) -> None:
    counts = found.assets
    click.echo(
        f"{counts.total} files: {counts.indexed} searchable, {counts.pending} pending, {counts.working} being indexed, "
        f"{counts.quarantined} quarantined, {counts.missing} missing"
    )
    if found.unread:
        click.echo(f"text still to be read in {found.unread} searchable files")
    if found.noted:
        click.echo(f"something was left out of {found.noted} searchable files (--notes says what)")
    for title, numbers in (("kinds", found.kinds), ("segments", found.segments)):
        if numbers:
            click.echo(f"{title}: " + ", ".join(f"{number} {name}" for name, number in sorted(numbers.items())))
    click.echo(f"space: {found.space or 'none yet'}; catalogue: {found.database}")
    for source in found.sources:
        reason = f" ({source.reason})" if source.reason else ""
        click.echo(f"source {source.id}: {printable(source.root)}, {source.state}{reason}")


@click.command(short_help="Every file that failed, with its reason.")
@click.option("--retry", is_flag=True, help="Put all of them back into the queue.")
@json_option
def failures(as_json: bool, retry: bool) -> None:
    """List every file that could not be made searchable, with its reason."""
    with opened_database() as database:
        found = all_failures(database)
        if retry:
            with database.write() as connection:
                queue.retry_quarantined(connection)
    if as_json:
        print_json(Page(items=found))
    elif not found:
        click.echo("No file failed.")
    else:
        rows = [(failure.asset_id, printable(failure.path), printable(failure.reason)) for failure in found]
        print_table(rows, ("asset", "path", "reason"))
        if retry:
            click.echo(f"{len(found)} files are pending again: a worker or `medley index` takes them.")
