"""`medley keys`: create, list and revoke API keys."""

from __future__ import annotations

import click

from api.cli.options import json_option
from api.cli.output import print_json, print_table, printable
from api.cli.status import opened_database
from api.keys import SCOPES, new_key
from api.schemas import KeyView
from api.serializers import key_view
from search.catalog import keys as catalog_keys


@click.group(short_help="API keys and their scopes.")
def keys() -> None:
    """Create, list and revoke API keys.

    As soon as one exists, every request needs one; until then only this machine may connect.
    """


@keys.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(list(SCOPES)), default=("read",), show_default=True,
    help="What it may do: admin includes write, write includes read.",
)  # fmt: skip
@json_option
def create(name: str, scopes: tuple[str, ...], as_json: bool) -> None:
    """Make a key and show it, once: only its hash is kept."""
    key, digest = new_key()
    with opened_database() as database, database.write() as connection:
        record = catalog_keys.create_key(connection, name, digest, " ".join(dict.fromkeys(scopes)))
    if as_json:
        print_json({"id": str(record.id), "name": record.name, "scopes": record.scopes.split(), "key": key})
        return
    click.echo(key)
    click.echo("Keep it: it is not shown again. Send it as 'Authorization: Bearer KEY'.", err=True)


@keys.command("list")
@json_option
def list_keys(as_json: bool) -> None:
    """Show all keys, revoked ones too; the keys themselves are not stored."""
    with opened_database() as database, database.read() as connection:
        views = [key_view(record) for record in catalog_keys.list_keys(connection)]
    if as_json:
        print_json({"items": views, "next_cursor": None})
    elif not views:
        click.echo("There is no key: only this machine may connect.")
    else:
        print_table([_row(view) for view in views], ("id", "name", "scopes", "created", "used", "revoked"))


@keys.command()
@click.argument("key_id", metavar="ID", type=int)
def revoke(key_id: int) -> None:
    """Make a key useless, everywhere within a second."""
    with opened_database() as database, database.write() as connection:
        record = catalog_keys.revoke_key(connection, key_id)
        left = catalog_keys.any_keys(connection)
    click.echo(f"Key {record.id} ({printable(record.name)}) opens nothing any more.")
    if not left:
        click.echo("It was the last one: from now on only this machine may connect.")


def _row(view: KeyView) -> tuple[str, ...]:
    used, revoked = view.used_at or "never", view.revoked_at or ""
    return view.id, printable(view.name), " ".join(view.scopes), view.created_at, used, revoked
