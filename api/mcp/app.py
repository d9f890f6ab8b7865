"""The route `/mcp`. The protocol's library takes longer to import than the rest of HTTP: the first request loads it.

Who may call is decided by the same guard as for every other route, before a request reaches this application.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup, TaskStatus
from litestar import asgi
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send

from api.service import Service


class McpApp:
    """The MCP application over a service."""

    def __init__(self, service: Service, version: str) -> None:
        self._service = service
        self._version = version
        self._tasks: TaskGroup | None = None
        self._app: Any = None
        self._starting = anyio.Lock()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The context in which it answers; can be entered once."""
        async with anyio.create_task_group() as self._tasks:
            yield
            self._tasks.cancel_scope.cancel()

    def route(self) -> ASGIRouteHandler:
        """The route handler for Litestar."""

        @asgi("/mcp", opt={"scope": "read", "uncompressed": True}, copy_scope=True)
        async def mcp(scope: Scope, receive: Receive, send: Send) -> None:
            async with self._starting:
                if self._app is None:
                    assert self._tasks is not None, "requests come while it runs"
                    self._app = await self._tasks.start(self._serve)
            await self._app({**scope, "path": "/", "raw_path": b"/", "root_path": ""}, receive, send)

        return mcp

    async def _serve(self, *, task_status: TaskStatus[Any]) -> None:
        """Keep the sessions' tasks for as long as the service runs; they must end where they began."""
        server = await to_thread.run_sync(importlib.import_module, "api.mcp.server")
        made = server.McpServer(self._service, self._version)
        async with made.running():
            task_status.started(made.app)
            await anyio.sleep_forever()
