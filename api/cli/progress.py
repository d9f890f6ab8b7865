"""Progress of indexing: bars on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from api.cli.output import clock
from indexer.ingest.worker import Progress as WorkerProgress

LINE_SECONDS = 5.0

Listener = Callable[[WorkerProgress], None]


@contextmanager
def shown_progress(hourly_cost: float | None = None) -> Iterator[Listener]:
    """A listener for a worker; what it shows goes to standard error. With a price, also what a million files cost."""
    if sys.stderr.isatty():
        with _bars(hourly_cost) as listener:
            yield listener
    else:
        yield _Lines(hourly_cost)


@contextmanager
def _bars(hourly_cost: float | None) -> Iterator[Listener]:
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("indexing", total=None, rate="", failed="")
        reading = _Reading(hourly_cost)

        def listen(told: WorkerProgress) -> None:
            failed = f"{told.counts.quarantined} quarantined" if told.counts.quarantined else ""
            if begins := reading.begins(told):
                progress.console.print(begins)
                progress.reset(task)
            stage, (total, done) = reading.stage, reading.totals(told)
            progress.update(
                task, description=stage, total=total, completed=done, rate=reading.rate(told), failed=failed
            )

        yield listen


class _Lines:
    def __init__(self, hourly_cost: float | None) -> None:
        self._said_at = time.monotonic()
        self._reading = _Reading(hourly_cost)

    def __call__(self, told: WorkerProgress) -> None:
        if begins := self._reading.begins(told):
            print(begins, file=sys.stderr)
        now = time.monotonic()
        if now - self._said_at < LINE_SECONDS:
            return
        self._said_at = now
        total, done = self._reading.totals(told)
        stage, rate, left = self._reading.stage, self._reading.rate(told), self._reading.left(told)
        print(f"{stage}: {done} of {total} files, {rate}{left}, {told.counts.quarantined} quarantined", file=sys.stderr)


class _Reading:
    """Notices when everything is searchable and only text is left to be read, which is counted by itself."""

    def __init__(self, hourly_cost: float | None) -> None:
        self._hourly_cost = hourly_cost
        self.stage = "indexing"
        self._began_at = 0.0

    def begins(self, told: WorkerProgress) -> str | None:
        """What to say at that moment."""
        counts = told.counts
        left = counts.pending + counts.working
        if self._began_at or left or not counts.unread:
            return None
        rate = self.rate(told)
        self.stage, self._began_at = "reading text", told.seconds
        return f"{counts.indexed} files are searchable ({rate}); reading the text in {counts.unread} of them"

    def totals(self, told: WorkerProgress) -> tuple[int, int]:
        """Files that there are for this stage, and those of them that are done with."""
        counts = told.counts
        if self._began_at:
            return counts.unread + told.tally.read, told.tally.read
        return counts.known - counts.missing, counts.indexed + counts.quarantined

    def rate(self, told: WorkerProgress) -> str:
        """How fast the stage goes, and at which price."""
        rate = self._rate(told)
        if rate is None:
            return "starting"
        price = ""
        if self._hourly_cost is not None and rate:
            price = f", {million_cost(rate, self._hourly_cost):,.2f} a million"
        return f"{rate:.1f} files/s{price}"

    def left(self, told: WorkerProgress) -> str:
        """How long the stage still takes at this rate."""
        rate = self._rate(told)
        total, done = self.totals(told)
        return f", {clock((total - done) / rate)} left" if rate else ""

    def _rate(self, told: WorkerProgress) -> float | None:
        tally, seconds = told.tally, told.seconds - self._began_at
        done = tally.read if self._began_at else tally.indexed + tally.unchanged + tally.moved
        return done / seconds if seconds > 1 else None


def million_cost(files_per_second: float, hourly_cost: float) -> float:
    """What a million files cost on machines that together cost so much an hour."""
    return 1_000_000 / files_per_second / 3600 * hourly_cost
