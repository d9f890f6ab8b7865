"""What many handlers share: parameters, the scopes they need, and how removals are declared."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import delete
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter

from api.http.problems import documented
from api.service import Service

Injected = NamedDependency[Service]
Id = Annotated[str, PathParameter(description="Its id.")]
Cursor = Annotated[str | None, QueryParameter(description="`next_cursor` of the page before.", required=False)]
PageLimit = Annotated[int, QueryParameter(ge=1, le=1000, description="Items on one page.", required=False)]
ADMIN = {"scope": "admin"}


def removal(path: str, tag: str, **more: Any) -> delete:
    """The decorator of a handler that removes what `path` names: 204, or 404 where that does not exist."""
    return delete(path, status_code=204, sync_to_thread=True, responses=documented(404), tags=[tag], **more)
