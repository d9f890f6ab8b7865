"""Assets: list, details, contents, segments, deletion."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any

from litestar import Request, Response, get, route
from litestar.enums import HttpMethod
from litestar.params import QueryParameter

from api.http import file_responses, uploads_folder
from api.http.openapi import example, page_example
from api.http.paging import id_behind, id_of, page
from api.http.problems import documented, documented_file
from api.monitoring import logs
from api.routes.dependencies import Cursor, Id, Injected, PageLimit, removal
from api.routes.segments import SEGMENT_EXAMPLE
from api.schemas import AssetDetails, Page, SegmentView
from api.serializers import asset_details, segment_view
from api.service import Service
from search.catalog import assets, segments
from search.catalog.records import AssetRecord
from search.catalog.states import AssetStatus
from search.query.parse import condition_of
from search.results import Filters, Kind
from search.signals import Signal

Kinds = Annotated[list[Kind] | None, QueryParameter(description="Only these kinds.", required=False)]
Globs = Annotated[
    list[str] | None, QueryParameter(description="Only paths that match one of these globs.", required=False)
]

_ASSET = {
    "id": "12", "path": "/media/2024/harbour.mp4", "kind": "video", "status": "indexed", "source_id": "1",
    "size_bytes": 18734112, "modified_at": "2024-07-14T09:32:00Z", "width": 1920, "height": 1080,
    "duration_seconds": 93.4, "captured_at": "2024-07-14T09:30:00+02:00", "indexed_at": "2024-07-15T20:00:00Z",
}  # fmt: skip


@get("/v1/assets", sync_to_thread=True, opt=example(page_example(_ASSET)), responses=documented(), tags=["library"])
def list_assets(
    service: Injected,
    kind: Kinds = None,
    path: Globs = None,
    status: Annotated[AssetStatus | None, QueryParameter(description="Only this state.", required=False)] = None,
    cursor: Cursor = None,
    limit: PageLimit = 100,
) -> Page[AssetDetails]:
    """All known assets, oldest first."""
    condition = condition_of(Filters(kind=tuple(kind or ()), path=tuple(path or ())))
    with service.database.read() as connection:
        records = assets.list_assets(connection, condition, id_behind(cursor), limit + 1, status)
    return page(records, limit, lambda record: record.id, asset_details)


@get("/v1/assets/{asset_id:str}", sync_to_thread=True, opt=example(_ASSET), responses=documented(404), tags=["library"])
def get_asset(service: Injected, asset_id: Id) -> AssetDetails:
    """Everything known about one asset."""
    return asset_details(_found(service, asset_id))


@get(
    "/v1/assets/{asset_id:str}/segments",
    sync_to_thread=True,
    opt=example(page_example(SEGMENT_EXAMPLE)),
    responses=documented(404),
    tags=["library"],
)
def list_segments(
    service: Injected,
    asset_id: Id,
    signal: Annotated[Signal | None, QueryParameter(description="Only this signal.", required=False)] = None,
    cursor: Cursor = None,
    limit: PageLimit = 100,
) -> Page[SegmentView]:
    """The searchable units of one asset, in the order in which they were made."""
    asset = _found(service, asset_id)
    with service.database.read() as connection:
        records = segments.segments_of(connection, asset.id, signal, id_behind(cursor), limit + 1)
    return page(records, limit, lambda record: record.id, segment_view)


@route(
    "/v1/assets/{asset_id:str}/content",
    http_method=[HttpMethod.GET, HttpMethod.HEAD],
    sync_to_thread=True,
    opt={"uncompressed": True, "unlimited": True, "scope": "read"},
    responses={
        **documented(404, 416),
        200: documented_file("The whole file."),
        206: documented_file("The range that was asked for."),
    },
    tags=["library"],
)
def content(request: Request[Any, Any, Any], service: Injected, asset_id: Id) -> Response[Any]:
    """The file itself, with ranges and validators."""
    asset = _found(service, asset_id)
    file = service.opened_file(asset)
    return file_responses.respond(file, request.method, request.headers, PurePath(asset.path).name)


@removal("/v1/assets/{asset_id:str}", "library")
def delete_asset(request: Request[Any, Any, Any], service: Injected, asset_id: Id) -> None:
    """Remove an asset and its segments. The file stays, unless it was uploaded over HTTP."""
    asset = _found(service, asset_id)
    with service.database.write() as connection:
        assets.remove_asset(connection, asset.id)
    uploads_folder.discard(service.settings, service.database, asset)
    logs.wrote(request, "asset deleted", asset=asset.id)


def _found(service: Service, asset_id: str) -> AssetRecord:
    number = id_of(asset_id, "asset")
    with service.database.read() as connection:
        return assets.get_asset(connection, number)


ROUTES = (list_assets, get_asset, list_segments, content, delete_asset)
