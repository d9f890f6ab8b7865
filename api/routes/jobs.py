"""Jobs: work that takes a while, to follow, pause, resume and cancel; and retrying failed files."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from litestar import Request, Response, get, post
from litestar.params import PathParameter
from litestar.response import Stream

from api.http import server_sent_events
from api.http.idempotency import once
from api.http.openapi import example, page_example
from api.http.paging import id_behind, id_of, page
from api.http.problems import documented, documented_body, documented_stream
from api.library_status import account
from api.monitoring import logs
from api.routes.dependencies import Cursor, Id, Injected, PageLimit
from api.schemas import JobView, Page, Retried
from api.serializers import job_view
from api.service import Service
from search.catalog import jobs, queue
from search.catalog.states import JobState

_STREAMING = {"uncompressed": True, "scope": "read"}
_STATES = {"pause": JobState.PAUSED, "resume": JobState.RUNNING, "cancel": JobState.CANCELLED}

JOB_EXAMPLE = {
    "id": "4", "kind": "scan", "state": "running", "stage": "indexing", "total": 1200, "done": 300, "failed": 2,
    "rate_per_second": 28.5, "seconds_left": 31.5, "source_id": "1", "space_id": None, "error": None,
    "created_at": "2024-07-15T19:58:00Z", "updated_at": "2024-07-15T19:58:11Z",
}  # fmt: skip


@get("/v1/jobs", sync_to_thread=True, opt=example(page_example(JOB_EXAMPLE)), responses=documented(), tags=["account"])
def list_jobs(service: Injected, cursor: Cursor = None, limit: PageLimit = 100) -> Page[JobView]:
    """All jobs, newest first."""
    with service.database.read() as connection:
        records = jobs.list_jobs(connection, cursor=id_behind(cursor), limit=limit + 1)
    now = service.clock()
    return page(records, limit, lambda record: record.id, lambda record: job_view(record, now))


@get(
    "/v1/jobs/{job_id:str}", sync_to_thread=True, opt=example(JOB_EXAMPLE), responses=documented(404), tags=["account"]
)
def get_job(service: Injected, job_id: Id) -> JobView:
    """Counts, rate, time left, stage and failures of one job."""
    return _view(service, id_of(job_id, "job"))


@get(
    "/v1/jobs/{job_id:str}/events",
    sync_to_thread=True,
    opt=_STREAMING,
    responses={**documented(404), 200: documented_stream("`job` events, each with the job as it is now.")},
    tags=["account"],
)
def job_events(service: Injected, job_id: Id) -> Stream:
    """The job whenever it changes, as server-sent events, until it has ended."""
    number = id_of(job_id, "job")
    _view(service, number)
    return server_sent_events.stream(
        service.looks.changes("job", ("job", number), lambda: _view(service, number), _has_ended)
    )


@get(
    "/v1/events",
    sync_to_thread=True,
    opt=_STREAMING,
    responses={**documented(), 200: documented_stream("`status` events, each with the whole account.")},
    tags=["account"],
)
def library_events(service: Injected) -> Stream:
    """The state of the library whenever it changes, as server-sent events."""
    return server_sent_events.stream(service.looks.changes("status", "status", lambda: account(service.database)))


@post(
    "/v1/jobs/{job_id:str}/{action:str}",
    status_code=200,
    sync_to_thread=True,
    opt=example(JOB_EXAMPLE | {"state": "paused"}),
    responses=documented(404),
    tags=["account"],
)
def change_job(
    request: Request[Any, Any, Any],
    service: Injected,
    job_id: Id,
    action: Annotated[Literal["pause", "resume", "cancel"], PathParameter(description="What to do with it.")],
) -> JobView:
    """Pause, resume or cancel a job.

    Files of a paused scan that are not indexed yet wait until it is resumed; those of a cancelled one, until
    the next scan.
    """
    number = id_of(job_id, "job")
    with service.database.write() as connection:
        job = jobs.set_job_state(connection, number, _STATES[action])
        if job.source_id is not None:
            (queue.free_source if action == "resume" else queue.hold_source)(connection, job.source_id)
    logs.wrote(request, f"job: {action}", job=number)
    return _view(service, number)


@post(
    "/v1/failures/retry",
    status_code=200,
    sync_to_thread=True,
    opt=example({"count": 2}),
    responses={**documented(409), 200: documented_body(Retried, "How many are in the queue again.")},
    tags=["account"],
)
def retry_failures(request: Request[Any, Any, Any], service: Injected) -> Response[bytes]:
    """Put every quarantined file back into the queue."""
    return once(service.database, request, None, 200, lambda: _retry(request, service))


def _retry(request: Request[Any, Any, Any], service: Service) -> Retried:
    with service.database.write() as connection:
        count = queue.retry_quarantined(connection)
    logs.wrote(request, "failures retried", count=count)
    return Retried(count=count)


def _view(service: Service, job_id: int) -> JobView:
    with service.database.read() as connection:
        return job_view(jobs.get_job(connection, job_id), service.clock())


def _has_ended(job: JobView) -> bool:
    return JobState(job.state).has_ended


ROUTES = (retry_failures, list_jobs, get_job, job_events, change_job, library_events)
