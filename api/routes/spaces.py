"""Embedding spaces: list, create, fill, compare, switch, drop."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import JSONBody

from api.http.idempotency import once
from api.http.openapi import example, page_example
from api.http.problems import documented, documented_body
from api.monitoring import logs
from api.routes.dependencies import ADMIN, Id, Injected, removal
from api.routes.jobs import JOB_EXAMPLE
from api.schemas import ComparisonBody, JobView, NewSpace, Page, SpaceView
from api.serializers import job_view, space_view
from api.service import Service
from search import space_lifecycle
from search.catalog import spaces
from search.catalog.records import SpaceRecord
from search.errors import AccessError, MedleyError, UsageError
from search.query.parse import parse_query
from search.signals import Sense
from search.space_lifecycle import Comparison
from search.spaces import registry
from search.spaces.specification import Specification

_SPACE = {
    "name": "starter", "state": "active", "fingerprint": "c82e301114b1", "created_at": "2024-07-15T19:58:00Z",
    "coverage": [{"signal": "image", "segments": 268, "embedded": 268, "missing": 0, "bytes_when_full": 205824}],
    "notes": [],
}  # fmt: skip
_NEW_SPACE = {"name": "next", "model": "ViT-B-32", "pretrained": "laion2b_s34b_b79k"}
_FILLING = JOB_EXAMPLE | {"kind": "fill", "source_id": None, "space_id": "2", "stage": "filling"}
_QUERIES = {"queries": ["a dog on the beach", "harbour"], "limit": 5}


@get("/v1/spaces", sync_to_thread=True, opt=example(page_example(_SPACE)), responses=documented(), tags=["spaces"])
def list_spaces(service: Injected) -> Page[SpaceView]:
    """All spaces, with what each holds and lacks."""
    with service.database.read() as connection:
        records = spaces.list_spaces(connection)
    return Page(items=[_view(service, record) for record in records])


@post(
    "/v1/spaces",
    sync_to_thread=True,
    opt=ADMIN | example(_SPACE | {"name": "next", "state": "filling"}, request=_NEW_SPACE),
    responses={**documented(409), 201: documented_body(SpaceView, "The new, empty space.")},
    tags=["spaces"],
)
def create_space(request: Request[Any, Any, Any], service: Injected, data: JSONBody[NewSpace]) -> Response[bytes]:
    """Make a space of models of the hub. Weights are fetched, so the setting allow_downloads is needed."""
    if not service.settings.allow_downloads:
        raise AccessError("fetching weights needs the setting allow_downloads; or use `medley spaces create`")
    wanted = wanted_of(data)

    def act() -> SpaceView:
        record = space_lifecycle.create(service.database, service.settings, data.name, wanted)
        logs.wrote(request, "space created", space=record.id)
        return _view(service, record)

    return once(service.database, request, data, 201, act)


@post(
    "/v1/spaces/{name:str}/fill",
    status_code=202,
    sync_to_thread=True,
    opt=ADMIN | example(_FILLING),
    responses={**documented(404, 409), 202: documented_body(JobView, "The job that fills.")},
    tags=["spaces"],
)
def fill_space(request: Request[Any, Any, Any], service: Injected, name: Id) -> Response[bytes]:
    """Embed what the space lacks, as a job, while the active space keeps serving."""
    record = _found(service, name)

    def act() -> JobView:
        job = service.job_runner.fill(record, service.opened(record))
        logs.wrote(request, "filling started", space=record.id, job=job.id)
        return job_view(job, service.clock())

    return once(service.database, request, name, 202, act)


@post(
    "/v1/spaces/{name:str}/use",
    status_code=200,
    sync_to_thread=True,
    opt=ADMIN | example(_SPACE),
    responses=documented(404),
    tags=["spaces"],
)
def use_space(request: Request[Any, Any, Any], service: Injected, name: Id) -> SpaceView:
    """Switch every process to this space. Refused while something is missing from it."""
    record = space_lifecycle.use(service.database, name, service.opened(_found(service, name)))
    logs.wrote(request, "space switched", space=record.id)
    return _view(service, record)


@post(
    "/v1/spaces/{name:str}/compare",
    status_code=200,
    sync_to_thread=True,
    responses=documented(404),
    opt={"scope": "read"} | example(request=_QUERIES),
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
    return Page(items=space_lifecycle.compare(service.engine, beside, queries))


@removal("/v1/spaces/{name:str}", "spaces", opt=ADMIN)
def drop_space(request: Request[Any, Any, Any], service: Injected, name: Id) -> None:
    """Remove a space with its vectors; the active one can't be dropped."""
    record = _found(service, name)
    service.close_beside(name)
    space_lifecycle.drop(service.database, service.settings, name)
    logs.wrote(request, "space dropped", space=record.id)


def wanted_of(data: NewSpace) -> Specification:
    """What a body asks for. Raises UsageError, and AccessError for files of this machine."""
    named = {Sense.SEEN: data.images, Sense.SAID: data.text, Sense.HEARD: data.sounds}
    by_sense = {sense: model for sense, model in named.items() if model}
    whole = f"{data.model}@{data.pretrained}" if data.model else None
    if bool(whole) == bool(by_sense):
        raise UsageError("name either `model`, or some of `images`, `text` and `sounds`")
    if any(registry.names_local_files(model) for model in (whole, *by_sense.values()) if model):
        raise AccessError("weights on this machine's disk can only be named on the command line")
    choice = registry.Choice(dimension=data.dimension)
    if by_sense:
        return registry.describe_parts(by_sense, {Sense.SAID: choice})
    return registry.describe(data.model, data.pretrained, choice)


def _found(service: Service, name: str) -> SpaceRecord:
    with service.database.read() as connection:
        return spaces.get_space(connection, name)


def _view(service: Service, record: SpaceRecord) -> SpaceView:
    try:
        coverage = space_lifecycle.coverage(service.database, record, service.opened(record))
    except MedleyError:
        coverage = []  # its weights are not on this machine; the list must still be shown
    return space_view(record, coverage)


ROUTES = (list_spaces, create_space, fill_space, use_space, compare_spaces, drop_space)
