"""`medley status` and `medley failures`: what became of every file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click
import msgspec

from api.cli.options import json_option
from api.cli.output import print_json, print_table, printable
from api.library_status import account, all_failures, all_notes
from api.schemas import Page, Status
from api.serializers import left_out
from search.catalog import assets, queue
from search.catalog.database import Database
from search.errors import MedleyError
from search.settings import Settings


@contextmanager
def opened_database() -> Iterator[Database]:
    """The catalogue of the settings, migrated."""
    settings = Settings.load()
    settings.make_home()
    database = Database.open(settings)
    try:
        database.migrate()
        yield database
    finally:
        database.close()


def refuse_empty_library(database: Database) -> None:
    """Raises MedleyError where nothing was ever indexed: "nothing found" would send people looking for mistakes."""
    with database.read() as connection:
        known = assets.counts(connection)
    if not known.known:
        raise MedleyError("the library is empty; index something first, as in `medley index ~/Pictures`")
    if not known.indexed:
        waiting = known.pending + known.working
        raise MedleyError(
            f"nothing is searchable yet: {waiting} of {known.known} files wait for `medley index` or a worker"
        )


_SHOWN_REASONS = 8


def shown_left_out(skipped: Mapping[str, int]) -> str:
    """What a scan left out, on one line: `12 XLSX files, 1 @eaDir folder`."""
    shown = [printable(words) for words in left_out(skipped)[:_SHOWN_REASONS]]
    rest = sum(sorted(skipped.values(), reverse=True)[_SHOWN_REASONS:])
    return ", ".join([*shown, f"{rest:,} others"] if rest else shown)


def counted(noted_by_kind: Mapping[str, int]) -> str:
    """What notes are about, the most frequent first: `12 length, 3 tracks`."""
    ordered = sorted(noted_by_kind.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(f"{count} {kind}" for kind, count in ordered)


@click.command(short_help="The account of every file.")
@click.option("--notes", is_flag=True, help="List what was left out of searchable files.")
@json_option
def status(as_json: bool, notes: bool) -> None:
    """Say how many files are searchable, waiting, failed or gone."""
    with opened_database() as database:
        report = account(database)
        noted = all_notes(database) if notes else []
    if as_json:
        print_json(msgspec.to_builtins(report) | ({"notes": noted} if notes else {}))
        return
    _print_status(report)
    if noted:
        rows = [(printable(note.path), ", ".join(note.about), printable(note.left_out)) for note in noted]
        print_table(rows, ("path", "about", "left out"))


def _print_status(report: Status) -> None:
    counts = report.assets
    click.echo(
        f"{counts.total} files: {counts.indexed} searchable, {counts.pending} pending, {counts.working} being indexed, "
        f"{counts.quarantined} quarantined, {counts.missing} missing"
    )
    if report.unread:
        click.echo(f"text still to be read in {report.unread} searchable files")
    if report.noted:
        kinds = counted(report.noted_by_kind)
        click.echo(f"something was left out of {report.noted} searchable files: {kinds} (--notes says what)")
    if report.skipped:
        click.echo(f"left out: {shown_left_out(report.skipped)}")
    for title, numbers in (("kinds", report.kinds), ("segments", report.segments)):
        if numbers:
            click.echo(f"{title}: " + ", ".join(f"{number} {name}" for name, number in sorted(numbers.items())))
    click.echo(f"space: {report.space or 'none yet'}; catalogue: {report.database}")
    for note in report.space_notes:
        click.echo(note)
    for source in report.sources:
        reason = f" ({source.reason})" if source.reason else ""
        click.echo(f"source {source.id}: {printable(source.root)}, {source.state}{reason}")


@click.command(short_help="Every file that failed, with its reason.")
@click.option("--retry", is_flag=True, help="Put all of them back into the queue.")
@json_option
def failures(as_json: bool, retry: bool) -> None:
    """List every file that could not be made searchable, with its reason."""
    with opened_database() as database:
        failed = all_failures(database)
        if retry:
            with database.write() as connection:
                queue.retry_quarantined(connection)
    if as_json:
        print_json(Page(items=failed))
    elif not failed:
        click.echo("No file failed.")
    else:
        rows = [(failure.asset_id, printable(failure.path), printable(failure.reason)) for failure in failed]
        print_table(rows, ("asset", "path", "reason"))
        if retry:
            click.echo(f"{len(failed)} files are pending again: a worker or `medley index` takes them.")
