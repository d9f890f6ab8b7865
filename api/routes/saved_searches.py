"""Saved searches: live collections, the events of new files that match, and how webhooks are told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from anyio import to_thread
from litestar import Request, Response, get, patch, post
from litestar.params import JSONBody, QueryParameter
from litestar.response import ServerSentEventMessage, Stream

from api.http import server_sent_events
from api.http.auth import Caller
from api.http.idempotency import once
from api.http.openapi import example, page_example
from api.http.paging import id_behind, id_of, page
from api.http.problems import documented, documented_body, documented_stream
from api.monitoring import logs
from api.routes.dependencies import Cursor, Id, Injected, PageLimit, removal
from api.routes.search import RESULT_EXAMPLE
from api.schemas import (
    DeliveryView,
    NewSavedSearch,
    Page,
    Retried,
    SavedEventView,
    SavedSearchChange,
    SavedSearchView,
    Scope,
)
from api.serializers import delivery_view, saved_search_view
from api.service import Service
from search.alerts.saved_query import SavedQuery
from search.alerts.saved_searches import Change
from search.alerts.webhooks import event_body
from search.catalog.alerts import deliveries, saved_searches
from search.catalog.records import SavedEventRecord, SavedSearchRecord
from search.errors import AccessError
from search.results import SearchResult

_STREAMED_TOGETHER = 100
_SAVED = {
    "id": "3", "name": "Boats", "text": "a sailing boat", "filters": {"kind": ["image"]}, "relevance": None,
    "notify": True, "webhook_url": "https://example.org/medley", "events": 2, "created_at": "2024-07-15T19:58:00Z",
    "webhook_secret": None, "reach": None,
}  # fmt: skip
_NEW = {"name": "Boats", "text": "a sailing boat", "filters": {"kind": ["image"]}}
_EVENT = {
    "id": "51", "type": "saved_search.matched", "created_at": "2024-07-15T19:58:12Z",
    "saved_search": {"id": "3", "name": "Boats"}, "relevance": 0.91, "asset": None, "moment": None,
}  # fmt: skip
_DELIVERY = {
    "event_id": "51", "state": "delivered", "attempts": 1, "status": 204, "error": None, "next_attempt_at": None,
    "updated_at": "2024-07-15T19:58:13Z",
}  # fmt: skip

Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="Hits on one page.", required=False)]
After = Annotated[
    str | None, QueryParameter(description="Events behind this one; default: those from now on.", required=False)
]


@get(
    "/v1/saved-searches",
    sync_to_thread=True,
    opt=example(page_example(_SAVED)),
    responses=documented(),
    tags=["saved searches"],
)
def list_saved_searches(service: Injected, cursor: Cursor = None, limit: PageLimit = 100) -> Page[SavedSearchView]:
    """All saved searches."""
    with service.database.read() as connection:
        records = saved_searches.list_saved_searches(connection, id_behind(cursor), limit + 1)
        counts = saved_searches.event_counts(connection, [record.id for record in records])
    return page(
        records, limit, lambda record: record.id, lambda record: saved_search_view(record, counts.get(record.id, 0))
    )


@post(
    "/v1/saved-searches",
    sync_to_thread=True,
    opt=example(_SAVED | {"reach": {"needed": 0.7, "best": 0.82, "falls_short": False}}, request=_NEW),
    responses={
        **documented(409),
        201: documented_body(SavedSearchView, "Kept; a webhook's secret is shown only here."),
    },
    tags=["saved searches"],
)
def create_saved_search(
    request: Request[Any, Any, Any], service: Injected, data: JSONBody[NewSavedSearch]
) -> Response[bytes]:
    """Keep a search. New files that match it by calibrated probability raise events from now on."""
    _check_webhook(request, data.webhook_url)

    def act() -> SavedSearchView:
        record = service.engine.saved_searches.create(
            data.name,
            SavedQuery(text=data.text, filters=data.filters),
            relevance=data.relevance,
            notify=data.notify,
            webhook_url=data.webhook_url,
        )
        logs.wrote(request, "search saved", saved_search=record.id)
        return saved_search_view(record, 0, record.webhook_secret, service.engine.saved_searches.reach(record))

    return once(service.database, request, msgspec.json.encode(data).decode(), 201, act)


@get(
    "/v1/saved-searches/events",
    opt={"uncompressed": True, "scope": "read"},
    responses={**documented(), 200: documented_stream("`match` events, each with its id, for `Last-Event-ID`.")},
    tags=["saved searches"],
)
async def stream_events(request: Request[Any, Any, Any], service: Injected, after: After = None) -> Stream:
    """Files that match saved searches, as server-sent events as they happen. Continues after `Last-Event-ID`."""
    wanted = request.headers.get("last-event-id") or after
    start = id_of(wanted, "event") if wanted else await to_thread.run_sync(_latest, service)
    return server_sent_events.stream(_events(service, start))


@get(
    "/v1/saved-searches/{saved_id:str}",
    opt=example(_SAVED),
    responses=documented(404),
    tags=["saved searches"],
)
async def get_saved_search(service: Injected, saved_id: Id) -> SavedSearchView:
    """One saved search."""
    # Litestar wraps the first of three handlers of one path twice, and then answers with a coroutine.
    return await to_thread.run_sync(lambda: _view(service, _found(service, saved_id)))


@patch(
    "/v1/saved-searches/{saved_id:str}",
    sync_to_thread=True,
    opt=example(_SAVED, request={"relevance": 0.9}),
    responses=documented(404),
    tags=["saved searches"],
)
def change_saved_search(
    request: Request[Any, Any, Any], service: Injected, saved_id: Id, data: JSONBody[SavedSearchChange]
) -> SavedSearchView:
    """Change what the body names. A new webhook gets a new secret, shown only here."""
    before = _found(service, saved_id)
    if data.webhook_url is not msgspec.UNSET:
        _check_webhook(request, data.webhook_url)
    change = Change(**{name: getattr(data, name) for name in Change.__struct_fields__})
    record = service.engine.saved_searches.change(before.id, change)
    logs.wrote(request, "saved search changed", saved_search=record.id)
    fresh = record.webhook_secret if record.webhook_secret != before.webhook_secret else None
    return _view(service, record, fresh)


@removal("/v1/saved-searches/{saved_id:str}", "saved searches")
def remove_saved_search(request: Request[Any, Any, Any], service: Injected, saved_id: Id) -> None:
    """Forget a saved search, with its events."""
    with service.database.write() as connection:
        saved_searches.remove_saved_search(connection, id_of(saved_id, "saved search"))
    logs.wrote(request, "saved search removed", saved_search=saved_id)


@get(
    "/v1/saved-searches/{saved_id:str}/results",
    sync_to_thread=True,
    opt=example(RESULT_EXAMPLE),
    responses=documented(404),
    tags=["saved searches"],
)
def search_again(service: Injected, saved_id: Id, cursor: Cursor = None, limit: Limit = 20) -> SearchResult:
    """What it finds now, as a search would."""
    record = _found(service, saved_id)
    query = service.engine.saved_searches.query(record)
    most = min(limit, service.settings.max_limit)
    return service.engine.search(msgspec.structs.replace(query, limit=most, cursor=cursor))


@get(
    "/v1/saved-searches/{saved_id:str}/events",
    sync_to_thread=True,
    opt=example(page_example(_EVENT)),
    responses=documented(404),
    tags=["saved searches"],
)
def list_events(service: Injected, saved_id: Id, cursor: Cursor = None, limit: PageLimit = 100) -> Page[SavedEventView]:
    """New files that matched it, the newest first."""
    record = _found(service, saved_id)
    with service.database.read() as connection:
        events = saved_searches.events_before(connection, id_behind(cursor), record.id, limit + 1)
    return page(events, limit, lambda event: event.id, lambda event: _event_view(service, event, record))


@get(
    "/v1/saved-searches/{saved_id:str}/deliveries",
    sync_to_thread=True,
    opt=example(page_example(_DELIVERY)),
    responses=documented(404),
    tags=["saved searches"],
)
def list_deliveries(
    service: Injected, saved_id: Id, cursor: Cursor = None, limit: PageLimit = 100
) -> Page[DeliveryView]:
    """What became of its events on their way to the webhook, the newest first. `dead` ones are given up."""
    record = _found(service, saved_id)
    with service.database.read() as connection:
        records = deliveries.list_deliveries(connection, record.id, id_behind(cursor), limit + 1)
    return page(records, limit, lambda delivery: delivery.event_id, delivery_view)


@post(
    "/v1/saved-searches/{saved_id:str}/deliveries/retry",
    status_code=200,
    sync_to_thread=True,
    opt=example({"count": 2}),
    responses={**documented(404, 409), 200: documented_body(Retried, "How many are sent again.")},
    tags=["saved searches"],
)
def retry_deliveries(request: Request[Any, Any, Any], service: Injected, saved_id: Id) -> Response[bytes]:
    """Send the events that were given up once more."""
    record = _found(service, saved_id)

    def act() -> Retried:
        with service.database.write() as connection:
            count = deliveries.retry_deliveries(connection, record.id)
        logs.wrote(request, "webhooks retried", saved_search=record.id, count=count)
        return Retried(count=count)

    return once(service.database, request, record.id, 200, act)


async def _events(service: Service, after: int) -> AsyncIterator[ServerSentEventMessage]:
    """All streams share the look at what the latest event is, and read events only when there is another."""
    async for latest in service.looks.values("saved searches", lambda: _latest(service)):
        if latest is None:
            yield server_sent_events.keepalive()
            continue
        while views := await to_thread.run_sync(_views_after, service, after):
            for view in views:
                after = int(view.id)
                message = server_sent_events.event("match", view)
                message.id = view.id
                yield message


def _views_after(service: Service, after: int) -> list[SavedEventView]:
    with service.database.read() as connection:
        events = saved_searches.events_after(connection, after, limit=_STREAMED_TOGETHER)
        known = saved_searches.saved_searches_of(connection, sorted({event.saved_search_id for event in events}))
    records = {record.id: record for record in known}
    return [_event_view(service, event, records[event.saved_search_id]) for event in events]


def _latest(service: Service) -> int:
    with service.database.read() as connection:
        return saved_searches.latest_event(connection)


def _event_view(service: Service, event: SavedEventRecord, record: SavedSearchRecord) -> SavedEventView:
    return msgspec.convert(event_body(service.database, event, record), SavedEventView)


def _found(service: Service, saved_id: str) -> SavedSearchRecord:
    with service.database.read() as connection:
        return saved_searches.get_saved_search(connection, id_of(saved_id, "saved search"))


def _view(service: Service, record: SavedSearchRecord, secret: str | None = None) -> SavedSearchView:
    with service.database.read() as connection:
        counts = saved_searches.event_counts(connection, [record.id])
    return saved_search_view(record, counts.get(record.id, 0), secret)


def _check_webhook(request: Request[Any, Any, Any], url: str | None) -> None:
    """A webhook sends contents of the library elsewhere, so only an admin may set its URL."""
    caller: Caller = request.scope["state"]["caller"]
    if url is not None and Scope.ADMIN not in caller.scopes:
        raise AccessError("a webhook sends what is found to another place: that needs the scope 'admin'")


ROUTES = (
    list_saved_searches,
    create_saved_search,
    stream_events,
    get_saved_search,
    change_saved_search,
    remove_saved_search,
    search_again,
    list_events,
    list_deliveries,
    retry_deliveries,
)
