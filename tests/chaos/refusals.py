"""How fast a real `medley serve` says no: each hostile request by itself, again and again."""

from __future__ import annotations

import os
import time
from pathlib import Path

import httpx
from support.hostile import requests
from support.processes import environment, running_service

from chaos.report import Row

PROMISE = "4xx within 100 ms"
MOST_SECONDS = 0.1
TIMES = 10


def attack(folder: Path) -> list[Row]:
    """One row for each request. The quickest of its answers counts: what disturbs others is the machine."""
    folder.mkdir(parents=True)
    with running_service(environment(folder / "home", llm="openai:none"), folder / "serve.log") as (client, _):
        client.post("/v1/search", json={"text": "a dog"}).raise_for_status()  # models are loaded
        return [_asked(client, name) for name in requests()]


def _asked(client: httpx.Client, name: str) -> Row:
    request = requests()[name]
    headers = {"content-type": request.content_type, "host": request.host}
    began = time.monotonic()
    seconds, statuses = [], set()
    for _ in range(TIMES):
        asked = time.perf_counter()
        statuses.add(client.post(request.path, content=request.body, headers=headers).status_code)
        seconds.append(time.perf_counter() - asked)
    seconds.sort()
    broken = [f"status {status}" for status in statuses if not 400 <= status < 500]
    if seconds[0] > MOST_SECONDS:
        broken.append(f"{seconds[0] * 1e3:.0f} ms")
    load = os.getloadavg()[0]
    return Row(
        attack=name,
        on=f"HTTP, load {load:.0f}",
        amount=f"{TIMES} times; {seconds[0] * 1e3:.0f} ms, median {seconds[TIMES // 2] * 1e3:.0f} ms",
        seconds=time.monotonic() - began,
        promise=PROMISE,
        broken=tuple(broken),
    )
