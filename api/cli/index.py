"""`medley index`: add sources, bring them up to date, end when nothing is pending."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec

from api.cli import INTERRUPTED
from api.cli.bulk.jobs import BulkOptions, bulk_options, run_beside, unadded_source, work_on
from api.cli.output import print_table, printable
from api.cli.progress import shown_progress
from api.cli.status import opened_database, shown_left_out
from api.cli.stopping import stop_on_signals
from indexer.indexer import Indexer
from indexer.ingest.captioner import LEAST_FREE_BYTES
from indexer.previews.ahead import thumbnails_ahead
from indexer.sources.ignoring import LINKS_OUT, checked_patterns
from indexer.sources.overlaps import add
from indexer.sources.scan import ScanReport, scan_paths, scan_source
from indexer.sources.stores.addresses import archive_root, is_archive_file, is_store, parsed
from search.catalog import assets, captions, queue, removals, sources
from search.catalog.database import Database
from search.catalog.records import AssetRecord, Counts, SourceRecord
from search.errors import LanguageModelError, MedleyError, UsageError
from search.language import backends
from search.multimodal.vision import fitting_adapter
from search.settings import Settings

_SHOWN_FAILURES = 20


class Place(click.ParamType[str]):
    """A folder or file that is there, by its absolute path, or the address of a store."""

    name = "path"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As it is kept. Fails for what is not there, and for an address that can't be kept."""
        if is_store(value):
            try:
                return parsed(value).root
            except UsageError as error:
                self.fail(str(error), param, ctx)
        # Not resolved: a link's own name is how people know the folder, and moving its target moves the source.
        path = os.path.abspath(os.fsdecode(click.Path(exists=True).convert(value, param, ctx)))  # noqa: PTH100
        return archive_root(Path(path)) if is_archive_file(Path(path)) and Path(path).is_file() else path


@click.command(short_help="Add files and folders and make them searchable.")
@click.argument("paths", nargs=-1, required=True, type=Place(), metavar="PATH...")
@click.option(
    "-r",
    "--recursive/--no-recursive",
    default=None,
    help="Look into the folders below, too.  [default: yes, or as it was when a known source is indexed again]",
)
@click.option(
    "--exclude",
    "excludes",
    multiple=True,
    metavar="PATTERN",
    help="Leave out what matches, as in a .gitignore; may be given several times. An empty one forgets them all.",
)
@click.option("--profile", metavar="NAME", help="How a store is reached: a profile of stores.toml, or of AWS.")
@click.option("--restore", is_flag=True, help="Take back what was removed from the library in these paths.")
@click.option("--workers", type=click.IntRange(1), help="Files decoded at the same time.  [default: one per core]")
@bulk_options
def index(
    paths: tuple[str, ...],
    recursive: bool | None,
    excludes: tuple[str, ...],
    profile: str | None,
    restore: bool,
    workers: int | None,
    **bulk: Any,
) -> None:
    """Add each PATH as a source, bring it up to date, and end when nothing is pending.

    PATH is a folder or file, or the address of a store, such as s3://bucket/prefix, https://host/folder,
    webdavs://host/folder, sftp://host/folder or zip::/media/photos.zip. A folder is taken with the folders below it.
    What a source holds already is not added again: its files are known once, however they are named.

    Large libraries are worked on by many machines: --on names a Ray cluster, --out writes shards for `medley import`,
    and --estimate says beforehand what it would take (docs/bulk.md).

    The exit status is 0 even if some files failed (they are named with their reason), and 1 if nothing
    could be indexed.
    """
    options = BulkOptions(**bulk)
    # A file that is named on the command line is taken as complete: only one that changes while it is read waits.
    settings = msgspec.structs.replace(Settings.load(), settle_seconds=0.0)
    if workers:
        settings = msgspec.structs.replace(settings, decode_processes=workers)
    with opened_database() as database, stop_on_signals() as stop:
        patterns = checked_patterns(excludes) if excludes else None
        if options.estimate or options.out:
            places = [unadded_source(root, recursive, patterns, profile) for root in paths]
            run_beside(settings, database, places, options, stop)
            return
        added = [_add(database, settings, path, recursive, patterns, restore, profile) for path in paths]
        if database.patiently(lambda: _is_anything_due(database), stop.is_set):
            if options.on:
                work_on(settings, database, options, stop)
            else:
                _work(settings, database, workers, stop)
        _conclude(settings, database, added, stopped=stop.is_set())


