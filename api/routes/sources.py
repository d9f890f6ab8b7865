"""Sources: the roots that hold media."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get, post
from litestar.params import JSONBody

from api import logs, roots
from api.idempotency import once
from api.paging import id_of
from api.params import ADMIN, Id, Injected, removal
from api.problems import documented, documented_body
from api.schemas import JobView, NewSource, Page, SourceView
from api.service import Service
from api.views import job_view, source_view
from search.catalog import sources
from search.catalog.records import SourceRecord


@get("/v1/sources", sync_to_thread=True, responses=documented(), tags=["library"])
def list_sources(service: Injected) -> Page[SourceView]:
    """All sources, with the reason why one is paused."""
    with service.database.read() as connection:
        return Page(items=[source_view(record) for record in sources.list_sources(connection)])


@post(
    "/v1/sources",
    sync_to_thread=True,
    opt=ADMIN,
    responses={**documented(409), 201: documented_body(SourceView, "The source; its first scan has begun.")},
    tags=["library"],
)
def add_source(request: Request[Any, Any, Any], service: Injected, data: JSONBody[NewSource]) -> Response[bytes]:
    """Add a folder below one of the allowed roots, and scan it. Adding it again changes nothing but its flags."""
    return once(service.database, request, data, 201, lambda: _add(request, service, data))


def _add(request: Request[Any, Any, Any], service: Service, data: NewSource) -> SourceView:
    root = roots.checked(data.root, service.settings)
    with service.database.write() as connection:
        source = sources.add_source(connection, root, data.recursive, data.watched)
    job = service.background.scan(source)
    logs.wrote(request, "source added", source=source.id, job=job.id)
    return source_view(source)


@get("/v1/sources/{source_id:str}", sync_to_thread=True, responses=documented(404), tags=["library"])
def get_source(service: Injected, source_id: Id) -> SourceView:
    """One source."""
    return source_view(_found(service, source_id))


@removal("/v1/sources/{source_id:str}", "library", opt=ADMIN)
def delete_source(request: Request[Any, Any, Any], service: Injected, source_id: Id) -> None:
    """Forget a source and its assets; the files stay where they are."""
    source = _found(service, source_id)
    with service.database.write() as connection:
        sources.delete_source(connection, source.id)
    logs.wrote(request, "source deleted", source=source.id)


@post(
    "/v1/sources/{source_id:str}/scan",
    status_code=202,
    sync_to_thread=True,
    responses={**documented(404, 409), 202: documented_body(JobView, "The job that scans.")},
    tags=["library"],
)
def scan(request: Request[Any, Any, Any], service: Injected, source_id: Id) -> Response[bytes]:
    """Bring a source up to date with its files, as a job."""
    source = _found(service, source_id)

    def act() -> JobView:
        job = service.background.scan(source)
        logs.wrote(request, "scan started", source=source.id, job=job.id)
        return job_view(job, service.clock())

    return once(service.database, request, source.id, 202, act)


def _found(service: Service, source_id: str) -> SourceRecord:
    number = id_of(source_id, "source")
    with service.database.read() as connection:
        return sources.get_source(connection, number)
