"""What `medley index` does with `--on`, `--out` and `--estimate`: many machines, shards, and what it would take."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import click
from msgspec import Struct

from api.cli.output import clock, print_table, printable
from api.cli.progress import Listener, Pace, million_cost, shown_progress
from indexer.bulk.estimate import POSTGRESQL_FACTOR, Estimate, extrapolated, sampled
from indexer.bulk.jobs import SHARD, opened_fleet, run_on, shard_job
from indexer.bulk.ray_fleet import SCHEME, Share
from indexer.bulk.shard_places import shard_place
from indexer.ingest.worker import Progress
from search.catalog.database import Database
from search.catalog.records import SourceRecord
from search.catalog.states import SourceState
from search.errors import UsageError
from search.settings import Settings


class BulkOptions(Struct, frozen=True, kw_only=True):
    """How a bulk job runs. Raises UsageError for an invalid address."""

    on: str | None  # ray, ray://HOST:PORT; None: this process
    out: str | None  # a folder, or the address of a store
    estimate: bool
    hourly_cost: float | None
    cores_each: int
    encoders: int

    def __post_init__(self) -> None:
        if self.on is not None and self.on != SCHEME and not self.on.startswith(f"{SCHEME}://"):
            raise UsageError(f"--on takes ray or ray://HOST:PORT, not {self.on!r}")
        if self.estimate and self.out:
            raise UsageError("--estimate writes nothing, so it takes no --out")

    @property
    def share(self) -> Share:
        """What an actor takes."""
        return Share(cores=self.cores_each, encoders=self.encoders)


def bulk_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of bulk jobs."""
    options = (
        click.option(
            "--on", metavar="ADDRESS", help="Work on a Ray cluster: ray (this machine's), or ray://HOST:PORT."
        ),
        click.option(
            "--out",
            metavar="FOLDER",
            help="Write shards of Parquet into this folder, or folder of a store, instead of the catalogue, for "
            "`medley import`.",
        ),
        click.option("--estimate", is_flag=True, help="Index a sample only, and say what all of it would take."),
        click.option("--hourly-cost", type=click.FloatRange(0), help="What the machines cost an hour, for the price."),
        click.option(
            "--cores-each", type=click.IntRange(1), default=4, show_default=True, help="Cores of one Ray actor."
        ),
        click.option(
            "--encoders", type=click.IntRange(0), default=0, help="Ray actors that only encode.  [default: one per GPU]"
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def unadded_source(root: str, recursive: bool | None, excludes: str | None, profile: str | None) -> SourceRecord:
    """A source that the catalogue does not know, and need not."""
    return SourceRecord(
        id=0,
        root=root,
        recursive=recursive is not False,
        watched=False,
        state=SourceState.ACTIVE,
        reason=None,
        created_at=0.0,
        scanned_at=None,
        excludes=excludes or "",
        profile=profile or "",
    )


def run_beside(
    settings: Settings, database: Database, places: Sequence[SourceRecord], options: BulkOptions, stop: threading.Event
) -> None:
    """What leaves the catalogue as it is: estimates, and shards."""
    if options.out is None:
        _print_estimates(settings, database, places, options, stop)
    else:
        _write_shards(settings, database, places, options.out, options, stop)


def work_on(settings: Settings, database: Database, options: BulkOptions, stop: threading.Event) -> None:
    """Index what is pending on a cluster."""
    with (
        opened_fleet(settings, database, options.on, options.share) as fleet,
        shown_progress(options.hourly_cost) as listener,
    ):
        run_on(fleet, settings, database, stop, listener=listener)


def _write_shards(
    settings: Settings,
    database: Database,
    places: Sequence[SourceRecord],
    out: str,
    options: BulkOptions,
    stop: threading.Event,
) -> None:
    """Shards of what no shard in the place `out` holds yet; the catalogue is not touched."""
    for source in places:
        root = printable(source.root)
        with (
            shard_place(settings, out, source.profile) as place,
            shard_job(settings, database, source, place) as (queue, recorder, scanned, written),
            opened_fleet(settings, queue, options.on, options.share) as fleet,
            shown_progress(options.hourly_cost) as listener,
        ):
            click.echo(f"{root}: {scanned.files} files, {written} of them in shards already")
            done = run_on(fleet, settings, queue, stop, listener=listener, recorder=recorder, block=SHARD)
        click.echo(
            f"{root}: {done.indexed} files written, {done.segments} segments, {done.quarantined} that can't be made "
            f"searchable; `medley import {printable(place.address)}` takes them in"
        )
        if stop.is_set():
            click.echo("Stopped; the next run continues with the rest.")
            return


def _print_estimates(
    settings: Settings, database: Database, places: Sequence[SourceRecord], options: BulkOptions, stop: threading.Event
) -> None:
    """What each source would take, by a sample of it."""
    for source in places:
        with sampled(database, settings, source) as sample:
            pace = Pace()  # of everything: reading text takes its time, too
            with (
                opened_fleet(settings, sample.database, options.on, options.share) as fleet,
                shown_progress() as listener,
            ):

                def listen(told: Progress, show: Listener = listener, pace: Pace = pace) -> None:
                    pace.note(told.seconds, told.tally.done)
                    show(told)

                run_on(fleet, settings, sample.database, stop, listener=listen)
            if stop.is_set():
                click.echo("Stopped: a part of the sample says too little.")
                return
            _print(source.root, extrapolated(sample, settings, pace.files_per_second), options)


def _print(root: str, estimate: Estimate, options: BulkOptions) -> None:
    click.echo(
        f"{printable(root)}: {estimate.files:,} files, {_size(estimate.media_bytes)}; "
        f"measured on {estimate.sample:,} of them, {estimate.failed} of which failed"
    )
    rate = estimate.files_per_second
    million = clock(1_000_000 / rate) if rate else "unknown"
    catalogue = (
        f"{_size(estimate.catalogue_bytes)} in SQLite, about {_size(estimate.catalogue_bytes * POSTGRESQL_FACTOR)} in "
    )
    rows = [
        ("time", f"{clock(estimate.seconds)} at {rate:.1f} files/s" if rate else "unknown"),
        ("for a million files", million + _price(rate, options.hourly_cost)),
        (
            "segments",
            ", ".join(f"{number:,} {signal}" for signal, number in sorted(estimate.segments.items())) or "none",
        ),
        ("catalogue", catalogue + "PostgreSQL"),
        ("partitions on disk", _size(estimate.snapshot_bytes)),
        ("memory to search", _size(estimate.memory_bytes)),
    ]
    print_table(rows, ("what", "estimate"))


def _price(files_per_second: float, hourly_cost: float | None) -> str:
    if hourly_cost is None or not files_per_second:
        return ""
    return f", {million_cost(files_per_second, hourly_cost):,.2f} at {hourly_cost:g} an hour"


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
