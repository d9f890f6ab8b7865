"""Server-sent events: framed by Litestar, and streams that share their looks and end when the service stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager, suppress
from typing import Any

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


class Looks:
    """Looks at what streams follow: one for all that follow the same, however many, while there are any.

    Streams sleep until it has changed, so an idle one costs a comment now and then. For any number of event loops.
    """

    def __init__(self, stopping: Callable[[], bool], look_seconds: float = LOOK_SECONDS) -> None:
        """Streams end once `stopping` is true, which is asked at every look."""
        self._stopping = stopping
        self._look_seconds = look_seconds
        self._subjects: dict[Hashable, _Subject] = {}

    def __len__(self) -> int:
        """How many subjects are followed now."""
        return len(self._subjects)

    async def values(
        self, key: Hashable, read: Callable[[], Any], keepalive_seconds: float = KEEPALIVE_SECONDS
    ) -> AsyncIterator[Any]:
        """What `read` returns, now and whenever it has changed; None after `keepalive_seconds` without a change.

        `read` is called in a thread, and what it raises is raised here. `key` tells what it reads from all else.
        """
        seen = 0
        async with self._following((asyncio.get_running_loop(), key), read) as subject:
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(subject.later_than(seen), keepalive_seconds)
                if subject.failure is not None:
                    raise subject.failure
                if subject.number > seen:
                    seen = subject.number
                    yield subject.value
                elif subject.over:
                    return
                else:
                    yield None

    async def changes(
        self, name: str, key: Hashable, read: Callable[[], Any], ended: Callable[[Any], bool] = lambda _: False
    ) -> AsyncIterator[ServerSentEventMessage]:
        """Events with what `read` returns whenever it has changed, until it has ended or the service stops."""
        async for value in self.values(key, read):
            yield keepalive() if value is None else event(name, value)
            if value is not None and ended(value):
                return

    @asynccontextmanager
    async def _following(self, key: Hashable, read: Callable[[], Any]) -> AsyncIterator[_Subject]:
        subject = self._subjects.get(key)
        if subject is None or subject.over:
            subject = self._subjects[key] = _Subject(read, self._stopping, self._look_seconds)
        subject.followers += 1
        try:
            yield subject
        finally:
            subject.followers -= 1
            if not subject.followers:
                subject.end()
                if self._subjects.get(key) is subject:
                    del self._subjects[key]


class _Subject:
    """One thing that is looked at, in a task of its own."""

    def __init__(self, read: Callable[[], Any], stopping: Callable[[], bool], look_seconds: float) -> None:
        self.followers = 0
        self.value: Any = None
        self.number = 0  # of its values so far
        self.failure: Exception | None = None
        self.over = False
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._look(read, stopping, look_seconds))

    async def later_than(self, number: int) -> None:
        """Return once there is a later value than that one, or there will be none."""
        while self.number <= number and not self.over:
            await self._changed.wait()

    def end(self) -> None:
        self._task.cancel()

    async def _look(self, read: Callable[[], Any], stopping: Callable[[], bool], look_seconds: float) -> None:
        try:
            while not stopping():
                value = await to_thread.run_sync(read)
                if self.number == 0 or value != self.value:
                    self.value, self.number = value, self.number + 1
                    self._tell()
                await asyncio.sleep(look_seconds)
        except Exception as error:  # noqa: BLE001 - raised again by every stream that follows
            self.failure = error
        finally:
            self.over = True
            self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
