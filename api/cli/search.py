"""`medley search`: one query, one ranking."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from api.cli.options import filter_options, filters_of, json_option
from api.cli.output import print_json, print_result, printable
from api.cli.status import refuse_empty_library
from api.engines import opened_engine
from api.queries import query_of_files
from api.schemas import SearchBody
from indexer.sources.stores.addresses import is_store
from search.catalog import assets
from search.engine import SearchEngine
from search.errors import MedleyError
from search.results import SearchResult
from search.settings import Settings

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(short_help="Find by text, picture, sound, or something like a known asset.")
@click.argument("text", default="")
@click.option("--image", "images", type=_FILE, multiple=True, help="A picture to search by.")
@click.option("--audio", "sounds", type=_FILE, multiple=True, help="A recording to search by.")
@click.option("--like", metavar="ASSET[@START-END]", multiple=True, help="A known asset, or seconds of it.")
@filter_options
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True, help="How many hits.")
@click.option("--paths", "only_paths", is_flag=True, help="Print only the paths of the hits, one a line.")
@click.option("-0", "--null", is_flag=True, help="Print only the paths, each ended by a zero byte, for `xargs -0`.")
@click.option("--open", "opens", is_flag=True, help="Open the first hit with the program that the system has for it.")
@click.option("--explain", is_flag=True, help="Say why each moment matched: signal by signal.")
@click.option("--all-copies", is_flag=True, help="Show every copy of a picture as a hit of its own.")
@click.option("--as-typed", is_flag=True, help="Look for misspelled words as they stand.")
@json_option
def search(
    text: str,
    images: tuple[Path, ...],
    sounds: tuple[Path, ...],
    like: tuple[str, ...],
    limit: int,
    only_paths: bool,
    null: bool,
    opens: bool,
    explain: bool,
    all_copies: bool,
    as_typed: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Find by TEXT in the query language, by --image, --audio, or --like a known asset.

    Quotation marks ask for words that must be spoken or seen; a minus sign says what is unwanted.
    """
    settings = Settings.load()
    body = SearchBody(
        text=text,
        images=like,
        filters=filters_of(given),
        limit=limit,
        explain=explain,
        fold_copies=not all_copies,
        correct=not as_typed,
    )
    query = query_of_files(body, settings, images, sounds)
    with opened_engine(settings) as engine:
        refuse_empty_library(engine.database)
        result = engine.search(query)
        files = _files_of(engine, result) if only_paths or null or opens else []
    if as_json:
        print_json(result)
    elif only_paths or null:
        for file in files:
            sys.stdout.buffer.write(file + (b"\0" if null else b"\n"))
        sys.stdout.buffer.flush()
    else:
        print_result(result)
    if opens:
        _open(files)


def _files_of(engine: SearchEngine, result: SearchResult) -> list[bytes]:
    """The hits' paths as the file system has them, which need not be Unicode."""
    with engine.database.read() as connection:
        records = assets.get_assets(connection, [int(hit.asset.id) for hit in result.hits])
    return [record.path_bytes for record in records]


def _open(files: list[bytes]) -> None:
    if not files:
        raise MedleyError("nothing was found that could be opened")
    if is_store(files[0]):
        raise MedleyError(f"{printable(os.fsdecode(files[0]))} is in a store; open it in the page of `medley serve`")
    if click.launch(os.fsdecode(files[0])):
        raise MedleyError(f"the system has no program that opens {printable(os.fsdecode(files[0]))}")
