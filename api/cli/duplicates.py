"""`medley duplicates`: copies of the same file, altered copies, and pictures of the same thing."""

from __future__ import annotations

import click

from api.cli.options import json_option
from api.cli.output import print_json, printable
from api.schemas import Page
from search.duplicates.matching import Tier
from search.engine import SearchEngine
from search.library_duplicates import DuplicateGroup, find_duplicates, with_assets
from search.settings import Settings


@click.command(short_help="Copies, altered copies, and pictures of the same thing.")
@click.option(
    "--tier",
    "tiers",
    type=click.Choice([str(tier) for tier in Tier]),
    multiple=True,
    help="Only these tiers: the same bytes, the same picture altered, the same meaning.",
)
@json_option
def duplicates(tiers: tuple[str, ...], as_json: bool) -> None:
    """Show groups of duplicates, best tier first."""
    engine = SearchEngine.open(Settings.load())
    try:
        groups = with_assets(engine, find_duplicates(engine, [Tier(tier) for tier in tiers] or tuple(Tier)))
    finally:
        engine.close()
    if as_json:
        print_json(Page(items=groups, next_cursor=None))
        return
    for group in groups:
        click.echo(_said(group))
    if not groups:
        click.echo("no duplicates")


def _said(group: DuplicateGroup) -> str:
    heading = f"{group.tier}, likeness {group.likeness:.2f}:"
    return "\n".join([heading, *(f"  {printable(asset.path)}  (asset {asset.id})" for asset in group.assets)])
