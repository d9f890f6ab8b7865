"""Folders on the server, for callers who may add one of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from litestar import Request, get
from litestar.params import QueryParameter

from api import folders
from api.http import allowed_roots
from api.http.openapi import example
from api.http.problems import documented
from api.routes.dependencies import ADMIN, Injected
from api.schemas import FolderListing
from search.errors import UsageError

Chosen = Annotated[str | None, QueryParameter(description="An absolute path; none: where to begin.", required=False)]

_FOLDERS = {
    "path": "/media", "parent": None, "media": 3, "needs": None,
    "folders": [{"name": "2024", "path": "/media/2024", "readable": True}],
}  # fmt: skip


@get("/v1/folders", sync_to_thread=True, opt=ADMIN | example(_FOLDERS), responses=documented(), tags=["library"])
def list_folders(request: Request[Any, Any, Any], service: Injected, path: Chosen = None) -> FolderListing:
    """The folders in a folder that may become a source, to choose one; without `path` the places to begin at."""
    caller = request.scope["state"]["caller"]
    allowed = allowed_roots.roots_for(caller, service.settings)
    if path is None:
        needs = None if allowed else allowed_roots.NEEDS_SETTING
        return FolderListing(path=None, parent=None, folders=folders.places(allowed), media=0, needs=needs)
    real = Path(allowed_roots.checked(path, caller, service.settings))
    try:
        return folders.listing(real, allowed)
    except OSError as error:
        raise UsageError(f"{path} can't be listed: {os.strerror(error.errno or 0)}") from None


ROUTES = (list_folders,)
