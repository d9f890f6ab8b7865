"""Model Context Protocol at `/mcp`: an agent searches, asks, and looks at a moment.

Stateless streamable HTTP, so that any replica answers any request. Who may call is decided by the same
guard as for every other route, before a request reaches this application.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from anyio import to_thread
from litestar import asgi
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send
from mcp.server import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import CallToolResult, ContentBlock, ImageContent, TextContent, ToolAnnotations
from pydantic import Field
from starlette.applications import Starlette

from api.queries import query_of
from api.schemas import SearchBody
from api.service import Service
from api.views import asset_details, segment_view
from search.catalog import assets, segments
from search.errors import MedleyError, NotFoundError
from search.results import Filters, Kind, Signal

_INSTRUCTIONS = (
    "Medley finds photos, sounds, spoken words and moments in videos of one person's library by meaning. "
    "Search first; then look at a moment to see its picture or read its words. Relevance is a probability; "
    "when `matched` is false nothing in the library matches well, and you should say so; when `confident` is "
    "false the first hit is a guess: look at it before you rely on it."
)
_READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, open_world_hint=False)


Words = Annotated[
    str, Field(description='Words, or the query language: -unwanted, "phrases", kind:video, after:2024-07')
]
Kinds = Annotated[list[Kind] | None, Field(description="Only these kinds of asset")]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent gets of a search: little, because every word costs it."""

    matched: bool
    confident: bool
    hits: list[dict[str, Any]]


class McpDoor:
    """The MCP application over a service."""

    def __init__(self, service: Service, version: str) -> None:
        self._service = service
        self._server: MCPServer[Any] = MCPServer("medley", instructions=_INSTRUCTIONS, version=version)
        self._server.tool(annotations=_READS, structured_output=False)(self.search)
        self._server.tool(annotations=_READS, structured_output=False)(self.ask)
        self._server.tool(annotations=_READS, structured_output=False)(self.look)
        self._app: Starlette = self._server.streamable_http_app(
            streamable_http_path="/",
            stateless_http=True,
            json_response=True,
            # Our own guard has checked key, host and origin by then.
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )

    def running(self) -> Any:
        """The context in which it answers; once in its life."""
        return self._server.session_manager.run()

    def route(self) -> ASGIRouteHandler:
        """Where Litestar finds it."""
        app = self._app

        @asgi("/mcp", opt={"scope": "read", "uncompressed": True}, copy_scope=True)
        async def mcp(scope: Scope, receive: Receive, send: Send) -> None:
            inner = {**scope, "path": "/", "raw_path": b"/", "root_path": ""}
            await app(inner, receive, send)  # type: ignore[arg-type]

        return mcp

    async def search(
        self,
        query: Words,
        kinds: Kinds = None,
        signals: Annotated[list[Signal] | None, Field(description="Only this kind of evidence")] = None,
        limit: Annotated[int, Field(ge=1, le=50)] = 10,
    ) -> CallToolResult:
        """Find photos, recordings and moments in videos by what they show or say."""
        filters = Filters(kind=tuple(kinds or ()), signal=tuple(signals or ()))
        body = SearchBody(text=query, filters=filters, limit=limit)
        return await to_thread.run_sync(_answered, lambda: self._search(body))

    def _search(self, body: SearchBody) -> CallToolResult:
        service = self._service
        wanted = service.engine.serving.space.image_input
        result = service.engine.search(query_of(body, service.settings, wanted))
        hits = [
            {
                "asset_id": hit.asset.id,
                "path": hit.asset.path,
                "kind": hit.asset.kind,
                "relevance": round(hit.relevance, 2),
                "moments": [
                    {
                        "segment_id": moment.segment_id,
                        "signal": moment.signal,
                        "start_seconds": moment.start_seconds,
                        "end_seconds": moment.end_seconds,
                        "text": moment.text,
                    }
                    for moment in hit.moments[:3]
                ],
            }
            for hit in result.hits
        ]
        return _as_text(Found(matched=result.matched, confident=result.confident, hits=hits))

    async def ask(
        self, question: Annotated[str, Field(min_length=1, max_length=4000)], kinds: Kinds = None
    ) -> CallToolResult:
        """Answer a question from the library, with citations; says so when the library does not hold it."""
        filters = Filters(kind=tuple(kinds or ()))
        return await to_thread.run_sync(_answered, lambda: self._ask(question, filters))

    def _ask(self, question: str, filters: Filters) -> CallToolResult:
        answer = self._service.engine.ask(question, filters, 8, None)
        return _as_text({"answer": answer.answer, "found": answer.found, "citations": answer.citations})

    async def look(
        self, segment_id: Annotated[int, Field(ge=1, description="`segment_id` of a moment that search found")]
    ) -> CallToolResult:
        """Look at one moment: its picture, its words, and what is known of its file."""
        return await to_thread.run_sync(_answered, lambda: self._look(segment_id))

    def _look(self, segment_id: int) -> CallToolResult:
        service = self._service
        with service.database.read() as connection:
            segment = segments.get_segment(connection, segment_id)
            if segment is None:
                raise NotFoundError(f"there is no segment {segment_id}")
            asset = assets.get_asset(connection, segment.asset_id)
        view = segment_view(segment)
        parts: list[ContentBlock] = [_text({"segment": view, "asset": asset_details(asset)})]
        if asset.kind in (Kind.IMAGE, Kind.VIDEO):
            seconds = segment.start_seconds
            made = service.previews.thumbnail(service.real_path(asset), Kind(asset.kind), seconds)
            data = base64.b64encode(made.read_bytes()).decode()
            parts.append(ImageContent(type="image", data=data, mime_type="image/webp"))
        return CallToolResult(content=parts)


def _answered(act: Callable[[], CallToolResult]) -> CallToolResult:
    """Ours are told to the agent, so that it can do better; anything else is the server's to hide."""
    try:
        return act()
    except MedleyError as error:
        return CallToolResult(content=[TextContent(type="text", text=str(error))], is_error=True)


def _as_text(value: Any) -> CallToolResult:
    return CallToolResult(content=[_text(value)])


def _text(value: Any) -> TextContent:
    return TextContent(type="text", text=msgspec.json.encode(value).decode())
