"""The web page's session: a key in a cookie that no script can read, because images and videos send no header."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, delete, get, post
from litestar.datastructures import Cookie

from api.auth import ANONYMOUS, COOKIE, LOOPBACK, Caller
from api.params import Injected
from api.problems import documented, documented_body
from api.schemas import SessionView

_YEAR_SECONDS = 365 * 24 * 3600


@get("/v1/session", sync_to_thread=False, opt={"scope": "public"}, responses=documented(), tags=["operations"])
def get_session(request: Request[Any, Any, Any], service: Injected) -> SessionView:
    """Who the caller is, and whether a key is needed."""
    return _view(request.scope["state"]["caller"], service.key_ring.empty)


@post(
    "/v1/session",
    status_code=200,
    sync_to_thread=False,
    opt={"scope": "read"},
    responses={**documented(), 200: documented_body(SessionView, "The cookie is set.")},
    tags=["operations"],
)
def open_session(request: Request[Any, Any, Any], service: Injected) -> Response[SessionView]:
    """Keep the key of this request's `Authorization` header in a cookie that only the service can read."""
    caller = request.scope["state"]["caller"]
    answer = Response(_view(caller, service.key_ring.empty))
    key = request.headers.get("authorization", "").partition(" ")[2].strip()
    if caller.key_id is not None and key:
        answer.set_cookie(_cookie(key, _YEAR_SECONDS, secure=request.url.scheme == "https"))
    return answer


@delete(
    "/v1/session",
    status_code=200,
    sync_to_thread=False,
    opt={"scope": "public"},
    responses={**documented(), 200: documented_body(SessionView, "The cookie is gone.")},
    tags=["operations"],
)
def close_session(request: Request[Any, Any, Any], service: Injected) -> Response[SessionView]:
    """Forget the cookie; the key itself stays valid."""
    answer = Response(_view(LOOPBACK if service.key_ring.empty else ANONYMOUS, service.key_ring.empty))
    answer.set_cookie(_cookie("", 0, secure=request.url.scheme == "https"))
    return answer


def _cookie(value: str, max_age: int, secure: bool) -> Cookie:
    return Cookie(COOKIE, value=value, max_age=max_age, path="/", httponly=True, samesite="strict", secure=secure)


def _view(caller: Caller, keyless: bool) -> SessionView:
    return SessionView(name=caller.name, scopes=sorted(caller.scopes), key_needed=not keyless and not caller.scopes)
