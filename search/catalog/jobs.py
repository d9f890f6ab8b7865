"""Jobs: records of background work that people follow, pause and cancel. The work is done elsewhere."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from search.catalog.models import job
from search.catalog.records import JobRecord
from search.catalog.sequence import now_or
from search.catalog.sql.cleaning import clean_text
from search.catalog.states import JobState
from search.errors import NotFoundError, UsageError


def create_job(
    connection: Connection,
    kind: str,
    *,
    source_id: int | None = None,
    space_id: int | None = None,
    total: int = 0,
    now: float | None = None,
) -> JobRecord:
    """Record a new job, running."""
    times = {"created_at": now_or(now), "updated_at": now_or(now)}
    statement = insert(job).values(
        kind=kind, source_id=source_id, space_id=space_id, state=JobState.RUNNING, total=total, **times
    )
    return JobRecord(*connection.execute(statement.returning(job)).one())


def get_job(connection: Connection, job_id: int) -> JobRecord:
    """The job with this id. Raises NotFoundError."""
    row = connection.execute(select(job).where(job.c.id == job_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no job {job_id}")
    return JobRecord(*row)


def list_jobs(
    connection: Connection, state: JobState | None = None, cursor: int | None = None, limit: int = 100
) -> list[JobRecord]:
    """Jobs, newest first, those before `cursor` (the last id seen)."""
    statement = select(job).order_by(job.c.id.desc()).limit(limit)
    if state is not None:
        statement = statement.where(job.c.state == state)
    if cursor is not None:
        statement = statement.where(job.c.id < cursor)
    return [JobRecord(*row) for row in connection.execute(statement)]


def advance_job(
    connection: Connection,
    job_id: int,
    *,
    done: int = 0,
    failed: int = 0,
    total: int | None = None,
    stage: str | None = None,
    now: float | None = None,
) -> JobRecord:
    """Add to the job's counts, and see what people have decided about it meanwhile (its `state`).

    Raises NotFoundError.
    """
    values: dict[str, object] = {"done": job.c.done + done, "failed": job.c.failed + failed, "updated_at": now_or(now)}
    if total is not None:
        values["total"] = total
    if stage is not None:
        values["stage"] = clean_text(stage)
    row = connection.execute(update(job).where(job.c.id == job_id).values(**values).returning(job)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no job {job_id}")
    return JobRecord(*row)


def store_result(connection: Connection, job_id: int, result: str) -> None:
    """Store what came of a job, as JSON. Raises NotFoundError."""
    if not connection.execute(update(job).where(job.c.id == job_id).values(result=result)).rowcount:
        raise NotFoundError(f"there is no job {job_id}")


def set_job_state(
    connection: Connection, job_id: int, state: JobState, error: str | None = None, now: float | None = None
) -> JobRecord:
    """Pause, resume, cancel or end a job. Raises NotFoundError, or UsageError once it has ended."""
    values = {"state": state, "error": clean_text(error), "updated_at": now_or(now)}
    statement = update(job).where(
        job.c.id == job_id, job.c.state.not_in([ended for ended in JobState if ended.has_ended])
    )
    row = connection.execute(statement.values(**values).returning(job)).one_or_none()
    if row is not None:
        return JobRecord(*row)
    ended = get_job(connection, job_id)
    if ended.state == state:
        return ended
    raise UsageError(f"job {job_id} has ended ({ended.state})")
