"""The tools that agents see, for an agent that works in steps: find out what there is, search, look, read on, ask.

Stateless streamable HTTP, so that any replica answers any request; an answer comes as a stream, so that progress can
be told while a model loads. What the tools tell is in `api.mcp.library`.
"""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable
from typing import Annotated, Any

import anyio
import msgspec
from anyio import to_thread
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import CallToolResult, ContentBlock, ImageContent, InputRequiredResult, TextContent, ToolAnnotations
from pydantic import Field, ValidationError
from starlette.applications import Starlette

from api.http.paging import LARGEST_ID
from api.http.problems import told_of
from api.mcp.arguments import mistakes
from api.mcp.library import MOST_HITS, Library
from api.monitoring import logs
from api.schemas import MOST_ASSETS, Scope
from api.service import Service
from search.errors import AccessError, MedleyError
from search.results import Filters, Kind
from search.signals import Signal

_log = logging.getLogger(__name__)
_INSTRUCTIONS = (
    "Medley finds photos, sounds, spoken words and moments in videos of one person's library by meaning. "
    "`sources` tells what the library holds; `browse` goes through it by date, place and kind; `search` finds by "
    "meaning. Then `look` at a moment to see its picture or read its words, `neighbours` for what comes before and "
    "after, `transcript` to read on. `ask` answers a question with citations. `save_search` keeps a search for files "
    "to come. Relevance is a probability; when `matched` is false nothing in the library matches well, and you should "
    "say so; when `confident` is false the first hit is a guess: look at it before you rely on it. Answers are short; "
    "`next_cursor` leads to the next page."
)
_WRITES = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
_READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, open_world_hint=False)
PROGRESS_SECONDS = 1.0
_WORKING = "Still working: models are loaded at their first use, which can take a minute."

Words = Annotated[
    str, Field(description='Words, or the query language: -unwanted, "phrases", kind:video, after:2024-07')
]
Kinds = Annotated[list[Kind] | None, Field(description="Only these kinds of asset")]
Limit = Annotated[int, Field(ge=1, le=MOST_HITS)]
Cursor = Annotated[str | None, Field(description="`next_cursor` of the page before; all else as it was")]
Day = Annotated[str | None, Field(description="A year, month, day or time in ISO 8601: 2024-07; inclusive")]
SegmentId = Annotated[int, Field(ge=1, le=LARGEST_ID, description="`segment_id` of a moment")]


