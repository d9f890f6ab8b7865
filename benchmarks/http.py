"""What HTTP adds to a search, and how the service stands 200 connections.

    python -m benchmarks.http [--segments 10000] [--seconds 300] [--connections 200] [--json FILE]

First part: the p50 of `POST /v1/search` on one connection, beside an empty Litestar route over the same kind
of server and the search itself inside a process; the three take turns in every round. Second part: many
connections at once, searching and listing; failed requests, p50, p99, and memory before and after. Vectors
are synthetic, texts are encoded by the real starter. Client and server share the machine's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
import numpy as np

from api.batching import BatchingSpace
from search.active_space import space_opener
from search.catalog import assets, queue, sources
from search.catalog.records import AssetFacts, FoundFile, IndexedAsset, NewSegment
from search.engine import SearchEngine
from search.query.parse import parse_query
from search.settings import Settings
from search.signals import Signal

ROUNDS = 5
PER_ROUND = 40
BATCH = 500
TOPICS = "dog cat beach sunset bridge mountain child bicycle street market boat snow forest kitchen horse"
WORDS = tuple(TOPICS.split(" "))


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--empty-route", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.empty_route:
        serve_empty_route()
        return
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.load({}, home=folder)
        engine = SearchEngine.open(settings, open_space=lambda record: BatchingSpace(space_opener(settings)(record)))
        fill(engine, options.segments)
        with server(["-m", "api", "serve", "--port", "0", "--no-worker"], settings) as medley:
            overhead = measure_overhead(engine, medley)
            load = asyncio.run(measure_load(medley, options.connections, options.seconds))
        engine.close()
    report(overhead, load, options)
    if options.json:
        options.json.write_text(json.dumps({"overhead": overhead, "load": load}, indent=1))


def fill(engine: SearchEngine, segments: int) -> None:
    """Synthetic pictures: vectors around the words that are searched."""
    rng = np.random.default_rng(0)
    active_space = engine.active_space
    centres = active_space.space.embed_query_text(WORDS)[Signal.IMAGE]
    with engine.database.write() as connection:
        source = sources.add_source(connection, "/synthetic", watched=False)
    for start in range(0, segments, BATCH):
        numbers = range(start, min(start + BATCH, segments))
        noise = rng.normal(0, 0.04, (len(numbers), centres.shape[1])).astype(np.float32)
        vectors = centres[rng.integers(len(WORDS), size=len(numbers))] + noise
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        files = [
            FoundFile(path=f"/synthetic/{n}.jpg", path_bytes=b"/synthetic/%d.jpg" % n, size_bytes=n + 1, modified_ns=n)
            for n in numbers
        ]
        with engine.database.write() as connection:
            ids = assets.sync_assets(connection, source.id, files).ids
            claimed = queue.claim(connection, "benchmark", BATCH, 3600)
        results = [
            IndexedAsset(
                asset_id=asset_id,
                kind="image",
                content_hash=f"{asset_id:064x}",
                facts=AssetFacts(width=1200, height=800),
                segments=[NewSegment(signal=Signal.IMAGE, vectors={active_space.record.id: vector})],
            )
            for asset_id, vector in zip(ids, vectors, strict=True)
        ]
        with engine.database.write() as connection:
            queue.finish(connection, queue.claims_of(claimed), results)
    active_space.follower.catch_up()


def measure_overhead(engine: SearchEngine, medley: str) -> dict[str, float]:
    """Medians in seconds of the three, interleaved."""
    rng = random.Random(0)
    times: dict[str, list[float]] = {"empty route": [], "search in process": [], "POST /v1/search": []}
    with server(["-m", "benchmarks.http", "--empty-route"], engine.settings) as empty, httpx.Client() as client:
        for name, act in contestants(client, empty, engine, medley).items():
            for _ in range(10):
                act(sentence(rng))  # models load, connections open
            del name
        for _ in range(ROUNDS):
            for name, act in contestants(client, empty, engine, medley).items():
                for _ in range(PER_ROUND):
                    text = sentence(rng)
                    began = time.perf_counter()
                    act(text)
                    times[name].append(time.perf_counter() - began)
    medians = {name: median(values) for name, values in times.items()}
    return medians | {"ratio": medians["POST /v1/search"] / (medians["empty route"] + medians["search in process"])}


def contestants(
    client: httpx.Client, empty: str, engine: SearchEngine, medley: str
) -> dict[str, Callable[[str], object]]:
    """What is measured; all get a new text every time."""
    return {
        "empty route": lambda text: client.post(f"{empty}/", json={"text": text}).raise_for_status(),
        "search in process": lambda text: engine.search(parse_query(text)),
        "POST /v1/search": lambda text: client.post(f"{medley}/v1/search", json={"text": text}).raise_for_status(),
    }


def sentence(rng: random.Random) -> str:
    """Some words; never the same twice in a row."""
    return " ".join(rng.sample(WORDS, 3))


async def measure_load(medley: str, connections: int, seconds: float) -> dict[str, Any]:
    """Closed loop: every connection asks again as soon as it is answered."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    times: list[float] = []
    statuses: Counter[str] = Counter()
    async with httpx.AsyncClient(base_url=medley, limits=limits, timeout=120) as client:
        before = await resident(client)
        deadline = time.monotonic() + seconds
        await asyncio.gather(*(visitor(client, n, deadline, times, statuses) for n in range(connections)))
        after = await resident(client)
    cuts = quantiles(times, n=100)
    failed = sum(count for status, count in statuses.items() if status != "200")
    return {
        "connections": connections,
        "seconds": seconds,
        "requests": len(times),
        "failed": failed,
        "statuses": dict(statuses),
        "per_second": len(times) / seconds,
        "p50_seconds": cuts[49],
        "p99_seconds": cuts[98],
        "resident_before_bytes": before,
        "resident_after_bytes": after,
    }


