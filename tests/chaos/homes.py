"""Replicas and workers that share a catalogue and the media, but each have a home that the others can't see."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from support.pictures import save_coloured
from support.processes import environment, running_service, started

from chaos.report import Row
from search.catalog.database import Database
from search.catalog.upkeep import health

PROMISE = (
    "all media are indexed and found by both replicas; uploads that no worker could read are refused, and taken once "
    "one can; nothing is missing"
)
_TICK_SECONDS = 0.5
_HOMES = ("first", "second", "worker")


def attack(url: str, folder: Path, *, files: int, seconds: float) -> Row:
    """Two replicas and a worker, each in a mount namespace in which the other homes are empty; then one more worker."""
    began = time.monotonic()
    world = _World(url, folder, seconds)
    for number in range(files):
        save_coloured(world.media / f"{number}.jpg", number)
    broken: list[str] = []
    with ExitStack() as stack:
        first = stack.enter_context(world.replica("first"))
        second = stack.enter_context(world.replica("second"))
        stack.enter_context(world.worker("worker", "apart"))
        first.post("/v1/sources", json={"root": str(world.media)}).raise_for_status()
        if not world.comes(lambda: _counts(first)["indexed"] == files):
            broken.append(f"of {files} files: {_counts(first)}")
        # Each replica follows the catalogue by itself, a moment behind it.
        if not world.comes(lambda: _found(first, files) == _found(second, files) != []):
            found = [len(_found(replica, files)) for replica in (first, second)]
            broken.append(f"the replicas find {found[0]} and {found[1]} files")
        for name, replica in (("first", first), ("second", second)):
            status = world.upload(replica, 1000)
            if status != 503:
                broken.append(f"an upload to the {name} replica, which no worker can read, is answered {status}")
        stack.enter_context(world.worker("first", "beside"))
        if not world.comes(lambda: world.upload(first, 1001) == 201):
            broken.append("uploads are refused although a worker can read them")
        elif not world.comes(lambda: _counts(second)["indexed"] == files + 1):
            broken.append(f"the upload is not indexed: {_counts(second)}")
        if _counts(second)["missing"]:
            broken.append(f"files are missing: {_counts(second)}")
    database = Database.open(url)
    with database.read() as connection:
        report = health.inspect(connection)
    database.close()
    if not report.healthy:
        broken.append(f"the audit: {report}")
    return Row(
        attack="replicas and workers with separate homes",
        on="mount namespaces",
        amount=f"2 replicas, 2 workers, {files} files",
        seconds=time.monotonic() - began,
        promise=PROMISE,
        broken=tuple(broken),
    )


class _World:
    def __init__(self, url: str, folder: Path, patience_seconds: float) -> None:
        self.media = folder / "media"
        self.media.mkdir(parents=True)
        self._url, self._folder, self._patience_seconds = url, folder, patience_seconds
        for name in _HOMES:
            (folder / "homes" / name).mkdir(parents=True)

    @contextmanager
    def replica(self, home: str) -> Iterator[httpx.Client]:
        log = self._folder / f"serve {home}.log"
        with running_service(self._environment(home), log, wrapper=self._alone(home)) as (client, _):
            yield client

    @contextmanager
    def worker(self, home: str, name: str) -> Iterator[None]:
        with started(["worker"], self._environment(home), self._folder / f"{name}.log", self._alone(home)):
            yield

    def upload(self, replica: httpx.Client, number: int) -> int:
        """The status of the answer to a picture that is nowhere else."""
        picture = save_coloured(self._folder / f"{number}.png", number)
        return replica.post("/v1/assets", files={"file": (picture.name, picture.read_bytes())}).status_code

    def comes(self, true: Callable[[], bool]) -> bool:
        """Whether it becomes true in time."""
        ends = time.monotonic() + self._patience_seconds
        while not (now := true()) and time.monotonic() < ends:
            time.sleep(_TICK_SECONDS)
        return now

    def _environment(self, home: str) -> dict[str, str]:
        settings = {"database_url": self._url, "settle_seconds": "0", "llm": "openai:none"}  # nobody asks a question
        return environment(self._folder / "homes" / home, **settings)

    def _alone(self, home: str) -> tuple[str, ...]:
        others = (self._folder / "homes" / name for name in _HOMES if name != home)
        hidden = "".join(f"mount -t tmpfs none '{other}' && " for other in others)
        return ("unshare", "-rm", "sh", "-c", f'{hidden}exec "$@"', "sh")


def _counts(replica: httpx.Client) -> dict[str, Any]:
    counts: dict[str, Any] = replica.get("/v1/status").raise_for_status().json()["assets"]
    return counts


def _found(replica: httpx.Client, files: int) -> list[str]:
    hits = replica.post("/v1/search", json={"text": "a colour", "limit": files}).raise_for_status().json()["hits"]
    return sorted(copy for hit in hits for copy in (hit["asset"]["id"], *hit.get("copies", ())))