class _PlainServer(MCPServer[Any]):
    """Tells agents in plain words what they did wrong, where the protocol's library quotes its own internals."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        try:
            return await super().call_tool(name, arguments, context)
        except UnexpectedToolError as error:
            raise UnexpectedToolError(f"{name} failed by a mistake of Medley's; its log says more") from error
        except ToolError as error:
            schemas = {tool.name: tool.input_schema for tool in await self.list_tools()}
            if name not in schemas:
                raise ToolError(f"there is no tool {name[:60]!r}; there are {', '.join(schemas)}") from None
            if isinstance(error.__cause__, ValidationError):
                wrong = [str(mistake["loc"][0]) for mistake in error.__cause__.errors()]
                raise ToolError(mistakes(schemas[name], arguments, wrong)) from error.__cause__
            raise


class McpServer:
    """The MCP server over a service."""

    def __init__(self, service: Service, version: str) -> None:
        self._library = Library(service)
        self._server: MCPServer[Any] = _PlainServer("medley", instructions=_INSTRUCTIONS, version=version)
        for tool in (self.sources, self.browse, self.search, self.look, self.neighbours, self.transcript, self.ask):
            self._server.tool(annotations=_READS, structured_output=False)(tool)
        self._server.tool(annotations=_READS, structured_output=False)(self.saved_searches)
        self._server.tool(annotations=_WRITES, structured_output=False)(self.save_search)
        self.app: Starlette = self._server.streamable_http_app(
            streamable_http_path="/",
            stateless_http=True,
            # Our own guard has checked key, host and origin by then.
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )

    def running(self) -> Any:
        """The context in which it answers; can be entered once."""
        return self._server.session_manager.run()

    async def sources(self) -> CallToolResult:
        """What the library holds: its folders, kinds, months, places, cameras and languages, with counts."""
        return await to_thread.run_sync(_answered, lambda: _as_text(self._library.describe()))

    async def browse(
        self,
        after: Day = None,
        before: Day = None,
        kinds: Kinds = None,
        where: Annotated[
            str | None, Field(description="Filters of the query language, such as place:paris camera:canon")
        ] = None,
        source_id: Annotated[str | None, Field(description="Only this source")] = None,
        limit: Limit = 10,
        cursor: Cursor = None,
    ) -> CallToolResult:
        """Go through the library by date, place, kind or source, newest first, with counts of each month.

        A `caption` is a small model's impression and may be wrong: tell it as what seems to be.
        """
        filters = Filters(
            kind=tuple(kinds or ()), after=after, before=before, where=where, source=(source_id,) if source_id else ()
        )
        return await to_thread.run_sync(_answered, lambda: _as_text(self._library.browse(filters, limit, cursor)))

    async def search(
        self,
        query: Words,
        ctx: Context[Any, Any],
        kinds: Kinds = None,
        signals: Annotated[list[Signal] | None, Field(description="Only this kind of evidence")] = None,
        limit: Limit = 8,
        cursor: Cursor = None,
    ) -> CallToolResult:
        """Find photos, recordings and moments in videos by what they show or say.

        A `caption` is a small model's impression and may be wrong: tell it as what seems to be, or `look` yourself.
        """
        filters = Filters(kind=tuple(kinds or ()), signal=tuple(signals or ()))
        return await _with_progress(ctx, lambda: _as_text(self._library.search(query, filters, limit, cursor)))

    async def ask(
        self,
        question: Annotated[str, Field(min_length=1)],
        ctx: Context[Any, Any],
        kinds: Kinds = None,
        assets: Annotated[
            list[str] | None,
            Field(
                max_length=MOST_ASSETS,
                description="Only these are looked at: `asset_id`, or `asset_id@start-end` in seconds; "
                "left out: the whole library",
            ),
        ] = None,
    ) -> CallToolResult:
        """Answer a question from the library, with citations.

        Where it holds no sure answer, `closest_lines` quotes what may answer after all: tell these as unsure.
        """
        filters = Filters(kind=tuple(kinds or ()))
        return await _with_progress(ctx, lambda: _as_text(self._library.ask(question, filters, assets)))

    async def look(self, segment_id: SegmentId) -> CallToolResult:
        """Look at one moment: its picture, its words, and what is known of its file.

        The `caption` is a small model's impression and may be wrong: what you see in the picture counts.
        """
        return await to_thread.run_sync(_answered, lambda: self._look(segment_id))

    def _look(self, segment_id: int) -> CallToolResult:
        told, picture = self._library.look(segment_id)
        parts: list[ContentBlock] = [_text(told)]
        if picture is not None:
            data = base64.b64encode(picture.read_bytes()).decode()
            parts.append(ImageContent(type="image", data=data, mime_type="image/webp"))
        return CallToolResult(content=parts)

    async def neighbours(
        self, segment_id: SegmentId, count: Annotated[int, Field(ge=1, le=8, description="On each side")] = 4
    ) -> CallToolResult:
        """What comes just before and after a moment of a recording, video or document, or was taken around a photo.

        To walk on, ask for the neighbours of the last (or first) one that was told.
        """
        return await to_thread.run_sync(_answered, lambda: _as_text(self._library.neighbours(segment_id, count)))

    async def transcript(
        self,
        asset_id: Annotated[str, Field(description="`asset_id` of a recording, video or document")],
        start_seconds: Annotated[float, Field(ge=0)] = 0.0,
        end_seconds: Annotated[float | None, Field(ge=0)] = None,
        seen: Annotated[bool, Field(description="Also the words that are written in the picture")] = False,
        cursor: Cursor = None,
    ) -> CallToolResult:
        """Read what is said in a recording or video, or a stretch of it, with times; or a document, with its pages."""
        return await to_thread.run_sync(
            _answered,
            lambda: _as_text(self._library.transcript(asset_id, start_seconds, end_seconds, seen, cursor)),
        )

    async def saved_searches(
        self, cursor: Annotated[int, Field(ge=0, le=LARGEST_ID, description="`next_cursor` of the page before")] = 0
    ) -> CallToolResult:
        """The searches that are kept, with how many new files have matched each."""
        return await to_thread.run_sync(_answered, lambda: _as_text(self._library.saved(cursor)))

    async def save_search(
        self,
        name: Annotated[str, Field(min_length=1, max_length=200)],
        query: Words,
        ctx: Context[Any, Any],
        kinds: Kinds = None,
    ) -> CallToolResult:
        """Save a search under a name: new files that match it raise events from then on. Needs a key that may write."""
        request: Any = ctx.request_context.request  # Starlette's, with what our own guard has found out

        def act() -> CallToolResult:
            caller = request.scope["state"]["caller"]
            if Scope.WRITE not in caller.scopes:
                raise AccessError(f"key {caller.name!r} lacks the scope 'write', which saving a search needs")
            told = self._library.save(name, query, Filters(kind=tuple(kinds or ())))
            logs.wrote(request, "search saved", saved_search=told["saved_search_id"])
            return _as_text(told)

        return await _with_progress(ctx, act)


async def _with_progress(ctx: Context[Any, Any], act: Callable[[], CallToolResult]) -> CallToolResult:
    """What `act` gives, and meanwhile a sign of life each second to a client that asked for progress."""
    async with anyio.create_task_group() as group:
        group.start_soon(_tell, ctx)
        result = await to_thread.run_sync(_answered, act)
        group.cancel_scope.cancel()
    return result


async def _tell(ctx: Context[Any, Any]) -> None:
    began = time.monotonic()
    while True:
        await anyio.sleep(PROGRESS_SECONDS)
        await ctx.report_progress(round(time.monotonic() - began, 1), message=_WORKING)


def _answered(act: Callable[[], CallToolResult]) -> CallToolResult:
    """Medley's own errors are told to the agent, so that it can do better; others are hidden by the server."""
    try:
        return act()
    except MedleyError as error:
        told = told_of(error)
        if told != str(error):
            _log.error("%s", error)
        return CallToolResult(content=[TextContent(type="text", text=told)], is_error=True)


def _as_text(value: Any) -> CallToolResult:
    return CallToolResult(content=[_text(value)])


def _text(value: Any) -> TextContent:
    return TextContent(type="text", text=msgspec.json.encode(_known(value)).decode())


def _known(value: Any) -> Any:
    """Without what is null: an agent pays for every word, and misses none of these."""
    if isinstance(value, dict):
        return {key: _known(held) for key, held in value.items() if held is not None}
    return [_known(one) for one in value] if isinstance(value, list) else value
