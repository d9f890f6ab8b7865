"""Embedding spaces: see, fill, compare, switch, drop."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import JSONBody

from api import logs
from api.idempotency import once
from api.params import ADMIN, Id, Injected, removal
from api.problems import documented, documented_body
from api.schemas import ComparisonBody, JobView, NewSpace, Page, SpaceView
from api.service import Service
from api.views import job_view, space_view
from search import space_changes
from search.catalog import spaces
from search.catalog.records import SpaceRecord
from search.errors import AccessError, MedleyError
from search.query import parse_query
from search.space_changes import Comparison
from search.spaces.specification import ClipSpecification


@get("/v1/spaces", sync_to_thread=True, responses=documented(), tags=["spaces"])
def list_spaces(service: Injected) -> Page[SpaceView]:
    """All spaces, with what each holds and lacks."""
    with service.database.read() as connection:
        records = spaces.list_spaces(connection)
    return Page(items=[_view(service, record) for record in records])


@post(
    "/v1/spaces",
    sync_to_thread=True,
    opt=ADMIN,
    responses={**documented(409), 201: documented_body(SpaceView, "The new, empty space.")},
    tags=["spaces"],
)
def create_space(request: Request[Any, Any, Any], service: Injected, data: JSONBody[NewSpace]) -> Response[bytes]:
    """Make a space of an open_clip model. Weights are fetched, so the setting allow_urls is needed."""
    if not service.settings.allow_urls:
        raise AccessError("fetching weights needs the setting allow_urls; or use `medley spaces create`")
    if data.model.startswith("local-dir:") or "/" in data.pretrained:
        raise AccessError("weights on this machine's disk can only be named on the command line")

    def act() -> SpaceView:
        wanted = ClipSpecification(model=data.model, pretrained=data.pretrained)
        record = space_changes.create(service.database, service.settings, data.name, wanted)
        logs.wrote(request, "space created", space=record.id)
        return _view(service, record)

    return once(service.database, request, data, 201, act)


@post(
    "/v1/spaces/{name:str}/fill",
    status_code=202,
    sync_to_thread=True,
    opt=ADMIN,
    responses={**documented(404, 409), 202: documented_body(JobView, "The job that fills.")},
    tags=["spaces"],
)
def fill_space(request: Request[Any, Any, Any], service: Injected, name: Id) -> Response[bytes]:
    """Embed what the space lacks, as a job, while the active space goes on serving."""
    record = _found(service, name)

    def act() -> JobView:
        job = service.background.fill(record, service.opened(record))
        logs.wrote(request, "filling started", space=record.id, job=job.id)
        return job_view(job, service.clock())

    return once(service.database, request, name, 202, act)


@post(
    "/v1/spaces/{name:str}/use",
    status_code=200,
    sync_to_thread=True,
    opt=ADMIN,
    responses=documented(404),
    tags=["spaces"],
)
def use_space(request: Request[Any, Any, Any], service: Injected, name: Id) -> SpaceView:
    """Switch every process to this space. Refused while something is missing from it."""
    record = space_changes.use(service.database, name, service.opened(_found(service, name)))
    logs.wrote(request, "space switched", space=record.id)
    return _view(service, record)


@post(
    "/v1/spaces/{name:str}/compare",
    status_code=200,
    sync_to_thread=True,
    responses=documented(404),
    opt={"scope": "read"},
    tags=["spaces"],
)
def compare_spaces(service: Injected, name: Id, data: JSONBody[ComparisonBody]) -> Page[Comparison]:
    """The same queries answered by the active space (left) and by this one (right), side by side."""
    _found(service, name)
    settings = service.settings
    queries = [
        msgspec.structs.replace(parse_query(text, max_characters=settings.max_query_characters), limit=data.limit)
        for text in data.queries
    ]
    beside = service.engine_beside(name)
    return Page(items=space_changes.compare(service.engine, beside, queries))


@removal("/v1/spaces/{name:str}", "spaces", opt=ADMIN)
def drop_space(request: Request[Any, Any, Any], service: Injected, name: Id) -> None:
    """Remove a space with its vectors; the active one can't be dropped."""
    record = _found(service, name)
    service.close_beside(name)
    space_changes.drop(service.database, service.settings, name)
    logs.wrote(request, "space dropped", space=record.id)


def _found(service: Service, name: str) -> SpaceRecord:
    with service.database.read() as connection:
        return spaces.get_space(connection, name)


def _view(service: Service, record: SpaceRecord) -> SpaceView:
    try:
        coverage = space_changes.coverage(service.database, record, service.opened(record))
    except MedleyError:
        coverage = []  # its weights are not on this machine; the list must still be shown
    return space_view(record, coverage)
