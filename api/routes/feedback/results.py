"""What evaluations and tunings share: the judgements that they go by, and what came of their jobs."""

from __future__ import annotations

from api.http.paging import id_of
from api.service import Service
from search.catalog import jobs, spaces
from search.catalog.records import SpaceRecord
from search.errors import NotFoundError
from search.evaluation.evaluate import answerable
from search.evaluation.judgements import JudgedQuery, stored


def space_of(service: Service, name: str) -> SpaceRecord:
    """The space of this name. Raises NotFoundError."""
    with service.database.read() as connection:
        return spaces.get_space(connection, name)


def judged_queries(service: Service) -> list[JudgedQuery]:
    """The library's judged queries that have a right answer. Raises UsageError for too few to measure by."""
    with service.database.read() as connection:
        return answerable(stored(connection))


def result_of(service: Service, space: str, job_id: str, kind: str) -> str:
    """What came of a space's job, as JSON. Raises NotFoundError, which says where the job stands without a result."""
    wanted = space_of(service, space)
    with service.database.read() as connection:
        job = jobs.get_job(connection, id_of(job_id, "job"))
    if job.kind != kind or job.space_id != wanted.id:
        raise NotFoundError(f"job {job_id} is none of this kind of the space {space!r}")
    if job.result is None:
        why = f": {job.error}" if job.error else ""
        raise NotFoundError(f"job {job_id} has no result; it is {job.state}{why}")
    return job.result
