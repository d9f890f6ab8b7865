"""Nodes on a Ray cluster: one actor for some cores of a machine, and encoders on its GPUs.

The one module that knows Ray. Actors end with the job; one that dies is noticed by Ray and reported as lost, and
machines that join later get actors, too. What travels is MessagePack: only our own actors and the batches between them
are handed to Ray, which trusts whoever can reach its ports (docs/bulk.md).
"""

from __future__ import annotations

import os
import socket
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import numpy as np

from indexer.bulk.cluster import Member
from indexer.bulk.job import Job, node_capacity, open_node
from indexer.bulk.remote_space import Embed, Profile, embed_here, profiles_of, remote_spaces
from indexer.ingest.open_spaces import OpenSpaces
from search.active_space import SpaceOpener, space_opener
from search.errors import UnavailableError, UsageError
from search.settings import Settings

SCHEME = "ray"
_TOKEN_HINT = (
    "one that asks for a token does not say so: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH where it lies"
)
_LOOK_SECONDS = 5.0  # between looks for machines that joined
_FAILED_STARTS = 3  # of actors, one after the other, before the job ends
_OBJECT_STORE_BYTES = 200 * 1024**2  # of a cluster that is started here; reports are small


@dataclass(frozen=True)
class Share:
    """What an actor takes of its machine."""

    cores: int = 4  # for decoding; a machine with fewer gives what it has
    encoders: int = 0  # actors that only encode; 0: one for each GPU
    open_space: Callable[[Settings], SpaceOpener] = field(default=space_opener)


