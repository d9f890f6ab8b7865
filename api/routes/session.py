"""The web page's session: a key in a cookie that scripts can't read, because images and videos send no header."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, delete, get, post
from litestar.datastructures import Cookie

from api.http.auth import ANONYMOUS, COOKIE, LOOPBACK, Caller
from api.http.openapi import example
from api.http.problems import documented, documented_body
from api.routes.dependencies import Injected
from api.schemas import AnswerBody, SessionView
from api.service import Service
from search.settings import Settings

_YEAR_SECONDS = 365 * 24 * 3600

_SESSION = {"name": "laptop", "scopes": ["read"], "key_needed": False, "features": []}
_CLOSED = {"name": "anonymous", "scopes": [], "key_needed": True, "features": []}


@get(
    "/v1/session",
    sync_to_thread=False,
    opt={"scope": "public"} | example(_SESSION),
    responses=documented(),
    tags=["operations"],
)
def get_session(request: Request[Any, Any, Any], service: Injected) -> SessionView:
    """Who the caller is, and whether a key is needed."""
    return _view(request.scope["state"]["caller"], service)


@post(
    "/v1/session",
    status_code=200,
    sync_to_thread=False,
    opt={"scope": "read"} | example(_SESSION),
    responses={**documented(), 200: documented_body(SessionView, "The cookie is set.")},
    tags=["operations"],
)
def open_session(request: Request[Any, Any, Any], service: Injected) -> Response[SessionView]:
    """Keep the key of this request's `Authorization` header in a cookie that only the service can read."""
    caller = request.scope["state"]["caller"]
    answer = Response(_view(caller, service))
    key = request.headers.get("authorization", "").partition(" ")[2].strip()
    if caller.key_id is not None and key:
        answer.set_cookie(_cookie(key, _YEAR_SECONDS, secure=request.url.scheme == "https"))
    return answer


@delete(
    "/v1/session",
    status_code=200,
    sync_to_thread=False,
    opt={"scope": "public"} | example(_CLOSED),
    responses={**documented(), 200: documented_body(SessionView, "The cookie is gone.")},
    tags=["operations"],
)
def close_session(request: Request[Any, Any, Any], service: Injected) -> Response[SessionView]:
    """Forget the cookie; the key itself stays valid."""
    answer = Response(_view(LOOPBACK if service.key_ring.empty else ANONYMOUS, service))
    answer.set_cookie(_cookie("", 0, secure=request.url.scheme == "https"))
    return answer


def _cookie(value: str, max_age: int, secure: bool) -> Cookie:
    return Cookie(COOKIE, value=value, max_age=max_age, path="/", httponly=True, samesite="strict", secure=secure)


def _view(caller: Caller, service: Service) -> SessionView:
    return SessionView(
        name=caller.name,
        scopes=sorted(caller.scopes),
        key_needed=not service.key_ring.empty and not caller.scopes,
        features=_features(service.settings),
    )


def _features(settings: Settings) -> list[str]:
    """`trash`: copies may be removed; `answers.assets`: questions may be about chosen assets."""
    asks_about_assets = "assets" in AnswerBody.__struct_fields__
    return ["trash"] * settings.allow_removal + ["answers.assets"] * asks_about_assets


ROUTES = (get_session, open_session, close_session)
