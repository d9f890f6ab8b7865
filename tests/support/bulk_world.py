"""Nodes and spaces for tests of bulk ingestion, at top level so that other processes can import them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from indexer.bulk.cluster import Fleet, Member
from indexer.bulk.local_fleet import LocalFleet
from indexer.bulk.node import Node
from search.active_space import SpaceOpener
from search.catalog.records import SpaceRecord
from search.errors import SpaceError
from search.settings import Settings
from search.signals import Signal
from search.testing import WordSpace


def word_spaces(_: Settings) -> SpaceOpener:
    """Opens every space as one of words and colours."""
    return lambda _: WordSpace()


class SlowWordSpace(WordSpace):
    """As if it were a large model: a hundredth of a second for each item."""

    def embed(self, signal: Signal, items: Sequence[Any]) -> np.ndarray:
        time.sleep(0.01 * len(items))
        return super().embed(signal, items)


def slow_word_spaces(_: Settings) -> SpaceOpener:
    """Opens every space as a slow one, so that a job lasts long enough to be disturbed."""

    def open_space(_: SpaceRecord) -> SlowWordSpace:
        return SlowWordSpace()

    return open_space


def broken_spaces(_: Settings) -> SpaceOpener:
    """Opens none."""

    def open_space(record: SpaceRecord) -> WordSpace:
        raise SpaceError(f"the weights of this space are not here: {record.name}")

    return open_space


class MortalFleet(LocalFleet):
    """Nodes of which some die at their n-th exchange, with all they hold; `reborn` replaces them."""

    def __init__(self, nodes: dict[str, tuple[Node, int]], dies_at: dict[str, int], *, reborn: bool = False) -> None:
        self.capacities = {name: capacity for name, (_, capacity) in nodes.items()}
        super().__init__(nodes)
        self._dies_at = dies_at
        self._reborn = reborn
        self.exchanges: dict[str, int] = dict.fromkeys(nodes, 0)
        self.deaths: list[str] = []

    def receive(self, seconds: float) -> list[tuple[str, bytes | None]]:
        """As the fleet does, unless it is time to die."""
        ended: list[tuple[str, bytes | None]] = []
        for name, report in super().receive(seconds):
            self.exchanges[name] += 1
            dies = self.exchanges[name] == self._dies_at.get(name)
            if dies:
                self.deaths.append(name)
                if self._reborn:
                    self._new.append(Member(name, self.capacities[name]))
            ended.append((name, None if dies else report))
        return ended


class GatheredFleet:
    """A fleet that begins with so many nodes, or not at all: machines start at different times."""

    def __init__(self, fleet: Fleet, wanted: int) -> None:
        self._fleet = fleet
        self._wanted = wanted
        self._new: list[Member] = []
        self.complete = False

    def joined(self) -> list[Member]:
        """None until all are there."""
        self._new += self._fleet.joined()
        self.complete = self.complete or len(self._new) >= self._wanted
        if not self.complete:
            return []
        new, self._new = self._new, []
        return new

    def send(self, name: str, message: bytes) -> None:
        """As the fleet."""
        self._fleet.send(name, message)

    def receive(self, seconds: float) -> list[tuple[str, bytes | None]]:
        """As the fleet."""
        return self._fleet.receive(seconds)

    def close(self) -> None:
        """As the fleet."""
        self._fleet.close()
