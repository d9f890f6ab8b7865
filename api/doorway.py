"""The outermost layer of HTTP: request ids, security headers, the access log, request metrics.

Wraps the whole Litestar application, so that also unknown routes and refused requests pass through it.
Knows no route and no key.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from api import logs
from api.metrics import Metrics

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; font-src 'self'; manifest-src 'self'; worker-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SECURITY_HEADERS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(self)"),
)
_ACCEPTABLE_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")


class Doorway:
    """ASGI application around another one."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        identifier = _request_id(dict(scope["headers"]).get(b"x-request-id", b""))
        scope.setdefault("state", {})["request_id"] = identifier
        token = logs.request_id.set(identifier)
        began = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*_added(message["headers"], identifier), *message["headers"]]
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            self._account(scope, status, time.perf_counter() - began)
            logs.request_id.reset(token)

    def _account(self, scope: Any, status: int, seconds: float) -> None:
        route = scope.get("path_template") or "(no route)"
        self._metrics.requests.labels(scope["method"], route, str(status)).inc()
        self._metrics.request_seconds.labels(scope["method"], route).observe(seconds)
        if logs.access.isEnabledFor(logging.INFO):
            fields = {
                "method": scope["method"],
                "route": route,
                "status": status,
                "seconds": round(seconds, 4),
                "caller": scope["state"].get("caller_name"),
            }
            logs.access.info("request", extra={"fields": fields})


def _request_id(offered: bytes) -> str:
    # Anything else could forge log lines or carry personal content into them.
    return offered.decode() if _ACCEPTABLE_ID.fullmatch(offered) else secrets.token_hex(8)


def _added(present: Any, identifier: str) -> list[tuple[bytes, bytes]]:
    names = {name.lower() for name, _ in present}
    added = [(name, value) for name, value in SECURITY_HEADERS if name not in names]
    return [*added, (b"x-request-id", identifier.encode())]
