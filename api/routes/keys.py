"""API keys over HTTP, for the page's settings; the first one can only be made on the command line."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get, post
from litestar.params import JSONBody

from api.http.idempotency import once
from api.http.openapi import example, page_example
from api.http.paging import id_of
from api.http.problems import documented, documented_body
from api.keys import new_key
from api.monitoring import logs
from api.routes.dependencies import ADMIN, Id, Injected, removal
from api.schemas import CreatedKey, KeyView, NewKey, Page
from api.serializers import key_view
from search.catalog import keys
from search.errors import AccessError

_KEY = {
    "id": "1", "name": "laptop", "scopes": ["read"], "created_at": "2024-07-15T19:58:00Z", "used_at": None,
    "revoked_at": None,
}  # fmt: skip
_NEW_KEY = {"name": "laptop", "scopes": ["read"]}
_CREATED = {"id": "1", "name": "laptop", "scopes": ["read"], "key": "medley_..."}


@get(
    "/v1/keys",
    sync_to_thread=True,
    opt=ADMIN | example(page_example(_KEY)),
    responses=documented(),
    tags=["operations"],
)
def list_keys(service: Injected) -> Page[KeyView]:
    """All keys, including revoked ones; never the keys themselves."""
    with service.database.read() as connection:
        return Page(items=[key_view(record) for record in keys.list_keys(connection)])


@post(
    "/v1/keys",
    sync_to_thread=True,
    opt=ADMIN | example(_CREATED, request=_NEW_KEY),
    responses={**documented(409), 201: documented_body(CreatedKey, "The key, shown only here.")},
    tags=["operations"],
)
def create_key(request: Request[Any, Any, Any], service: Injected, data: JSONBody[NewKey]) -> Response[bytes]:
    """Create a key; it is shown only in this answer."""
    if service.key_ring.empty:
        # Otherwise the first caller from loopback could lock the owner out.
        raise AccessError("the first key is made on the command line: medley keys create NAME --scope admin")

    def act() -> CreatedKey:
        key, digest = new_key()
        scopes = [scope.value for scope in dict.fromkeys(data.scopes)]
        with service.database.write() as connection:
            record = keys.create_key(connection, data.name, digest, " ".join(scopes))
        logs.wrote(request, "key created", created=record.id)
        return CreatedKey(id=str(record.id), name=record.name, scopes=scopes, key=key)

    return once(service.database, request, data, 201, act, secret=True)


@removal("/v1/keys/{key_id:str}", "operations", opt=ADMIN)
def revoke_key(request: Request[Any, Any, Any], service: Injected, key_id: Id) -> None:
    """Revoke a key, everywhere within a second."""
    with service.database.write() as connection:
        record = keys.revoke_key(connection, id_of(key_id, "key"))
    logs.wrote(request, "key revoked", revoked=record.id)


ROUTES = (list_keys, create_key, revoke_key)
