"""Runs work that outlasts the HTTP request for it: scans, fillings, evaluations, tunings; people follow each as a job.

A job runs in a thread of this process. The catalogue holds its counts and its state; pausing and
cancelling are changes of that state, which the thread sees the next time it reports.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import msgspec

from indexer.sources.scan import scan_source
from indexer.space_filler import FillProgress, SpaceFiller
from search.catalog import assets, jobs, queue
from search.catalog.database import Connection, Database
from search.catalog.records import Counts, JobRecord, SourceRecord, SpaceRecord
from search.catalog.states import JobState
from search.engine import SearchEngine
from search.errors import MedleyError, NotFoundError
from search.evaluation.evaluate import measure
from search.evaluation.judgements import JudgedQuery
from search.evaluation.report import report as report_of
from search.evaluation.report import ways_of
from search.evaluation.tuning import keep, learn, steps_of
from search.settings import Settings
from search.spaces.space import Space

log = logging.getLogger("medley.jobs")

LOOK_SECONDS = 1.0
_GOING_ON = (JobState.RUNNING, JobState.PAUSED)


class JobRunner:
    """Starts jobs and follows them until the service stops."""

    def __init__(
        self, settings: Settings, database: Database, stopping: threading.Event, refresh: Callable[[], None]
    ) -> None:
        """`refresh` makes this process take up at once what a space has learnt."""
        self._settings = settings
        self._refresh = refresh
        self._database = database
        self._stopping = stopping
        self._threads: list[threading.Thread] = []

    def scan(self, source: SourceRecord) -> JobRecord:
        """Start a scan; its job continues until workers have indexed what it finds."""
        with self._database.write() as connection:
            job = jobs.create_job(connection, "scan", source_id=source.id)
            queue.free_source(connection, source.id)  # an earlier scan may have been cancelled
        self._start(job, lambda report: self._scan(source, report))
        return job

    def fill(self, record: SpaceRecord, space: Space) -> JobRecord:
        """Start to embed everything that the space still lacks."""
        with self._database.write() as connection:
            job = jobs.create_job(connection, "fill", space_id=record.id)
        self._start(job, lambda report: self._fill(record, space, report))
        return job

    def evaluate(
        self,
        record: SpaceRecord,
        engines: Callable[[], Iterable[SearchEngine]],
        judged: Sequence[JudgedQuery],
        depth: int,
        *,
        rerank: bool,
    ) -> JobRecord:
        """Start to measure spaces on judgements; `engines` opens them one by one, first that of the space itself."""
        with self._database.write() as connection:
            job = jobs.create_job(connection, "evaluate", space_id=record.id)
        self._start(job, lambda report: _evaluate(engines, judged, depth, rerank, report))
        return job

    def tune(
        self, record: SpaceRecord, engine: Callable[[], SearchEngine], judged: Sequence[JudgedQuery], *, rerank: bool
    ) -> JobRecord:
        """Start to let the space learn from judgements; what wins is in use as soon as the job is done."""
        with self._database.write() as connection:
            job = jobs.create_job(connection, "tune", space_id=record.id)
        self._start(job, lambda report: self._tune(record, engine, judged, rerank, report))
        return job

    def close(self) -> None:
        """Wait for the threads, which end soon once the service is stopping."""
        for thread in self._threads:
            thread.join()

    def _start(self, job: JobRecord, work: Callable[[_Report], None]) -> None:
        report = _Report(self._database, job.id, self._stopping)
        thread = threading.Thread(target=_run, args=(report, work), name=f"job-{job.id}", daemon=True)
        self._threads = [*(running for running in self._threads if running.is_alive()), thread]
        thread.start()

    def _scan(self, source: SourceRecord, report: _Report) -> None:
        report.tell(0, 0, None, "looking for files")
        scan = scan_source(self._database, source, self._settings)
        if scan.paused:
            report.end(JobState.FAILED, f"{source.root}: {scan.paused}")
            return
        first = self._counts(source.id)
        total = first.pending + first.working
        while True:
            counts = self._counts(source.id)
            left = min(total, counts.pending + counts.working)
            failed = max(0, counts.quarantined - first.quarantined)
            going_on = report.tell(max(0, total - left - failed), failed, total, "indexing")
            if not going_on or not left:
                return
            self._stopping.wait(LOOK_SECONDS)

    def _counts(self, source_id: int) -> Counts:
        with self._database.read() as connection:
            return assets.counts(connection, source_id)

    def _fill(self, record: SpaceRecord, space: Space, report: _Report) -> None:
        stop = threading.Event()

        def listen(progress: FillProgress) -> None:
            if not report.tell(progress.done, progress.failed, progress.total, "filling"):
                stop.set()

        outcome = SpaceFiller(self._settings, self._database, record, space).run(stop, listen)
        if outcome.failed:
            report.end(JobState.FAILED, f"{outcome.failed} segments could not be filled: {outcome.problem}")

    def _tune(
        self,
        record: SpaceRecord,
        engine: Callable[[], SearchEngine],
        judged: Sequence[JudgedQuery],
        rerank: bool,
        report: _Report,
    ) -> None:
        steps = _Steps(report, steps_of(judged, rerank=rerank))
        outcome, tuning = learn(engine(), judged, rerank=rerank, listener=steps.tell)
        report.keep(msgspec.json.encode(outcome), lambda connection: keep(connection, record.id, outcome, tuning))
        self._refresh()


def _evaluate(
    engines: Callable[[], Iterable[SearchEngine]],
    judged: Sequence[JudgedQuery],
    depth: int,
    rerank: bool,
    report: _Report,
) -> None:
    opened = list(engines())
    ways = [way for engine in opened for way in ways_of(engine, rerank=rerank)]
    steps = _Steps(report, len(ways) * len(judged))
    measured = [measure(label, way, judged, depth, partial(steps.tell, label)) for label, way in ways]
    report.keep(msgspec.json.encode(report_of(measured)))


class _StoppedError(Exception):
    """The job is to end: people have cancelled it, or the service stops."""


class _Steps:
    """Counts the steps of several stages as one progress. Raises _StoppedError from `tell`."""

    def __init__(self, report: _Report, total: int) -> None:
        self._report = report
        self._total = total
        self._before = 0  # steps of stages that are over

    def tell(self, stage: str, done: int, of: int) -> None:
        if not self._report.tell(self._before + done, 0, self._total, stage):
            raise _StoppedError
        if done == of:
            self._before += of


class _Report:
    """Writes a job's progress, and waits while people have paused it."""

    def __init__(self, database: Database, job_id: int, stopping: threading.Event) -> None:
        self._database = database
        self._job_id = job_id
        self._stopping = stopping
        self._told = (0, 0)

    def tell(self, done: int, failed: int, total: int | None, stage: str) -> bool:
        """Record the counts so far; False when the work is to end. Waits while the job is paused."""
        with self._database.write() as connection:
            more = done - self._told[0], failed - self._told[1]
            job = jobs.advance_job(connection, self._job_id, done=more[0], failed=more[1], total=total, stage=stage)
        self._told = done, failed
        while job.state == JobState.PAUSED and not self._stopping.wait(LOOK_SECONDS):
            with self._database.read() as connection:
                job = jobs.get_job(connection, self._job_id)
        return job.state == JobState.RUNNING and not self._stopping.is_set()

    def end(self, state: JobState, error: str | None = None) -> None:
        """End the job, unless it has already ended."""
        with self._database.write() as connection:
            if jobs.get_job(connection, self._job_id).state in _GOING_ON:
                jobs.set_job_state(connection, self._job_id, state, error)

    def keep(self, result: bytes, apply: Callable[[Connection], None] = lambda _: None) -> None:
        """End the job as done with its result, and apply that; neither, if people have cancelled it meanwhile."""
        with self._database.write() as connection:
            if jobs.get_job(connection, self._job_id).state not in _GOING_ON:
                return
            apply(connection)
            jobs.store_result(connection, self._job_id, result.decode())
            jobs.set_job_state(connection, self._job_id, JobState.DONE)

    def conclude(self) -> None:
        """End the job as done, or as interrupted when this process is stopping."""
        if self._stopping.is_set():
            self.end(JobState.CANCELLED, "the service that did this was stopped; starting it again goes on")
        else:
            self.end(JobState.DONE)


def _run(report: _Report, work: Callable[[_Report], None]) -> None:
    try:
        work(report)
        report.conclude()
    except _StoppedError:
        report.conclude()
    except NotFoundError:
        log.info("a job went away with what it was about")
    except MedleyError as error:
        report.end(JobState.FAILED, str(error))
    except Exception as error:
        log.exception("a job failed")
        report.end(JobState.FAILED, f"{type(error).__name__}: {error}")
