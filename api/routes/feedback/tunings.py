"""Spaces learn from judgements how their people ask, as a job beside searches, and forget it at once."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import JSONBody
from msgspec import Struct

from api.http.idempotency import once
from api.http.openapi import example
from api.http.problems import documented, documented_body
from api.monitoring import logs
from api.routes.dependencies import ADMIN, Id, Injected, removal
from api.routes.feedback.evaluations import CONTRAST_EXAMPLE, EVALUATION_EXAMPLE
from api.routes.feedback.results import judged_queries, result_of, space_of
from api.routes.jobs import JOB_EXAMPLE
from api.schemas import JobView
from api.serializers import job_view
from search.catalog.feedback.tunings import find_tuning, forget_tuning
from search.errors import NotFoundError
from search.evaluation.tuning import TuningOutcome

_OUTCOME = {
    "space": "starter", "used": True, "why": "it wins queries that were held out, by more than noise",
    "before": EVALUATION_EXAMPLE | {"name": "before"}, "after": EVALUATION_EXAMPLE | {"name": "after"},
    "gain": CONTRAST_EXAMPLE | {"first": "before", "second": "after"}, "senses": ["seen"], "reranker": "",
    "rerank_gain": None,
}  # fmt: skip
_LEARNING = JOB_EXAMPLE | {"kind": "tune", "source_id": None, "space_id": "1", "stage": "learning"}


class NewTuning(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a space learns. The judgements are those of the library."""

    rerank: bool = False  # measure, too, whether the second look that the settings name wins


@post(
    "/v1/spaces/{name:str}/tunings",
    status_code=202,
    sync_to_thread=True,
    opt=ADMIN | example(_LEARNING, request={"rerank": False}),
    responses={**documented(404, 409), 202: documented_body(JobView, "The job that learns.")},
    tags=["judgements"],
)
def tune_space(
    request: Request[Any, Any, Any], service: Injected, name: Id, data: JSONBody[NewTuning]
) -> Response[bytes]:
    """Learn from judgements, as a job. It is used only where it wins queries that were held out."""
    record = space_of(service, name)

    def act() -> JobView:
        job = service.job_runner.tune(
            record, lambda: service.engine_of(name), judged_queries(service), rerank=data.rerank
        )
        logs.wrote(request, "tuning started", space=record.id, job=job.id)
        return job_view(job, service.clock())

    return once(service.database, request, [name, data], 202, act)


@get(
    "/v1/spaces/{name:str}/tunings/{job_id:str}",
    sync_to_thread=True,
    opt=example(_OUTCOME),
    responses=documented(404),
    tags=["judgements"],
)
def get_tuning_outcome(service: Injected, name: Id, job_id: Id) -> TuningOutcome:
    """What came of learning, once its job is done, and whether it was taken into use."""
    return msgspec.json.decode(result_of(service, name, job_id, "tune"), type=TuningOutcome)


@get(
    "/v1/spaces/{name:str}/tuning",
    sync_to_thread=True,
    opt=example(_OUTCOME),
    responses=documented(404),
    tags=["judgements"],
)
def get_tuning(service: Injected, name: Id) -> TuningOutcome:
    """What the space has learnt and uses; 404 while it is as it was made."""
    record = space_of(service, name)
    with service.database.read() as connection:
        tuning = find_tuning(connection, record.id)
    if tuning is None:
        raise NotFoundError(f"the space {name!r} is as it was made: it uses nothing learnt from judgements")
    return msgspec.json.decode(tuning.record, type=TuningOutcome)


@removal("/v1/spaces/{name:str}/tuning", "judgements", opt=ADMIN)
def untune_space(request: Request[Any, Any, Any], service: Injected, name: Id) -> None:
    """Take back at once what the space has learnt."""
    record = space_of(service, name)
    with service.database.write() as connection:
        was_tuned = forget_tuning(connection, record.id)
    if not was_tuned:
        raise NotFoundError(f"the space {name!r} is as it was made: it uses nothing learnt from judgements")
    service.engine.refresh()
    logs.wrote(request, "tuning taken back", space=record.id)


ROUTES = (tune_space, get_tuning_outcome, get_tuning, untune_space)