def _add(
    database: Database,
    settings: Settings,
    root: str,
    recursive: bool | None,
    patterns: str | None,
    restore: bool,
    profile: str | None,
) -> SourceRecord:
    outcome = database.patiently(lambda: add(database, settings, root, recursive, excludes=patterns, profile=profile))
    source = outcome.source

    def free() -> None:
        with database.write() as connection:
            if restore or Path(root).is_file():  # naming a file asks for it
                removals.restore(connection, source.id, os.fsencode(outcome.inside or source.root))
            queue.free_source(connection, source.id)  # a scan over HTTP may have been paused

    database.patiently(free)
    for merged in outcome.merged:
        click.echo(f"{printable(merged.root)} is inside {printable(source.root)} and is now part of it")
    if outcome.inside is None:
        _say_scan(source.root, database.patiently(partial(scan_source, database, source, settings)))
    else:
        click.echo(f"{printable(root)} is part of {printable(source.root)}, which is a source already")
        inside = [os.fsencode(outcome.inside)]
        _say_scan(root, database.patiently(lambda: scan_paths(database, source, settings, inside)))
    return source


def _say_scan(scanned: str, report: ScanReport) -> None:
    root = printable(scanned)
    if report.paused:
        click.echo(f"{root}: paused: {printable(report.paused)}")
        return
    click.echo(
        f"{root}: {report.files} files, {report.added} new, {report.changed} changed, "
        f"{report.returned} returned, {report.missing} missing"
    )
    for reason in (*report.unreadable, *report.links):
        click.echo(f"{root}: left out: {printable(reason)}")
    if report.skipped:
        click.echo(f"{root}: left out: {shown_left_out(report.skipped)}")


def _is_anything_due(database: Database) -> bool:
    with database.read() as connection:
        return queue.seconds_until_due(connection) is not None or assets.counts(connection).working > 0


def _work(settings: Settings, database: Database, workers: int | None, stop: threading.Event) -> None:
    preparing = threading.Thread(target=backends.prepare, args=(settings,), name="prepare-language-model", daemon=True)
    preparing.start()
    # Nobody waits for captions: workers that have nothing else to do make them.
    searchable = msgspec.structs.replace(settings, vision=False)
    with (
        thumbnails_ahead(settings, database, finish_unless=stop),
        Indexer(searchable, database, concurrency=workers) as indexer,
        shown_progress() as listener,
    ):
        indexer.worker().run(stop, until_idle=True, listener=listener)
    if preparing.is_alive() and not stop.is_set():
        click.echo("Preparing the language model for questions (only the first time) ...")
        preparing.join()


def _conclude(settings: Settings, database: Database, added: Sequence[SourceRecord], stopped: bool) -> None:
    """Say how it ended. Raises MedleyError when nothing could be indexed."""

    def read() -> tuple[Counts, list[AssetRecord], list[SourceRecord], int]:
        with database.read() as connection:
            scanned = [sources.get_source(connection, source.id) for source in added]
            failures = assets.failures(connection, limit=1_000_000)
            return assets.counts(connection), failures, scanned, captions.count_without(connection)

    counts, failed, scanned, plain = database.patiently(read)
    _say_failures(failed)
    if stopped:
        click.echo(f"Stopped; {counts.pending} files are still pending, the next run continues with them.")
        raise click.exceptions.Exit(INTERRUPTED)
    click.echo(f"{counts.indexed} files are searchable, {counts.quarantined} quarantined, {counts.missing} missing.")
    if counts.unread:
        click.echo(f"The text in {counts.unread} of them is still to be read; the next run continues with it.")
    if plain:
        _say_captions(settings, plain)
    if counts.pending or counts.working:
        click.echo(f"{counts.pending + counts.working} files wait to be tried again; see `medley status`.")
    if not counts.indexed:
        where = ", ".join(printable(source.root) for source in scanned)
        raise MedleyError(f"nothing could be indexed in {where}: " + _why(counts, scanned))


def _say_captions(settings: Settings, plain: int) -> None:
    try:
        seen = fitting_adapter(settings) is not None
    except LanguageModelError as error:
        # Everything is indexed: what only captions need is no failure.
        click.echo(f"{plain} pictures get no captions: {printable(str(error))}")
        return
    if seen:
        click.echo(
            f"{plain} pictures get captions later, while `medley serve` or `medley worker` has nothing else to do and "
            f"{LEAST_FREE_BYTES // 1024**3} GB of memory are free (setting vision)."
        )


def _why(counts: Counts, scanned: Sequence[SourceRecord]) -> str:
    if not counts.known:
        if paused := [printable(source.reason) for source in scanned if source.reason]:
            return "; ".join(paused)
        if any(not source.recursive for source in scanned):
            return "no media files were found (--recursive looks into the folders below, too)"
        if any(LINKS_OUT in msgspec.json.decode(source.skipped) for source in scanned):
            return "links out of a source are not followed: index the folders that they lead to"
        return "no media files were found"
    return f"{counts.quarantined} of {counts.known} files failed; see `medley failures`"


def _say_failures(failed: Sequence[AssetRecord]) -> None:
    if not failed:
        return
    click.echo(f"{len(failed)} files could not be made searchable:")
    rows = [(Path(record.path).name, record.error or "") for record in failed[:_SHOWN_FAILURES]]
    print_table([[printable(cell) for cell in row] for row in rows], ("file", "reason"))
    if len(failed) > _SHOWN_FAILURES:
        click.echo(f"... and {len(failed) - _SHOWN_FAILURES} more: `medley failures`")
