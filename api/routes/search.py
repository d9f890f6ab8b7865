"""`POST /v1/search`: JSON, or multipart with files to search by."""

from __future__ import annotations

from typing import Any

import msgspec
from anyio import to_thread
from litestar import Request, post

from api.http.openapi import example
from api.http.problems import HttpError, documented
from api.http.requests import PICTURES_BYTES
from api.http.uploads import Form, read_body, receive
from api.queries import query_of
from api.routes.dependencies import Injected
from api.schemas import SearchBody
from api.service import Service
from search.results import SearchResult

_body = msgspec.json.Decoder(SearchBody)

HIT_EXAMPLE = {
    "asset": {
        "id": "12", "path": "/media/2024/harbour.mp4", "kind": "video", "width": 1920, "height": 1080,
        "duration_seconds": 93.4, "captured_at": "2024-07-14T09:30:00Z", "camera": None, "title": None,
        "language": "en", "latitude": None, "longitude": None,
    },
    "relevance": 0.87,
    "moments": [{
        "segment_id": 311, "signal": "frame", "start_seconds": 12.0, "end_seconds": 17.5, "text": None, "score": 0.31,
        "relevance": 0.85, "thumbnail": "/v1/segments/311/thumbnail",
    }],
}  # fmt: skip
RESULT_EXAMPLE = {
    "query": {
        "text": "harbour", "parts": [{"weight": 1.0, "text": "harbour"}], "aspects": [], "unknown": [],
        "unwanted": [], "limit": 20,
    },
    "hits": [HIT_EXAMPLE], "matched": True, "confident": True, "next_cursor": None, "space": "starter",
    "took_seconds": 0.0123,
}  # fmt: skip


@post(
    "/v1/search",
    status_code=200,
    opt={"scope": "read"} | example(RESULT_EXAMPLE),
    responses=documented(404, 415, 422),
    request_max_body_size=None,  # api.http.uploads has the limits: a video to search by may be large
    tags=["search"],
)
async def search(request: Request[Any, Any, Any], service: Injected) -> SearchResult:
    """Find assets by words, pictures, sounds, or likeness to known assets.

    Hits are sorted by `relevance`, a calibrated probability. `matched` is false when nothing in the
    library matches well; `confident` is true when such a first hit is right at least four times of five.
    Send files as multipart with the JSON body in the field `query`.
    """
    kind, _ = request.content_type
    if kind == "multipart/form-data":
        form = await receive(request, service.settings)
        return await to_thread.run_sync(_search_form, service, form)
    if kind not in ("application/json", ""):
        raise HttpError(415, "unsupported-media-type", "send application/json or multipart/form-data")
    body = decoded(await read_body(request, PICTURES_BYTES))
    return await to_thread.run_sync(_search, service, body)


def decoded(body: bytes | str) -> SearchBody:
    """The body of a search. Raises HttpError 400, which says where it is wrong."""
    try:
        return _body.decode(body or b"{}")
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HttpError(400, "validation", f"the search is not understood: {error}") from None


def _search(service: Service, body: SearchBody, form: Form | None = None) -> SearchResult:
    result = service.engine.search(
        query_of(body, service.settings, service.engine.active_space.space.image_input, form)
    )
    service.metrics.search_seconds.observe(result.took_seconds)
    return result


def _search_form(service: Service, form: Form) -> SearchResult:
    with form.consumed():
        return _search(service, decoded(form.fields.get("query", "{}")), form)


ROUTES = (search,)
