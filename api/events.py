"""Server-sent events: how one is written, and streams that end when the service stops."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import msgspec
from anyio import to_thread
from litestar.response import Stream

#: a comment this often keeps proxies from closing a quiet stream
KEEPALIVE_SECONDS = 15.0
LOOK_SECONDS = 0.5
MEDIA_TYPE = "text/event-stream"


def event(name: str, value: Any) -> bytes:
    """One event; JSON never holds a raw newline, so one `data` line is enough."""
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(value) + b"\n\n"


def stream(pieces: AsyncIterator[bytes]) -> Stream:
    """The answer that carries them."""
    # no-transform and X-Accel-Buffering: proxies must hand events on at once.
    headers = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
    return Stream(pieces, media_type=MEDIA_TYPE, headers=headers)


async def changes(
    name: str, read: Callable[[], Any], ended: Callable[[Any], bool], stopping: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """What `read` gives, whenever it differs from before, until it has ended or the service stops."""
    last: Any = None
    spoke_at = time.monotonic()
    while not stopping():
        value = await to_thread.run_sync(read)
        if value != last:
            yield event(name, value)
            last, spoke_at = value, time.monotonic()
        elif time.monotonic() - spoke_at > KEEPALIVE_SECONDS:
            yield b": still here\n\n"
            spoke_at = time.monotonic()
        if ended(value):
            return
        await anyio.sleep(LOOK_SECONDS)
