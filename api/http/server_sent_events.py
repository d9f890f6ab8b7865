"""Server-sent events: framed by Litestar, and streams that end when the service stops."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import msgspec
from anyio import to_thread
from litestar.response import ServerSentEvent, ServerSentEventMessage

#: a comment this often keeps proxies from closing a quiet stream
KEEPALIVE_SECONDS = 15.0
LOOK_SECONDS = 0.5
MEDIA_TYPE = "text/event-stream"


def event(name: str, value: Any) -> ServerSentEventMessage:
    """One event with a value as JSON."""
    return ServerSentEventMessage(event=name, data=msgspec.json.encode(value), sep="\n")


def keepalive() -> ServerSentEventMessage:
    """A comment, which clients ignore and which keeps proxies from closing the connection."""
    return ServerSentEventMessage(data=None, comment="still here", sep="\n")


def stream(events: AsyncIterator[ServerSentEventMessage]) -> ServerSentEvent:
    """The answer that carries them. Proxies must hand them on at once and as they are."""
    return ServerSentEvent(events, headers={"Cache-Control": "no-cache, no-transform"})


async def changes(
    name: str, read: Callable[[], Any], ended: Callable[[Any], bool], stopping: Callable[[], bool]
) -> AsyncIterator[ServerSentEventMessage]:
    """Events with the result of `read` whenever it changes, until it has ended or the service stops."""
    last: Any = None
    spoke_at = time.monotonic()
    while not stopping():
        value = await to_thread.run_sync(read)
        if value != last:
            yield event(name, value)
            last, spoke_at = value, time.monotonic()
        elif time.monotonic() - spoke_at > KEEPALIVE_SECONDS:
            yield keepalive()
            spoke_at = time.monotonic()
        if ended(value):
            return
        await anyio.sleep(LOOK_SECONDS)
