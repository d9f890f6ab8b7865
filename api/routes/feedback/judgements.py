"""Judgements: whether a hit is a right answer to its query, as people say. Spaces are measured and tuned by them."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, get, post
from litestar.params import JSONBody, QueryParameter
from msgspec import Meta, Struct

from api.http.openapi import example, page_example
from api.http.paging import id_behind, id_of, page
from api.http.problems import documented
from api.monitoring import logs
from api.routes.dependencies import Cursor, Id, Injected, PageLimit, removal
from api.schemas import Page
from search.catalog.feedback import judgements
from search.catalog.feedback.tunings import forget_tuning
from search.catalog.records import JudgementRecord
from search.catalog.spaces import list_spaces
from search.query.parse import check_length
from search.times import iso

_JUDGEMENT = {
    "id": "3", "query": "grandma's garden", "asset_id": "12", "path": "/media/2024/roses.jpg", "relevant": 1,
    "created_at": "2024-07-15T19:58:00Z",
}  # fmt: skip
ALL = "all"
OfQuery = Annotated[
    str | None, QueryParameter(name="query", description="Only of this query, as typed.", required=False)
]


class NewJudgement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user's judgement of a hit. It replaces an earlier one of the same query and asset."""

    query: Annotated[str, Meta(min_length=1)]  # as typed
    asset: str  # id
    relevant: Annotated[int, Meta(ge=0, le=3)] = 1  # 0: not at all


class JudgementView(Struct, frozen=True, kw_only=True):
    """A judgement as answers show it."""

    id: str
    query: str
    asset_id: str
    path: str
    relevant: int
    created_at: str


@get(
    "/v1/judgements",
    sync_to_thread=True,
    opt=example(page_example(_JUDGEMENT)),
    responses=documented(),
    tags=["judgements"],
)
def list_judgements(
    service: Injected, of_query: OfQuery = None, cursor: Cursor = None, limit: PageLimit = 100
) -> Page[JudgementView]:
    """All judgements, oldest first, or those of one query."""
    with service.database.read() as connection:
        records = judgements.list_judgements(connection, id_behind(cursor) or 0, limit + 1, of_query)
    return page(records, limit, lambda record: record.id, _view)


@post(
    "/v1/judgements",
    status_code=200,
    sync_to_thread=True,
    opt=example(_JUDGEMENT, request={"query": "grandma's garden", "asset": "12", "relevant": 1}),
    responses=documented(404),
    tags=["judgements"],
)
def judge(request: Request[Any, Any, Any], service: Injected, data: JSONBody[NewJudgement]) -> JudgementView:
    """Say whether a hit is a right answer. Kept in the catalogue of this library and nowhere else."""
    check_length(data.query, service.settings.max_query_characters)
    with service.database.write() as connection:
        made = judgements.judge(connection, data.query, id_of(data.asset, "asset"), data.relevant)
    logs.wrote(request, "hit judged", asset=made.asset_id)
    return _view(made)


@removal("/v1/judgements/{judgement_id:str}", "judgements")
def forget_judgement(request: Request[Any, Any, Any], service: Injected, judgement_id: Id) -> None:
    """Take one back; `all` takes all back, and what spaces have learnt from them."""
    with service.database.write() as connection:
        if judgement_id != ALL:
            judgements.forget_judgement(connection, id_of(judgement_id, "judgement"))
            return
        count = judgements.forget_judgements(connection)
        for record in list_spaces(connection):
            forget_tuning(connection, record.id)
    logs.wrote(request, "judgements forgotten", count=count)


def _view(record: JudgementRecord) -> JudgementView:
    return JudgementView(
        id=str(record.id),
        query=record.query,
        asset_id=str(record.asset_id),
        path=record.path,
        relevant=record.relevant,
        created_at=iso(record.created_at),
    )


ROUTES = (list_judgements, judge, forget_judgement)
