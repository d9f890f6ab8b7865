"""Streams: any number that follow the same cost one look, and nothing else while nothing changes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import httpx
import pytest
from support.service_world import World
from support.waiting import until

from api.http.server_sent_events import Looks
from search.errors import CatalogError

STREAMS = 100
IDLE_LOOKS = 30


class Subject:
    """What streams follow: how often it was read, and whether it was read that often since."""

    def __init__(self) -> None:
        self.value = 1
        self.reads = 0
        self.error: Exception | None = None

    def read(self) -> int:
        self.reads += 1
        if self.error:
            raise self.error
        return self.value

    async def read_again(self, times: int) -> None:
        wanted = self.reads + times
        while self.reads < wanted:
            await asyncio.sleep(0.001)


class Followers:
    """Many streams, and what each was told."""

    def __init__(self, looks: Looks, subject: Subject, keepalive_seconds: float = 300.0) -> None:
        self.told: list[list[int | None]] = [[] for _ in range(STREAMS)]
        self.wakes = 0
        self._tasks = [
            asyncio.create_task(self._follow(told, looks.values("subject", subject.read, keepalive_seconds)))
            for told in self.told
        ]

    async def _follow(self, told: list[int | None], values: AsyncIterator[int | None]) -> None:
        async for value in values:
            told.append(value)
            self.wakes += 1

    async def all_told(self, number: int) -> None:
        while not all(len(told) >= number for told in self.told):
            await asyncio.sleep(0.001)

    async def ended(self) -> None:
        await asyncio.gather(*self._tasks)

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def test_a_hundred_idle_streams_share_one_look_and_wake_only_for_changes() -> None:
    async def run() -> None:
        stopping = threading.Event()
        subject, looks = Subject(), Looks(stopping.is_set, look_seconds=0.0)
        followers = Followers(looks, subject)
        await followers.all_told(1)
        before = subject.reads
        await subject.read_again(IDLE_LOOKS)
        assert len(looks) == 1
        assert followers.wakes == STREAMS, "nothing has changed since the first value"
        assert subject.reads - before < IDLE_LOOKS + STREAMS / 2, "each look is one read, not one for each stream"
        subject.value = 2
        await followers.all_told(2)
        stopping.set()
        await followers.ended()
        assert followers.told == [[1, 2]] * STREAMS
        assert len(looks) == 0

    asyncio.run(run())


def test_nobody_looks_when_all_streams_have_gone() -> None:
    async def run() -> None:
        subject, looks = Subject(), Looks(lambda: False, look_seconds=0.0)
        followers = Followers(looks, subject)
        await followers.all_told(1)
        await followers.leave()
        assert len(looks) == 0
        while len(asyncio.all_tasks()) > 1:  # a look that was going on ends in its thread
            await asyncio.sleep(0.001)
        subject.value = 2
        again = Followers(looks, subject)
        await again.all_told(1)
        assert again.told == [[2]] * STREAMS
        await again.leave()

    asyncio.run(run())


def test_quiet_streams_are_kept_alive() -> None:
    async def run() -> None:
        followers = Followers(Looks(lambda: False), Subject(), keepalive_seconds=0.01)
        # The first look takes longer than this on a busy machine, so a stream may be kept alive before it as well.
        while not all(1 in told and told.count(None) >= 2 for told in followers.told):
            await asyncio.sleep(0.001)
        await followers.leave()
        assert all(told.count(1) == 1 and set(told) == {1, None} for told in followers.told)

    asyncio.run(run())


def test_what_a_look_raises_ends_every_stream_and_the_next_look_starts_anew() -> None:
    async def run() -> None:
        subject, looks = Subject(), Looks(lambda: False, look_seconds=0.0)
        followers = Followers(looks, subject)
        await followers.all_told(1)
        subject.error = CatalogError("the database is away")
        with pytest.raises(CatalogError):
            await followers.ended()
        await followers.leave()
        subject.error = None
        again = Followers(looks, subject)
        await again.all_told(1)
        await again.leave()

    asyncio.run(run())


def test_all_streams_of_a_route_share_its_look(world: World, client: httpx.Client) -> None:
    with ExitStack() as stack:
        told: list[Iterator[str]] = []
        for _ in range(4):
            for route in ("/v1/events", "/v1/saved-searches/events"):
                answer = stack.enter_context(client.stream("GET", route))
                assert answer.status_code == 200
                if route == "/v1/events":
                    told.append(answer.iter_lines())
        assert all(next(lines).startswith("event: status") for lines in told)
        until(lambda: len(world.service.looks) == 2)
    until(lambda: len(world.service.looks) == 0)
