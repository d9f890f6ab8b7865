"""The Litestar application: routes, guards, errors, compression, and the doorway around them.

`create_app` gets an opened `Service` and owns it from then on: it closes it at shutdown.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from anyio import to_thread
from litestar import Litestar
from litestar.config.compression import CompressionConfig
from litestar.config.cors import CORSConfig
from litestar.di import Provide

from api import openapi, problems
from api.doorway import Doorway
from api.mcp import McpDoor
from api.routes import ROUTES, page
from api.service import Service
from api.uploads import BODY_BYTES


def create_app(service: Service) -> Litestar:
    """The application over an open service."""

    def provide_service() -> Service:
        return service

    door = McpDoor(service, version("medley"))

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        try:
            async with door.running():
                yield
        finally:
            await to_thread.run_sync(service.close)

    app = Litestar(
        [*ROUTES, door.route(), *page.handlers(page.load())],
        guards=[service.gate],
        dependencies={"service": Provide(provide_service, sync_to_thread=False)},
        exception_handlers={Exception: problems.handle},
        openapi_config=openapi.config(version("medley")),
        cors_config=_cors(service.settings.cors_origins),
        # Media is compressed already, ranges and event streams must not be: their routes opt out.
        compression_config=CompressionConfig(backend="brotli", brotli_quality=4, exclude_opt_key="uncompressed"),
        request_max_body_size=BODY_BYTES,
        lifespan=[lifespan],
        logging_config=None,
    )
    app.asgi_handler = Doorway(app.asgi_handler, service.metrics)
    return app


def _cors(origins: tuple[str, ...]) -> CORSConfig | None:
    if not origins:
        return None
    return CORSConfig(
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "DELETE", "HEAD", "OPTIONS"],
        allow_headers=["authorization", "content-type", "idempotency-key", "x-request-id", "range"],
        expose_headers=["content-range", "etag", "x-request-id", "retry-after"],
        max_age=3600,
    )
