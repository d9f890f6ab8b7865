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


class Pace:
    """How fast files are done with, without the time in which models load and machines join.

    It counts from the first report that tells of any file done.
    """

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None
        self._last = (0.0, 0)

    def note(self, seconds: float, done: int) -> None:
        """How many files were done with after so many seconds."""
        self._last = seconds, done
        if self._first is None and done:
            self._first = self._last

    @property
    def has_only_begun(self) -> bool:
        """Whether nothing was done after the first report: what there is to measure is the loading."""
        return self._first is None or self._first[1] == self._last[1]

    @property
    def files_per_second(self) -> float:
        """Of what was done after the first report; of everything where that is less than half of it."""
        seconds, done = self._last
        began, before = self._first or (0.0, 0)
        if done - before < done / 2:  # too little to measure by
            began, before = 0.0, 0
        return (done - before) / (seconds - began) if seconds > began else 0.0


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
            progress.update(task, description=stage, total=total, completed=done, rate=reading.rate(), failed=failed)

        yield listen


class _Lines:
    def __init__(self, hourly_cost: float | None) -> None:
        self._said, self._said_at = "", time.monotonic()
        self._reading = _Reading(hourly_cost)

    def __call__(self, told: WorkerProgress) -> None:
        if begins := self._reading.begins(told):
            print(begins, file=sys.stderr)
        now = time.monotonic()
        if now - self._said_at < LINE_SECONDS:
            return
        self._said_at = now
        total, done = self._reading.totals(told)
        stage, rate, left = self._reading.stage, self._reading.rate(), self._reading.left(told)
        line = f"{stage}: {done} of {total} files, {rate}{left}, {told.counts.quarantined} quarantined"
        if line != self._said:  # while machines join and models load, nothing is news
            print(line, file=sys.stderr)
        self._said = line


class _Reading:
    """Notices when everything is searchable and only text is left to be read, which is counted by itself."""

    def __init__(self, hourly_cost: float | None) -> None:
        self._hourly_cost = hourly_cost
        self.stage = "indexing"
        self._pace = Pace()
        self._is_reading = False

    def begins(self, told: WorkerProgress) -> str | None:
        """Take note of a report, and give what to say at that moment."""
        self._pace.note(told.seconds, told.tally.read if self._is_reading else told.tally.done)
        counts = told.counts
        if self._is_reading or counts.pending + counts.working or not counts.unread:
            return None
        rate = self._priced(self._pace.files_per_second)
        self.stage, self._pace, self._is_reading = "reading text", Pace(), True
        return f"{counts.indexed} files are searchable ({rate}); reading the text in {counts.unread} of them"

    def totals(self, told: WorkerProgress) -> tuple[int, int]:
        """Files that there are for this stage, and those of them that are done with."""
        counts = told.counts
        if self._is_reading:
            return counts.unread + told.tally.read, told.tally.read
        return counts.known - counts.missing, counts.indexed + counts.quarantined

    def rate(self) -> str:
        """How fast the stage goes, and at which price."""
        return "starting" if self._pace.has_only_begun else self._priced(self._pace.files_per_second)

    def _priced(self, rate: float) -> str:
        price = ""
        if self._hourly_cost is not None and rate:
            price = f", {million_cost(rate, self._hourly_cost):,.2f} a million"
        return f"{rate:.1f} files/s{price}"

    def left(self, told: WorkerProgress) -> str:
        """How long the stage still takes at this rate."""
        if self._pace.has_only_begun:
            return ""
        total, done = self.totals(told)
        return f", {clock((total - done) / self._pace.files_per_second)} left"


def million_cost(files_per_second: float, hourly_cost: float) -> float:
    """What a million files cost on machines that together cost so much an hour."""
    return 1_000_000 / files_per_second / 3600 * hourly_cost
