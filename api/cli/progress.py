"""Progress of indexing: bars on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from indexer.worker import Progress as WorkerProgress
from search.catalog.records import Counts

LINE_SECONDS = 5.0

Listener = Callable[[WorkerProgress], None]


@contextmanager
def shown_progress() -> Iterator[Listener]:
    """A listener for a worker; what it shows goes to standard error."""
    if sys.stderr.isatty():
        with _bars() as listener:
            yield listener
    else:
        yield _Lines()


@contextmanager
def _bars() -> Iterator[Listener]:
    columns = (
        TextColumn("[bold]indexing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("indexing", total=None, rate="", failed="")

        def listen(told: WorkerProgress) -> None:
            failed = f"{told.counts.quarantined} quarantined" if told.counts.quarantined else ""
            total, done = totals(told.counts)
            progress.update(task, total=total, completed=done, rate=rate_of(told), failed=failed)

        yield listen


class _Lines:
    def __init__(self) -> None:
        self._said_at = time.monotonic()

    def __call__(self, told: WorkerProgress) -> None:
        now = time.monotonic()
        if now - self._said_at < LINE_SECONDS:
            return
        self._said_at = now
        total, done = totals(told.counts)
        print(f"{done} of {total} files, {rate_of(told)}, {told.counts.quarantined} quarantined", file=sys.stderr)


def totals(counts: Counts) -> tuple[int, int]:
    """Files that are there, and those of them that are done with."""
    return counts.known - counts.missing, counts.indexed + counts.quarantined


def rate_of(told: WorkerProgress) -> str:
    """How fast it goes."""
    done = told.tally.indexed + told.tally.unchanged + told.tally.moved
    return f"{done / told.seconds:.1f} files/s" if told.seconds > 1 else "starting"
