"""Assets: listing, details, bytes, segments, deletion."""

from __future__ import annotations

import os
from pathlib import Path, PurePath
from typing import Annotated, Any

from litestar import Request, Response, get, route
from litestar.enums import HttpMethod
from litestar.params import QueryParameter

from api import logs, media
from api.paging import id_behind, id_of, page
from api.params import Cursor, Id, Injected, PageLimit, removal
from api.problems import documented, documented_file
from api.schemas import AssetDetails, AssetStatus, Page, SegmentView
from api.service import Service
from api.views import asset_details, segment_view
from search.catalog import assets, segments
from search.catalog.records import AssetRecord
from search.query import condition_of
from search.results import Filters, Kind, Signal

Kinds = Annotated[list[Kind] | None, QueryParameter(description="Only these kinds.", required=False)]
Globs = Annotated[
    list[str] | None, QueryParameter(description="Only paths that match one of these globs.", required=False)
]


@get("/v1/assets", sync_to_thread=True, responses=documented(), tags=["library"])
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


@get("/v1/assets/{asset_id:str}", sync_to_thread=True, responses=documented(404), tags=["library"])
def get_asset(service: Injected, asset_id: Id) -> AssetDetails:
    """Everything known about one asset."""
    return asset_details(_found(service, asset_id))


@get("/v1/assets/{asset_id:str}/segments", sync_to_thread=True, responses=documented(404), tags=["library"])
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
    """The file itself; understands ranges and validators."""
    asset = _found(service, asset_id)
    file = service.opened_file(asset)
    return media.respond(file, request.method, request.headers, PurePath(asset.path).name)


@removal("/v1/assets/{asset_id:str}", "library")
def delete_asset(request: Request[Any, Any, Any], service: Injected, asset_id: Id) -> None:
    """Forget an asset and its segments. The file stays, except when it was uploaded here."""
    asset = _found(service, asset_id)
    with service.database.write() as connection:
        assets.delete_asset(connection, asset.id)
    path = Path(os.fsdecode(asset.path_bytes))
    if path.is_relative_to(service.settings.uploads) and not path.is_symlink():
        path.unlink(missing_ok=True)  # we put it there
    logs.wrote(request, "asset deleted", asset=asset.id)


def _found(service: Service, asset_id: str) -> AssetRecord:
    number = id_of(asset_id, "asset")
    with service.database.read() as connection:
        return assets.get_asset(connection, number)
