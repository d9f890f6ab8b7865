"""Nodes in this process, each with a thread: bulk jobs use them when there is no cluster."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping
from contextlib import suppress

from indexer.bulk.cluster import Member
from indexer.bulk.node import Node

_log = logging.getLogger(__name__)


class LocalFleet:
    """A fleet of nodes that are open already, by name, each with what it may hold."""

    def __init__(self, nodes: Mapping[str, tuple[Node, int]]) -> None:
        self._nodes = {name: node for name, (node, _) in nodes.items()}
        self._new = [Member(name, capacity) for name, (_, capacity) in nodes.items()]
        self._orders: dict[str, queue.SimpleQueue[bytes | None]] = {name: queue.SimpleQueue() for name in nodes}
        self._ended: queue.SimpleQueue[tuple[str, bytes | None]] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._serve, args=(name,), daemon=True) for name in nodes]
        for thread in self._threads:
            thread.start()

    def joined(self) -> list[Member]:
        """All of them, the first time."""
        new, self._new = self._new, []
        return new

    def send(self, name: str, message: bytes) -> None:
        """Begin an exchange."""
        self._orders[name].put(message)

    def receive(self, seconds: float) -> list[tuple[str, bytes | None]]:
        """Ends of exchanges."""
        ended: list[tuple[str, bytes | None]] = []
        with suppress(queue.Empty):
            ended.append(self._ended.get(timeout=seconds))
            while True:
                ended.append(self._ended.get_nowait())
        return ended

    def close(self) -> None:
        """End every node."""
        for name, node in self._nodes.items():
            node.close()
            self._orders[name].put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self, name: str) -> None:
        while (message := self._orders[name].get()) is not None:
            try:
                report = self._nodes[name].exchange(message)
            except Exception:  # noqa: BLE001 - as a machine that dies
                _log.exception("%s ended", name)
                self._ended.put((name, None))
                return
            self._ended.put((name, report))
