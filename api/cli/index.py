"""`medley index`: add sources, bring them up to date, end when nothing is pending."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from api.cli import INTERRUPTED
from api.cli.account import opened_database
from api.cli.output import print_table, printable
from api.cli.progress import shown_progress
from api.cli.stopping import stop_on_signals
from indexer.scan import ScanReport, scan_source
from indexer.workshop import Workshop
from search.catalog import assets, queue, sources
from search.catalog.database import Database
from search.catalog.records import AssetRecord, Counts, SourceRecord
from search.errors import MedleyError
from search.settings import Settings

_SHOWN_FAILURES = 20


@click.command(short_help="Add files and folders and make them searchable.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH...")
@click.option("--recursive", "-r", is_flag=True, help="Look into the folders below, too.")
@click.option("--workers", type=click.IntRange(1), help="Files decoded at the same time.  [default: one per core]")
def index(paths: tuple[Path, ...], recursive: bool, workers: int | None) -> None:
    """Add each PATH as a source, bring it up to date, and end when nothing is pending.

    The exit status is 0 even if some files failed (they are named with their reason), and 1 if nothing
    could be indexed.
    """
    # Whoever asks for a file now knows that it is complete: only what changes while it is read waits.
    settings = msgspec.structs.replace(Settings.load(), settle_seconds=0.0)
    with opened_database() as database, stop_on_signals() as stop:
        added = [_add(database, path, recursive) for path in paths]
        reports = [scan_source(database, source, settings) for source in added]
        for source, report in zip(added, reports, strict=True):
            _say_scan(source, report)
        _work(settings, database, workers, stop)
        _conclude(database, added, stopped=stop.is_set())


def _add(database: Database, path: Path, recursive: bool) -> SourceRecord:
    # Not resolved: a link's own name is how people know the folder, and moving its target moves the source.
    root = os.path.abspath(path)  # noqa: PTH100
    with database.write() as connection:
        source = sources.add_source(connection, root, recursive)
        queue.free_source(connection, source.id)  # a scan over HTTP may have been paused
        return source


def _say_scan(source: SourceRecord, report: ScanReport) -> None:
    root = printable(source.root)
    if report.paused:
        click.echo(f"{root}: paused, {report.paused}")
        return
    click.echo(
        f"{root}: {report.files} files, {report.added} new, {report.changed} changed, "
        f"{report.returned} returned, {report.missing} missing"
    )
    for reason in report.unreadable:
        click.echo(f"{root}: left out: {printable(reason)}")


def _work(settings: Settings, database: Database, workers: int | None, stop: threading.Event) -> None:
    with database.read() as connection:
        if queue.next_due(connection) is None and not assets.counts(connection).working:
            return
    with Workshop(settings, database, concurrency=workers) as workshop, shown_progress() as listener:
        workshop.worker().run(stop, until_idle=True, listener=listener)


def _conclude(database: Database, added: Sequence[SourceRecord], stopped: bool) -> None:
    """Say how it ended. Raises MedleyError when nothing could be indexed."""
    with database.read() as connection:
        counts = assets.counts(connection)
        failed = assets.failures(connection, limit=1_000_000)
    _say_failures(failed)
    if stopped:
        click.echo(f"Stopped; {counts.pending} files are still pending, the next run goes on with them.")
        raise click.exceptions.Exit(INTERRUPTED)
    click.echo(f"{counts.indexed} files are searchable, {counts.quarantined} quarantined, {counts.missing} missing.")
    if counts.unread:
        click.echo(f"The text in {counts.unread} of them is still to be read; the next run goes on with it.")
    if counts.pending or counts.working:
        click.echo(f"{counts.pending + counts.working} files wait to be tried again; see `medley status`.")
    if not counts.indexed:
        where = ", ".join(printable(source.root) for source in added)
        raise MedleyError(f"nothing could be indexed in {where}: " + _why(counts))


def _why(counts: Counts) -> str:
    if not counts.known:
        return "no media files were found (subfolders need --recursive)"
    return f"{counts.quarantined} of {counts.known} files failed; see `medley failures`"


def _say_failures(failed: Sequence[AssetRecord]) -> None:
    if not failed:
        return
    click.echo(f"{len(failed)} files could not be made searchable:")
    rows = [(Path(record.path).name, record.error or "") for record in failed[:_SHOWN_FAILURES]]
    print_table([[printable(cell) for cell in row] for row in rows], ("file", "reason"))
    if len(failed) > _SHOWN_FAILURES:
        click.echo(f"... and {len(failed) - _SHOWN_FAILURES} more: `medley failures`")
