"""The Litestar application: routes, guards, errors, compression, and the middleware around them.

`create_app` takes over an open `Service`, and closes it at shutdown.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from litestar import Litestar
from litestar.config.compression import CompressionConfig
from litestar.config.cors import CORSConfig
from litestar.di import Provide

from api.http import openapi, problems
from api.http.middleware import HttpMiddleware
from api.http.requests import JSON_BYTES, JsonRequest
from api.mcp.app import McpApp
from api.routes import ROUTES, page
from api.service import Service
from search import distribution

_TUS_HEADERS = ("tus-resumable", "upload-length", "upload-metadata", "upload-offset")
_TUS_ANSWERS = (*_TUS_HEADERS, "tus-version", "tus-extension", "tus-max-size", "upload-expires", "medley-asset")


def create_app(service: Service) -> Litestar:
    """The application over an open service."""

    def provide_service() -> Service:
        return service

    mcp_app = McpApp(service, distribution.version())

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        try:
            async with mcp_app.running():
                yield
        finally:
            await to_thread.run_sync(service.close)

    app = Litestar(
        [*ROUTES, mcp_app.route(), *page.handlers(page.load())],
        guards=[service.access_guard],
        dependencies={"service": Provide(provide_service, sync_to_thread=False)},
        exception_handlers={Exception: problems.handle},
        openapi_config=openapi.config(distribution.version()),
        cors_config=_cors(service.settings.cors_origins),
        # Media is compressed already, ranges and event streams must not be: their routes opt out.
        compression_config=CompressionConfig(backend="brotli", brotli_quality=4, exclude_opt_key="uncompressed"),
        request_class=JsonRequest,
        request_max_body_size=JSON_BYTES,  # routes that take pictures or files say so
        lifespan=[lifespan],
        logging_config=None,
    )
    app.asgi_handler = HttpMiddleware(app.asgi_handler, service.metrics)
    return app


def _cors(origins: tuple[str, ...]) -> CORSConfig | None:
    if not origins:
        return None
    return CORSConfig(
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS"],
        allow_headers=["authorization", "content-type", "idempotency-key", "x-request-id", "range", *_TUS_HEADERS],
        expose_headers=["content-range", "etag", "x-request-id", "retry-after", "location", *_TUS_ANSWERS],
        max_age=3600,
    )
