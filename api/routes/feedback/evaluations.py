"""How well spaces find what people judged to be right: measured as a job, beside searches."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from api.http.idempotency import once
from api.http.openapi import example
from api.http.problems import documented, documented_body
from api.monitoring import logs
from api.routes.dependencies import Id, Injected
from api.routes.feedback.results import judged_queries, result_of, space_of
from api.routes.jobs import JOB_EXAMPLE
from api.schemas import JobView
from api.serializers import job_view
from search.evaluation.evaluate import DEPTH
from search.evaluation.report import EvaluationReport

_ESTIMATE = {"mean": 0.61, "low": 0.57, "high": 0.65}
_CONTRAST = {"mean": 0.03, "low": 0.01, "high": 0.06, "p": 0.009}
EVALUATION_EXAMPLE = {
    "name": "starter", "queries": 120, "recall": _ESTIMATE, "ndcg": _ESTIMATE,
    "calibration_error": {"mean": 0.08, "low": 0.06, "high": 0.11}, "right": 310, "wrong": 95, "depth": 10,
}  # fmt: skip
CONTRAST_EXAMPLE = {"first": "starter", "second": "best", "recall": _CONTRAST, "ndcg": _CONTRAST}
_REPORT = {
    "evaluations": [EVALUATION_EXAMPLE, EVALUATION_EXAMPLE | {"name": "best"}], "contrasts": [CONTRAST_EXAMPLE],
    "unknown_paths": [],
}  # fmt: skip
_MEASURING = JOB_EXAMPLE | {"kind": "evaluate", "source_id": None, "space_id": "1", "stage": "starter"}


class NewEvaluation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to measure a space by, and against. The judgements are those of the library."""

    others: Annotated[tuple[str, ...], Meta(max_length=8)] = ()  # names of spaces, each held against this one
    depth: Annotated[int, Meta(ge=1, le=100)] = DEPTH  # how many hits of a query count
    rerank: bool = False  # measure each with a second look, too


@post(
    "/v1/spaces/{name:str}/evaluations",
    status_code=202,
    sync_to_thread=True,
    opt=example(_MEASURING, request={"others": ["best"], "depth": 10}),
    responses={**documented(404, 409), 202: documented_body(JobView, "The job that measures.")},
    tags=["judgements"],
)
def evaluate_space(
    request: Request[Any, Any, Any], service: Injected, name: Id, data: JSONBody[NewEvaluation]
) -> Response[bytes]:
    """Ask every judged query that has a right answer, as a job: recall, nDCG and calibration, space against space."""
    record = space_of(service, name)
    for other in data.others:
        space_of(service, other)

    def act() -> JobView:
        judged = judged_queries(service)
        job = service.job_runner.evaluate(
            record, lambda: map(service.engine_of, (name, *data.others)), judged, data.depth, rerank=data.rerank
        )
        logs.wrote(request, "evaluation started", space=record.id, job=job.id)
        return job_view(job, service.clock())

    return once(service.database, request, [name, data], 202, act)


@get(
    "/v1/spaces/{name:str}/evaluations/{job_id:str}",
    sync_to_thread=True,
    opt=example(_REPORT),
    responses=documented(404),
    tags=["judgements"],
)
def get_evaluation(service: Injected, name: Id, job_id: Id) -> EvaluationReport:
    """What came of an evaluation, once its job is done."""
    return msgspec.json.decode(result_of(service, name, job_id, "evaluate"), type=EvaluationReport)


ROUTES = (evaluate_space, get_evaluation)
