"""`medley search`: one query, one ranking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from api.cli.options import filter_options, filters_of, json_option
from api.cli.output import print_json, print_result
from api.queries import query_of_files
from api.schemas import SearchBody
from search.engine import SearchEngine
from search.settings import Settings

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(short_help="Find by text, picture, sound, or something like a known asset.")
@click.argument("text", default="")
@click.option("--image", "images", type=_FILE, multiple=True, help="A picture to search by.")
@click.option("--audio", "sounds", type=_FILE, multiple=True, help="A recording to search by.")
@click.option("--like", metavar="ASSET[@START-END]", multiple=True, help="A known asset, or seconds of it.")
@filter_options
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True, help="How many hits.")
@click.option("--explain", is_flag=True, help="Say in the JSON why each moment matched.")
@json_option
def search(
    text: str,
    images: tuple[Path, ...],
    sounds: tuple[Path, ...],
    like: tuple[str, ...],
    limit: int,
    explain: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Find by TEXT in the query language, by --image, --audio, or --like a known asset.

    Quotation marks ask for words that must be spoken or seen; a minus sign says what is unwanted.
    """
    settings = Settings.load()
    body = SearchBody(text=text, images=like, filters=filters_of(given), limit=limit, explain=explain)
    query = query_of_files(body, settings, images, sounds)
    engine = SearchEngine.open(settings)
    try:
        result = engine.search(query)
    finally:
        engine.close()
    if as_json:
        print_json(result)
    else:
        print_result(result)
