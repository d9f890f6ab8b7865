"""Honest clients on two hundred connections, with attackers beside them, against a real `medley serve` on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from pathlib import Path

import httpx
import psutil
from support.processes import environment, running_service

from chaos.report import Row

# Every address of 127.0.0.0/8 is loopback, and each may hold so many connections: honest callers share four.
HONEST = tuple(f"127.0.0.{number}" for number in range(2, 6))
ATTACKERS = tuple(f"127.0.1.{number}" for number in range(1, 4))
PAUSE_SECONDS = 2.0  # between two requests of one honest connection
PATIENCE_SECONDS = 30.0
_HEADERS = {"host": "localhost", "content-type": "application/json"}
PROMISE = "every honest request is answered 200; no attack is a 5xx; afterwards the process is ready and holds nothing"
_ATTACKS: tuple[tuple[str, bytes], ...] = (
    ("/v1/search", json.dumps({"text": "(a)" * 20_000}).encode()),
    ("/v1/search", json.dumps({"filters": {"where": "kind:image " * 4000}}).encode()),
    ("/v1/search", json.dumps({"filters": {"path": ["*a" * 50] * 1000}}).encode()),
    ("/v1/search", json.dumps({"text": "red", "cursor": "eJ" * 20_000}).encode()),
    ("/v1/answers", b'{"question":' + b"[" * 100_000),
    ("/v1/embeddings", json.dumps({"model": "starter", "input": ["a"] * 5000}).encode()),
    ("/v1/rerank", json.dumps({"query": "x", "documents": ["a"] * 5000}).encode()),
    ("/v1/sources", b'{"root": "/proc/self/mem\\u0000"}'),
    ("/v1/assets/../../etc/passwd", b""),
)


class _Tally:
    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.failures: Counter[str] = Counter()
        self.attacks: Counter[str] = Counter()


def attack(folder: Path, *, connections: int, seconds: float) -> Row:
    """Ask for `seconds` from so many connections, while others send what they should not."""
    began = time.monotonic()
    folder.mkdir(parents=True)
    tally = _Tally()
    with running_service(environment(folder / "home"), folder / "serve.log") as (client, process):
        client.post("/v1/search", json={"text": "a dog"}).raise_for_status()  # models are loaded
        before = psutil.Process(process.pid).num_fds()
        asyncio.run(_storm(str(client.base_url), connections, seconds, tally))
        broken = [f"{count} x {failure}" for failure, count in tally.failures.most_common(5)]
        broken += [f"{count} attacks answered {status}" for status, count in tally.attacks.items() if status >= "500"]
        client.close()
        time.sleep(2)
        with httpx.Client(base_url=client.base_url, timeout=PATIENCE_SECONDS) as after:
            if after.get("/health/ready").status_code != 200:
                broken.append("not ready afterwards")
        held = psutil.Process(process.pid).num_fds() - before
        if held > 32:
            broken.append(f"{held} more open files than before")
    times = sorted(tally.seconds) or [0.0]
    asked = f"{len(times):,} requests, {sum(tally.attacks.values()):,} attacks"
    speed = f"median {times[len(times) // 2]:.2f} s, 99 % {times[int(len(times) * 0.99)]:.2f} s"
    return Row(
        attack=f"{connections} connections with attackers beside",
        on="HTTP",
        amount=f"{asked}; {speed}",
        seconds=time.monotonic() - began,
        promise=PROMISE,
        broken=tuple(broken),
    )


async def _storm(base_url: str, connections: int, seconds: float, tally: _Tally) -> None:
    ends = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for number in range(connections):
            group.create_task(_honest(base_url, HONEST[number % len(HONEST)], number, ends, tally))
        for number, address in enumerate(ATTACKERS):
            group.create_task(_attacker(base_url, address, number, ends, tally))
            group.create_task(_slow(base_url, address, ends))


async def _honest(base_url: str, address: str, number: int, ends: float, tally: _Tally) -> None:
    dice = random.Random(number)
    transport = httpx.AsyncHTTPTransport(local_address=address, limits=httpx.Limits(max_connections=1))
    async with httpx.AsyncClient(
        base_url=base_url, transport=transport, timeout=PATIENCE_SECONDS, headers=_HEADERS
    ) as client:
        await asyncio.sleep(dice.uniform(0, PAUSE_SECONDS))
        while time.monotonic() < ends:
            began = time.monotonic()
            try:
                if dice.random() < 0.5:
                    answer = await client.post("/v1/search", json={"text": f"a dog on beach {dice.randrange(99)}"})
                else:
                    answer = await client.get(dice.choice(["/v1/assets", "/health/live", "/v1/status", "/"]))
                if answer.status_code != 200:
                    tally.failures[f"status {answer.status_code}"] += 1
            except httpx.HTTPError as error:
                tally.failures[type(error).__name__] += 1
            tally.seconds.append(time.monotonic() - began)
            await asyncio.sleep(dice.uniform(0.5, 1.5) * PAUSE_SECONDS)


async def _attacker(base_url: str, address: str, number: int, ends: float, tally: _Tally) -> None:
    dice = random.Random(number)
    while time.monotonic() < ends:
        transport = httpx.AsyncHTTPTransport(local_address=address)
        async with httpx.AsyncClient(
            base_url=base_url, transport=transport, timeout=PATIENCE_SECONDS, headers=_HEADERS
        ) as client:
            path, body = dice.choice(_ATTACKS)
            with contextlib.suppress(httpx.HTTPError):
                answer = await client.post(path, content=body)
                tally.attacks[str(answer.status_code)] += 1
        await asyncio.sleep(0.1)


async def _slow(base_url: str, address: str, ends: float) -> None:
    """Half a request on each of a hundred connections, again and again."""
    url = httpx.URL(base_url)
    while time.monotonic() < ends:
        held: list[asyncio.StreamWriter] = []
        for _ in range(100):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(url.host, url.port, local_addr=(address, 0))
                writer.write(b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Le")
                held.append(writer)
        await asyncio.sleep(min(5.0, max(0.0, ends - time.monotonic())))
        for writer in held:
            writer.close()