DEFAULT_SHARE = Share()


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to `ray://HOST:PORT` or `ray` (the cluster that this machine belongs to, else a new one of its own).

    Raises UsageError without the extra `ray`, UnavailableError when nothing answers.
    """
    try:
        import ray
    except ImportError:
        raise UsageError("--on ray needs the extra `ray`: pip install 'medley-search[ray]'") from None
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody unless somebody asks for it
    own = ray.is_initialized()  # tests bring their cluster along
    try:
        if not own:
            _connect(ray, address)
        yield
    finally:
        if not own:
            ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": "error", "namespace": "medley"}
    try:
        if address != SCHEME:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that nothing answered is said by us
                ray.init(address, **quiet)
            return
        try:
            ray.init("auto", **quiet)
        except ConnectionError:
            ray.init("local", include_dashboard=False, object_store_memory=_OBJECT_STORE_BYTES, **quiet)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        hint = "" if address == SCHEME else f" ({_TOKEN_HINT})"
        raise UnavailableError(f"no Ray cluster answers at {address}: {_line(error)}{hint}") from None


class _NodeActor:
    """A node in an actor."""

    def __init__(
        self, job: Job, cores: int, open_space: Callable[[Settings], SpaceOpener], encoders: list[Any]
    ) -> None:
        spaces = None
        if encoders:
            import ray

            embedding = remote_spaces(ray.get(encoders[0].profiles.remote()), _caller(encoders))
            spaces = lambda: embedding  # noqa: E731
        self._node = open_node(job, cores, open_space, spaces)

    def hello(self) -> str:
        """The machine that it runs on."""
        return socket.gethostname()

    def exchange(self, data: bytes) -> bytes:
        """As the node does."""
        return self._node.exchange(data)

    def close(self) -> None:
        """End decoders, release models."""
        self._node.close()


class _EncoderActor:
    """The spaces of a job, on a GPU or on cores of their own."""

    def __init__(self, job: Job, cores: int, open_space: Callable[[Settings], SpaceOpener]) -> None:
        job.check_version()
        self._spaces = OpenSpaces(open_space(job.settings_here(cores))).of(job.spaces)

    def profiles(self) -> list[Profile]:
        """Of its spaces."""
        return profiles_of(self._spaces)

    def embed(self, space_id: int, signal: str, items: list[Any]) -> np.ndarray:
        """Vectors of one batch."""
        return embed_here(self._spaces, space_id, signal, items)


def _caller(encoders: list[Any]) -> Embed:
    """Hands batches to the encoders in turn; Ray begins a call again whose actor died."""
    import ray

    turns = cycle(encoders)

    def embed(space_id: int, signal: str, items: list[Any]) -> np.ndarray:
        vectors: np.ndarray = ray.get(next(turns).embed.remote(space_id, signal, items))
        return vectors

    return embed


class RayFleet:
    """The nodes of one job on a connected cluster."""

    def __init__(self, job: Job, settings: Settings, share: Share = DEFAULT_SHARE) -> None:
        import ray

        self._ray: Any = ray
        self._job, self._settings, self._share = job, settings, share
        self._actors: dict[str, Any] = {}
        self._cores: dict[str, int] = {}
        self._starting: dict[Any, tuple[str, Any, int]] = {}  # by the call of `hello`
        self._calls: dict[Any, str] = {}
        self._number = 0
        self._looked_at = -_LOOK_SECONDS
        self._failed_starts = 0
        self._encoders = self._start_encoders()
        self._encoders_starting = [encoder.profiles.remote() for encoder in self._encoders]

    def joined(self) -> list[Member]:
        """Actors that are up. Raises UnavailableError when none comes up, with the reason."""
        if not self._encoders_are_up():
            return []  # nodes first would take all cores, and wait for encoders that find none
        if time.monotonic() - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = time.monotonic()
            self._start_missing()
        new: list[Member] = []
        if not self._starting:
            return new
        ready, _ = self._ray.wait(list(self._starting), num_returns=len(self._starting), timeout=0)
        for call in ready:
            name, actor, cores = self._starting.pop(call)
            try:
                host = self._ray.get(call)
            except self._ray.exceptions.RayError as error:
                # One whose machine died before it ran says nothing; one that can't be made says why.
                self._failed_starts += getattr(error, "actor_init_failed", False)
                if self._failed_starts >= _FAILED_STARTS:
                    raise UnavailableError(f"no actor can be started on the cluster: {_line(error)}") from None
                continue
            self._failed_starts = 0
            name = f"{host}/{name}"
            self._actors[name], self._cores[name] = actor, cores
            new.append(Member(name, node_capacity(self._settings, cores)))
        return new

    def send(self, name: str, message: bytes) -> None:
        """Begin an exchange."""
        self._calls[self._actors[name].exchange.remote(message)] = name

    def receive(self, seconds: float) -> list[tuple[str, bytes | None]]:
        """Ends of exchanges."""
        if not self._calls:
            time.sleep(min(seconds, 0.05))
            return []
        ready, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=seconds)
        if ready and len(self._calls) > 1:
            ready, _ = self._ray.wait(list(self._calls), num_returns=len(self._calls), timeout=0)
        return [(name, self._report(name, call)) for call in ready if (name := self._calls.pop(call))]

    def _report(self, name: str, call: Any) -> bytes | None:
        try:
            report: bytes = self._ray.get(call)
            return report
        except self._ray.exceptions.RayTaskError as error:  # of our own code
            raise UnavailableError(f"{name}: {_line(error)}") from None
        except self._ray.exceptions.RayError:
            self._forget(name)
            return None

    def close(self) -> None:
        """End every actor of this job."""
        closing = [actor.close.remote() for actor in self._actors.values()]
        self._ray.wait(closing, num_returns=len(closing), timeout=5) if closing else None
        starting = [actor for _, actor, _ in self._starting.values()]
        for actor in (*self._actors.values(), *starting, *self._encoders):
            self._ray.kill(actor)
        self._actors.clear()

    def _forget(self, name: str) -> None:
        del self._cores[name]
        self._ray.kill(self._actors.pop(name))  # where it was only out of reach, it must not go on

    def _encoders_are_up(self) -> bool:
        if self._encoders_starting:
            calls = self._encoders_starting
            ready, self._encoders_starting = self._ray.wait(calls, num_returns=len(calls), timeout=0)
            try:
                self._ray.get(ready)
            except self._ray.exceptions.RayError as error:
                raise UnavailableError(f"no encoder can be started on the cluster: {_line(error)}") from None
        return not self._encoders_starting

    def _start_missing(self) -> None:
        """As many actors as the machines that are alive have room for."""
        room = Counter(cores for machine in self._machines() for cores in self._shares(machine))
        there = Counter([*self._cores.values(), *(cores for _, _, cores in self._starting.values())])
        for cores in (room - there).elements():
            self._number += 1
            options = {"num_cpus": cores, "scheduling_strategy": "SPREAD", "max_restarts": 0}
            actor = self._ray.remote(_NodeActor).options(**options)
            handle: Any = actor.remote(self._job, cores, self._share.open_space, self._encoders)
            self._starting[handle.hello.remote()] = (f"node-{self._number}", handle, cores)

    def _shares(self, machine: Mapping[str, float]) -> list[int]:
        cores = int(machine.get("CPU", 0))
        each = max(1, min(self._share.cores, cores))
        return [each] * (cores // each)

    def _machines(self) -> list[Mapping[str, float]]:
        return [machine["Resources"] for machine in self._ray.nodes() if machine["Alive"]]

    def _start_encoders(self) -> list[Any]:
        gpus = int(sum(machine.get("GPU", 0) for machine in self._machines()))
        wanted = self._share.encoders or gpus
        options = {"num_gpus": 1, "num_cpus": 1} if gpus else {"num_cpus": 1}
        actor = self._ray.remote(_EncoderActor).options(
            scheduling_strategy="SPREAD", max_restarts=-1, max_task_retries=-1, max_concurrency=2, **options
        )
        return [
            actor.remote(self._job, 1, self._share.open_space) for _ in range(min(wanted, gpus) if gpus else wanted)
        ]


def _line(error: BaseException) -> str:
    """The line of an error of Ray that a person can use: the last one; the others are its stack traces."""
    cause = getattr(error, "cause", None)
    lines = [line.strip() for line in str(cause or error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
