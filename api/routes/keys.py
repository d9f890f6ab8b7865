"""API keys over HTTP, for the page's settings; the first one can only be made on the command line."""

from __future__ import annotations

from typing import Any

from litestar import Request, get, post
from litestar.params import JSONBody

from api import logs
from api.keys import new_key
from api.paging import id_of
from api.params import ADMIN, Id, Injected, removal
from api.problems import documented
from api.schemas import CreatedKey, KeyView, NewKey, Page
from api.views import key_view
from search.catalog import keys
from search.errors import AccessError


@get("/v1/keys", sync_to_thread=True, opt=ADMIN, responses=documented(), tags=["operations"])
def list_keys(service: Injected) -> Page[KeyView]:
    """All keys, revoked ones too; never the keys themselves."""
    with service.database.read() as connection:
        return Page(items=[key_view(record) for record in keys.list_keys(connection)])


@post("/v1/keys", sync_to_thread=True, opt=ADMIN, responses=documented(), tags=["operations"])
def create_key(request: Request[Any, Any, Any], service: Injected, data: JSONBody[NewKey]) -> CreatedKey:
    """Make a key; it is shown only in this answer."""
    if service.key_ring.empty:
        # Else whoever reached the loopback first could lock the owner out.
        raise AccessError("the first key is made on the command line: medley keys create NAME --scope admin")
    key, digest = new_key()
    scopes = [scope.value for scope in dict.fromkeys(data.scopes)]
    with service.database.write() as connection:
        record = keys.create_key(connection, data.name, digest, " ".join(scopes))
    logs.wrote(request, "key created", created=record.id)
    return CreatedKey(id=str(record.id), name=record.name, scopes=scopes, key=key)


@removal("/v1/keys/{key_id:str}", "operations", opt=ADMIN)
def revoke_key(request: Request[Any, Any, Any], service: Injected, key_id: Id) -> None:
    """Make a key useless, everywhere within a second."""
    with service.database.write() as connection:
        record = keys.revoke_key(connection, id_of(key_id, "key"))
    logs.wrote(request, "key revoked", revoked=record.id)
