"""The outermost layer of HTTP: request ids, security headers, the access log, request metrics.

Wraps the whole Litestar application, so that unknown routes and refused requests pass through it, too.
Knows no route and no key.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from typing import Any

import anyio
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from api.monitoring import logs
from api.monitoring.metrics import Metrics
from search.runtime import tracing

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
BODY_SECONDS = 30.0  # between two pieces of a body
_ACCEPTABLE_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")


# A name or address, and a port. Anything else breaks code that builds URLs from it.
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


class HttpMiddleware:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        identifier = _request_id(headers.get(b"x-request-id", b""))
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

        request = tracing.request(headers.get(b"traceparent", b"").decode("latin-1"))
        try:
            with request:
                reason = _nonsense(headers)
                if reason:
                    await _refuse(reason, send_with_headers)
                else:
                    await self._app(scope, _impatient(receive), send_with_headers)
                request.done(scope.get("path_template") or "(no route)", status)
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


def _impatient(receive: Receive) -> Receive:
    """A body must keep arriving: each chunk within BODY_SECONDS. Once it is complete, wait for the answer's end."""
    whole = False

    async def receive_in_time() -> Any:
        nonlocal whole
        if whole:
            return await receive()
        try:
            with anyio.fail_after(BODY_SECONDS):
                message = await receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    return receive_in_time


def _nonsense(headers: dict[bytes, bytes]) -> bytes:
    """What makes no sense in these headers; empty where all does."""
    if not _HOST.fullmatch(headers.get(b"host", b"localhost")):
        return b"Host is not a host name"
    if b"content-length" in headers and b"transfer-encoding" in headers:
        # A proxy in front may have taken the other one for true: what follows would be another request to us.
        return b"Content-Length and Transfer-Encoding contradict each other"
    return b""


async def _refuse(reason: bytes, send: Send) -> None:
    problem = b'"type":"urn:medley:problem:validation","title":"Bad Request"'
    body = b"{" + problem + b',"status":400,"detail":"' + reason + b'"}'
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _request_id(offered: bytes) -> str:
    # Anything else could forge log lines or carry personal content into them.
    return offered.decode() if _ACCEPTABLE_ID.fullmatch(offered) else secrets.token_hex(8)


def _added(present: Any, identifier: str) -> list[tuple[bytes, bytes]]:
    names = {name.lower() for name, _ in present}
    added = [(name, value) for name, value in SECURITY_HEADERS if name not in names]
    return [*added, (b"x-request-id", identifier.encode())]
