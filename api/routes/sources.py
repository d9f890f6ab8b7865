"""Sources: the roots that hold media."""

from __future__ import annotations

from typing import Any

from anyio import to_thread
from litestar import Request, Response, get, post
from litestar.params import JSONBody

from api.http import allowed_roots
from api.http.idempotency import once
from api.http.openapi import example, page_example
from api.http.paging import id_of
from api.http.problems import documented, documented_body
from api.http.requests import JSON_BYTES
from api.http.uploads import read_body
from api.monitoring import logs
from api.routes.dependencies import ADMIN, Id, Injected, removal
from api.routes.jobs import JOB_EXAMPLE
from api.schemas import JobView, Looked, NewSource, Page, SourceView
from api.serializers import job_view, source_view
from api.service import Service
from indexer.sources import overlaps
from indexer.sources.ignoring import checked_patterns
from indexer.sources.notifications import paths_of
from indexer.sources.scan import ScanReport, scan_paths
from indexer.sources.stores.profiles import checked_for_http
from search.catalog import sources
from search.catalog.records import SourceRecord
from search.errors import StoreError

SOURCE_EXAMPLE = {
    "id": "1", "root": "/media/2024", "recursive": True, "watched": True, "state": "active", "reason": None,
    "created_at": "2024-07-15T19:58:00Z", "scanned_at": "2024-07-15T19:59:00Z",
    "excludes": ["*.tmp.jpg", "drafts/"], "skipped": {"pdf files": 3, "@eaDir folders": 12}, "profile": None,
}  # fmt: skip


@get(
    "/v1/sources",
    sync_to_thread=True,
    opt=example(page_example(SOURCE_EXAMPLE)),
    responses=documented(),
    tags=["library"],
)
def list_sources(service: Injected) -> Page[SourceView]:
    """All sources, with the reason why one is paused."""
    with service.database.read() as connection:
        return Page(items=[source_view(record) for record in sources.list_sources(connection)])


@post(
    "/v1/sources",
    sync_to_thread=True,
    opt=ADMIN | example(SOURCE_EXAMPLE, request={"root": "/media/2024"}),
    responses={**documented(409), 201: documented_body(SourceView, "The source; its first scan has begun.")},
    tags=["library"],
)
def add_source(request: Request[Any, Any, Any], service: Injected, data: JSONBody[NewSource]) -> Response[bytes]:
    """Add a folder or store that the caller may add, and scan it. Adding it again changes nothing but the flags given.

    Where a source holds the folder already, this is that source; sources that lie in the folder become part of it.
    """
    return once(service.database, request, data, 201, lambda: _add(request, service, data))


def _add(request: Request[Any, Any, Any], service: Service, data: NewSource) -> SourceView:
    root = allowed_roots.checked(data.root, request.scope["state"]["caller"], service.settings)
    excludes = None if data.excludes is None else checked_patterns(data.excludes)
    profile = None if data.profile is None else checked_for_http(service.settings.home, root, data.profile)
    added = overlaps.add(service.database, service.settings, root, data.recursive, data.watched, excludes, profile)
    source = added.source
    job = service.job_runner.scan(source)
    logs.wrote(request, "source added", source=source.id, job=job.id)
    return source_view(source)


@get(
    "/v1/sources/{source_id:str}",
    sync_to_thread=True,
    opt=example(SOURCE_EXAMPLE),
    responses=documented(404),
    tags=["library"],
)
def get_source(service: Injected, source_id: Id) -> SourceView:
    """One source."""
    return source_view(_found(service, source_id))


@removal("/v1/sources/{source_id:str}", "library", opt=ADMIN)
def delete_source(request: Request[Any, Any, Any], service: Injected, source_id: Id) -> None:
    """Remove a source and its assets; the files stay where they are."""
    source = _found(service, source_id)
    with service.database.write() as connection:
        sources.delete_source(connection, source.id)
    logs.wrote(request, "source deleted", source=source.id)


@post(
    "/v1/sources/{source_id:str}/scan",
    status_code=202,
    sync_to_thread=True,
    opt=example(JOB_EXAMPLE),
    responses={**documented(404, 409), 202: documented_body(JobView, "The job that scans.")},
    tags=["library"],
)
def scan(request: Request[Any, Any, Any], service: Injected, source_id: Id) -> Response[bytes]:
    """Scan a source for new, changed and missing files, as a job."""
    source = _found(service, source_id)

    def act() -> JobView:
        job = service.job_runner.scan(source)
        logs.wrote(request, "scan started", source=source.id, job=job.id)
        return job_view(job, service.clock())

    return once(service.database, request, source.id, 202, act)


@post(
    "/v1/sources/{source_id:str}/events",
    status_code=202,
    opt=example({"looked_at": 1, "added": 1, "changed": 0, "missing": 0}),
    responses={**documented(404), 202: documented_body(Looked, "What was found at the objects that it names.")},
    tags=["library"],
)
async def events(request: Request[Any, Any, Any], service: Injected, source_id: Id) -> Looked:
    """Take a bucket's notice of new, changed and removed objects (S3's event JSON), and look at them now.

    Notices may come twice and in any order; where the store does not answer, this is 503 and the notice is to be
    sent again.
    """
    body = await read_body(request, JSON_BYTES)
    return await to_thread.run_sync(_look, request, service, source_id, body)


def _look(request: Request[Any, Any, Any], service: Service, source_id: str, body: bytes) -> Looked:
    source = _found(service, source_id)
    paths = paths_of(body, source)
    report = scan_paths(service.database, source, service.settings, paths) if paths else ScanReport()
    if report.paused:
        raise StoreError(report.paused)
    logs.wrote(request, "bucket's notice", source=source.id, objects=len(paths))
    return Looked(
        looked_at=len(paths),
        added=report.added + report.returned,
        changed=report.changed,
        missing=report.missing,
    )


def _found(service: Service, source_id: str) -> SourceRecord:
    number = id_of(source_id, "source")
    with service.database.read() as connection:
        return sources.get_source(connection, number)


ROUTES = (list_sources, add_source, get_source, delete_source, scan, events)
