"""`medley migrate`: bring the catalogue's tables to this version's form, as a step of its own in a deployment."""

from __future__ import annotations

import click

from api.cli.status import opened_database


@click.command(short_help="Bring the catalogue's tables to this version's form.")
def migrate() -> None:
    """Bring the tables to this version's form. Every other command does it too; safe to run many times."""
    with opened_database() as database:
        click.echo(f"The catalogue ({database.dialect}) is up to date.")
