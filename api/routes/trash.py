"""Removing copies into the trash folder, and putting them back; only where the setting `allow_removal` says so."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from litestar import Request, Response, get, post
from litestar.params import JSONBody

from api.http.idempotency import once
from api.http.openapi import example, page_example
from api.http.paging import id_of
from api.http.problems import documented, documented_body
from api.monitoring import logs
from api.routes.dependencies import ADMIN, Id, Injected
from api.schemas import Page, Removal
from api.service import Service
from api.trash import Trash, TrashItem
from search.catalog import assets
from search.catalog.records import AssetRecord
from search.errors import UsageError

_Outcome = TypeVar("_Outcome")

_REMOVED = {
    "id": "0f8f2c9e5a1b4c7d9e3f6a2b1c4d5e6f",
    "asset_id": "12",
    "path": "/media/2024/copy.jpg",
    "size_bytes": 2400000,
}


@get(
    "/v1/trash",
    sync_to_thread=True,
    opt=ADMIN | example(page_example(_REMOVED)),
    responses=documented(),
    tags=["library"],
)
def list_trash(service: Injected) -> Page[TrashItem]:
    """The files that were removed and can be put back."""
    return Page(items=Trash(service.settings, service.database).items())


@post(
    "/v1/trash",
    status_code=200,
    sync_to_thread=True,
    opt=ADMIN | example(page_example(_REMOVED), request={"assets": ["12"], "keep": ["7"]}),
    responses={**documented(404, 409), 200: documented_body(Page[TrashItem], "What can be put back.")},
    tags=["library"],
)
def remove(request: Request[Any, Any, Any], service: Injected, data: JSONBody[Removal]) -> Response[bytes]:
    """Move files to the trash folder while others are kept, which must be there."""
    return once(service.database, request, data, 200, lambda: _remove(request, service, data))


def _remove(request: Request[Any, Any, Any], service: Service, data: Removal) -> Page[TrashItem]:
    gone = [id_of(asset, "asset") for asset in data.assets]
    kept = [id_of(asset, "asset") for asset in data.keep]
    for asset in (*gone, *kept):
        service.opened_file(_asset(service, asset)).close()  # refuses what does not truly lie in its source
    items = _told(lambda: Trash(service.settings, service.database).remove(gone, kept))
    logs.wrote(request, "files removed", count=len(items))
    return Page(items=items)


@post(
    "/v1/trash/{item_id:str}/restore",
    status_code=200,
    sync_to_thread=True,
    opt=ADMIN | example(_REMOVED),
    responses={**documented(404, 409), 200: documented_body(TrashItem, "What was put back.")},
    tags=["library"],
)
def restore(request: Request[Any, Any, Any], service: Injected, item_id: Id) -> Response[bytes]:
    """Put a file back to where it lay; it is searchable again at once."""
    return once(service.database, request, item_id, 200, lambda: _restore(request, service, item_id))


def _restore(request: Request[Any, Any, Any], service: Service, item_id: str) -> TrashItem:
    item = _told(lambda: Trash(service.settings, service.database).restore(item_id))
    logs.wrote(request, "file put back", asset=item.asset_id)
    return item


def _asset(service: Service, asset_id: int) -> AssetRecord:
    with service.database.read() as connection:
        return assets.get_asset(connection, asset_id)


def _told(work: Callable[[], _Outcome]) -> _Outcome:
    """What the file system refuses, as an error for people."""
    try:
        return work()
    except OSError as error:
        raise UsageError(f"a file could not be moved: {os.strerror(error.errno or 0)}") from error


ROUTES = (list_trash, remove, restore)