async def visitor(
    client: httpx.AsyncClient, number: int, deadline: float, times: list[float], statuses: Counter[str]
) -> None:
    """One connection: mostly searches, now and then a list or the account."""
    rng = random.Random(number)
    while time.monotonic() < deadline:
        began = time.perf_counter()
        try:
            if rng.random() < 0.8:
                answer = await client.post("/v1/search", json={"text": sentence(rng)})
            else:
                answer = await client.get(rng.choice(["/v1/status", "/v1/assets?limit=20"]))
            statuses[str(answer.status_code)] += 1
        except httpx.HTTPError as error:
            statuses[type(error).__name__] += 1
        times.append(time.perf_counter() - began)


async def resident(client: httpx.AsyncClient) -> int:
    """Memory of the service, as it says itself."""
    match = re.search(r"^medley_resident_bytes (\S+)", (await client.get("/metrics")).text, re.MULTILINE)
    assert match is not None
    return int(float(match[1]))


@contextmanager
def server(arguments: list[str], settings: Settings) -> Iterator[str]:
    """A server in a process of its own; gives its address."""
    environment = {**os.environ, "MEDLEY_HOME": str(settings.home)}
    process = subprocess.Popen([sys.executable, *arguments], env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        address = next(match[1] for line in process.stderr if (match := re.search(r"listens on (http://\S+)", line)))
        # Else the pipe fills and the server waits for us.
        with subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL):
            yield address
            process.terminate()
    finally:
        process.kill()
        process.wait()


def serve_empty_route() -> None:
    """A Litestar application that reads JSON and answers JSON, and nothing else."""
    import uvicorn
    from litestar import Litestar, post
    from litestar.params import JSONBody

    @post("/", status_code=200, sync_to_thread=False)
    def empty(data: JSONBody[dict[str, str]]) -> dict[str, str]:
        return data

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            port = self.servers[0].sockets[0].getsockname()[1]
            print(f"listens on http://127.0.0.1:{port}", file=sys.stderr, flush=True)

    application = Litestar([empty], openapi_config=None)
    Announcing(uvicorn.Config(application, port=0, log_config=None, access_log=False)).run()


def report(overhead: dict[str, float], load: dict[str, Any], options: argparse.Namespace) -> None:
    """Two tables."""
    print(f"One connection, {options.segments} segments, median of {ROUNDS} rounds of {PER_ROUND}:")
    for name in ("empty route", "search in process", "POST /v1/search"):
        print(f"  {name:20} {overhead[name] * 1000:8.2f} ms")
    print(f"  ratio to the sum     {overhead['ratio']:8.2f}   (goal: at most 1.30)")
    print(f"{load['connections']} connections for {load['seconds']:.0f} s:")
    print(f"  {load['requests']} requests, {load['failed']} failed, {load['per_second']:.0f} per second")
    print(f"  p50 {load['p50_seconds'] * 1000:.0f} ms, p99 {load['p99_seconds'] * 1000:.0f} ms")
    memory = load["resident_before_bytes"] / 1e6, load["resident_after_bytes"] / 1e6
    print(f"  memory of the service {memory[0]:.0f} MB before, {memory[1]:.0f} MB after")


if __name__ == "__main__":
    main()
