"""Stages on many machines: hands claimed assets to nodes, answers their questions, writes their outcomes in blocks.

For a worker it is what the pipeline is: it submits what it claimed and renews the leases of what is in flight. A
node that is lost loses nothing: what it held goes to others, and a file that was there at too many deaths goes to a
node by itself, so that it gives itself away. Knows nodes by the messages they exchange; knows no Ray.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from indexer.bulk import messages
from indexer.bulk.messages import Order, Question, Report
from indexer.ingest.intake import Ledger, NotHere, Settlement
from indexer.ingest.ledger import OFFLINE_SECONDS
from indexer.ingest.pipeline import Write
from indexer.ingest.suspects import is_suspect
from indexer.ingest.task import Outcome, StageSeconds
from search.catalog.records import AssetRecord, IndexedAsset, ReadAsset, SourceRecord
from search.errors import PermanentMediaError, SpaceError, UnavailableError
from search.settings import Settings

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.2
NO_NODE_SECONDS = 300.0  # without any node, a job ends: whoever pays for a cluster wants to know
_STOP_SECONDS = 20.0  # for nodes to report what they have encoded
_EXCHANGES_PER_SECOND = 500  # of all nodes together: more would keep the coordinator from its work
_MOST_IN_FLIGHT = 20_000  # claims, whose leases are renewed together
_BLOCKS_WAITING = 2  # to be written, before nodes have to wait


class JobLedger(Ledger, Protocol):
    """A ledger that also knows the sources, which nodes need to be told."""

    def source(self, source_id: int) -> SourceRecord:
        """The source with this id. Raises NotFoundError."""

    def sees(self, asset: AssetRecord) -> bool:
        """Is its file there, as far as this machine can see?"""


class Fleet(Protocol):
    """The nodes of a job, wherever they run. Used by one thread."""

    def joined(self) -> list[Member]:
        """Nodes that became ready since the last call. Raises UnavailableError when none can ever be."""

    def send(self, name: str, message: bytes) -> None:
        """Begin an exchange with a node that has none going on."""

    def receive(self, seconds: float) -> list[tuple[str, bytes | None]]:
        """Ends of exchanges: the node and its report, or None when the node is lost. Waits that long at most."""

    def close(self) -> None:
        """End every node."""


@dataclass(frozen=True)
class Block:
    """How much is written at once; whichever is reached first."""

    assets: int = 1000
    segments: int = 20_000
    seconds: float = 2.0  # since the first outcome of the block


DEFAULT_BLOCK = Block()


@dataclass
class Member:
    """A node, as the coordinator sees it."""

    name: str
    capacity: int  # assets that it holds at most
    held: dict[int, AssetRecord] = field(default_factory=dict)
    answers: dict[int, bool] = field(default_factory=dict)
    sources: set[int] = field(default_factory=set)  # that it was told of
    unseen: set[int] = field(default_factory=set)  # of these, those that it can't see, by its own account
    wrong: set[int] = field(default_factory=set)  # in which it found nothing where the coordinator sees a file
    exchanging: bool = False
    set_aside: bool = False  # takes nothing more until it is empty, for a suspect
    alone: bool = False  # holds a suspect and nothing else
    stages: StageSeconds = field(default_factory=StageSeconds)

    def sees(self, asset: AssetRecord) -> bool:
        """May it have the asset's file?"""
        return asset.source_id not in self.unseen and asset.source_id not in self.wrong


class Cluster:
    """Stages over a fleet. One thread talks to the nodes, one writes."""

    def __init__(
        self, fleet: Fleet, ledger: JobLedger, settings: Settings, write: Write, block: Block = DEFAULT_BLOCK
    ) -> None:
        self._fleet = fleet
        self._ledger = ledger
        self._max_attempts = settings.max_attempts
        self._least = settings.batch_assets
        self._write = write
        self._block = block
        self._lock = threading.Condition()
        self._in_flight: dict[int, AssetRecord] = {}
        self._waiting: deque[AssetRecord] = deque()
        self._suspects: deque[AssetRecord] = deque()
        self._members: dict[str, Member] = {}
        self._gone = StageSeconds()  # of nodes that are lost
        self._open: list[Outcome] = []  # the block that is being filled
        self._open_segments = 0
        self._open_since = 0.0
        self._blocks: queue.Queue[list[Outcome] | None] = queue.Queue(_BLOCKS_WAITING)
        self._write_seconds = 0.0
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._talking = threading.Thread(target=self._guarded, args=(self._talk,), name="medley-nodes", daemon=True)
        self._writing = threading.Thread(
            target=self._guarded, args=(self._write_all,), name="medley-blocks", daemon=True
        )
        self._talking.start()
        self._writing.start()

    @property
    def failure(self) -> BaseException | None:
        """What ended it before its time."""
        return self._failure

    @property
    def capacity(self) -> int:
        """What every node holds at most, and as much again for the block that is filled and those that are written."""
        with self._lock:
            held = sum(member.capacity for member in self._members.values())
        written = (1 + _BLOCKS_WAITING) * min(self._block.assets, 2 * held)
        return min(_MOST_IN_FLIGHT, max(2 * held, self._least) + written)

    @property
    def nodes(self) -> int:
        """How many take part now."""
        return len(self._members)

    def submit(self, asset: AssetRecord) -> None:
        """Take a claimed asset; its outcome reaches the writer unless the stages are stopped first."""
        with self._lock:
            self._in_flight[asset.id] = asset
            self._waiting.append(asset)

    def in_flight(self) -> dict[int, int]:
        """The claim number, by asset id, of what has no outcome written yet."""
        with self._lock:
            return {asset.id: asset.claim_number for asset in self._in_flight.values()}

    def wait(self, below: int, seconds: float) -> bool:
        """Wait until fewer than `below` assets are in flight or it has failed; False when time ran out."""
        with self._lock:
            return self._lock.wait_for(lambda: len(self._in_flight) < below or self._failure is not None, seconds)

    def seconds(self) -> StageSeconds:
        """How long each stage has been busy, on all nodes together."""
        with self._lock:
            stages = [self._gone, *(member.stages for member in self._members.values())]
            return StageSeconds(
                sum(stage.decode for stage in stages), sum(stage.encode for stage in stages), self._write_seconds
            )

    def stop(self) -> dict[int, int]:
        """End soon: what is encoded gets written, the rest is given up. Returns the claims given up."""
        self._stopping.set()
        self._talking.join()
        self._writing.join()
        return self.in_flight()

    # The thread that talks to the nodes.

    def _talk(self) -> None:
        last_seen = time.monotonic()
        try:
            while not self._stopping.is_set() and self._failure is None:
                self._welcome()
                if self._members:
                    last_seen = time.monotonic()
                elif time.monotonic() - last_seen > NO_NODE_SECONDS:
                    raise UnavailableError(f"no machine of the cluster has taken part for {NO_NODE_SECONDS:g} seconds")
                self._leave_unseen()
                self._set_aside()
                self._feed()
                self._listen(_POLL_SECONDS)
                self._close_block_if_due()
            self._part()
        finally:
            with suppress(_Failed):
                self._close_block()
                self._put(None)

    def _welcome(self) -> None:
        for member in self._fleet.joined():
            with self._lock:
                self._members[member.name] = member

    def _set_aside(self) -> None:
        """Empty one node for a suspect, and give it to that one alone."""
        if not self._suspects or any(member.alone for member in self._members.values()):
            return
        chosen = next((member for member in self._members.values() if member.set_aside), None)
        seeing = [member for member in self._members.values() if member.sees(self._suspects[0])]
        if chosen is None and seeing:
            chosen = min(seeing, key=lambda member: len(member.held))
            chosen.set_aside = True
        if chosen and not chosen.held and not chosen.exchanging:
            chosen.alone = True
            self._order(chosen, [self._suspects.popleft()])

    def _feed(self) -> None:
        """Top every node up that is not in an exchange; near the end, what is left is shared out evenly."""
        free = [member for member in self._members.values() if not member.exchanging]
        takers = [member for member in self._members.values() if not member.set_aside]
        for member in free:
            more: Sequence[AssetRecord] = ()
            if not member.set_aside:
                with self._lock:
                    share = -(-len(self._waiting) // max(1, len(takers)))
                    more = self._take(member, min(member.capacity - len(member.held), max(1, share)))
            if more or member.held:
                self._order(member, more)

    def _take(self, member: Member, count: int) -> list[AssetRecord]:
        """Up to so many waiting assets that the node can see; the others wait on in their order."""
        taken: list[AssetRecord] = []
        passed: list[AssetRecord] = []
        while self._waiting and len(taken) < count:
            asset = self._waiting.popleft()
            (taken if member.sees(asset) else passed).append(asset)
        self._waiting.extendleft(reversed(passed))
        return taken

    def _leave_unseen(self) -> None:
        """What no node can see is left to others, or for later."""
        members = list(self._members.values())
        if not members or not all(member.unseen or member.wrong for member in members):
            return

        def is_seen(asset: AssetRecord) -> bool:
            return any(member.sees(asset) for member in members)

        with self._lock:
            left = [asset for asset in (*self._waiting, *self._suspects) if not is_seen(asset)]
            if left:
                self._waiting = deque(filter(is_seen, self._waiting))
                self._suspects = deque(filter(is_seen, self._suspects))
        for asset in left:
            reason = f"{asset.path}: no machine of the bulk job can read its source"
            self._settle(Outcome(asset, NotHere(OFFLINE_SECONDS, reason)))

    def _order(self, member: Member, assets: Sequence[AssetRecord], stop: bool = False) -> None:
        member.held |= {asset.id: asset for asset in assets}
        answers, member.answers = member.answers, {}
        gather = max(0.01, len(self._members) / _EXCHANGES_PER_SECOND)
        news = {asset.source_id for asset in assets} - member.sources
        member.sources |= news
        sources = [self._ledger.source(source_id) for source_id in sorted(news)]
        order = Order(assets=assets, sources=sources, answers=answers, gather_seconds=gather, stop=stop)
        member.exchanging = True
        self._fleet.send(member.name, messages.encode(order))

    def _listen(self, seconds: float) -> None:
        for name, data in self._fleet.receive(seconds):
            member = self._members[name]
            member.exchanging = False
            if data is None:
                self._lose(member)
                continue
            report: Report = messages.decode(data, Report)
            with self._lock:
                member.stages = report.stages
            if report.failure is not None:
                raise SpaceError(f"{name}: {report.failure}")
            member.unseen = set(report.unseen)
            for asset_id in report.back:
                if (asset := member.held.pop(asset_id, None)) is not None:
                    self._again(asset)
            for question in report.questions:
                if question.asset_id in member.held:
                    member.answers[question.asset_id] = self._answer(member, question)
            for result in report.results:
                if (asset := member.held.pop(result.asset_id, None)) is not None:
                    self._settle(messages.outcome_of(asset, result))
            if not member.held and member.alone:
                member.alone = member.set_aside = False

    def _answer(self, member: Member, question: Question) -> bool:
        """Whether the asset is to be decoded; what else became of it is settled here."""
        asset = member.held[question.asset_id]
        verdict: Settlement | None
        if question.about == "gone" or question.found is None:
            if self._ledger.sees(asset) and len(self._members) > 1:
                # Another folder at the same path, or an old copy of it: the node is at fault, not the file.
                member.wrong.add(asset.source_id)
                del member.held[asset.id]
                self._again(asset)
                return False
            verdict = self._ledger.gone(asset)
        elif question.about == "changed":
            verdict = self._ledger.changed(asset, question.found)
        else:
            verdict = self._ledger.known(asset, question.found, question.content_hash, question.space_ids)
        if verdict is None:
            return True
        del member.held[asset.id]
        self._settle(Outcome(asset, verdict))
        return False

    def _lose(self, member: Member) -> None:
        """A node is lost: others take over what it held."""
        with self._lock:
            del self._members[member.name]
            self._gone = StageSeconds(
                self._gone.decode + member.stages.decode, self._gone.encode + member.stages.encode, 0.0
            )
        _log.warning("%s is lost; %d files go to other machines", member.name, len(member.held))
        for asset in member.held.values():
            again = msgspec.structs.replace(
                asset, takeovers=asset.takeovers + 1, deaths=asset.deaths + (1 if member.alone else 0)
            )
            if again.deaths >= self._max_attempts:
                reason = f"{again.deaths} machines died while they worked on nothing else; see the setting max_attempts"
                self._settle(Outcome(again, PermanentMediaError(f"{again.path}: {reason}")))
            else:
                self._again(again)

    def _again(self, asset: AssetRecord) -> None:
        """Let some node take it the next time."""
        if is_suspect(asset):
            self._suspects.append(asset)
        else:
            with self._lock:
                self._waiting.appendleft(asset)

    def _part(self) -> None:
        """Let every node stop, and take what it has encoded by then."""
        if self._failure is not None:
            return
        ends = time.monotonic() + _STOP_SECONDS
        told: set[str] = set()
        while self._members and time.monotonic() < ends:
            for member in self._members.values():
                if not member.exchanging and member.name not in told:
                    told.add(member.name)
                    self._order(member, [], stop=True)
            if not any(member.exchanging for member in self._members.values()):
                return
            self._listen(_POLL_SECONDS)

    def _settle(self, outcome: Outcome) -> None:
        if not self._open:
            self._open_since = time.monotonic()
        self._open.append(outcome)
        if isinstance(outcome.result, IndexedAsset | ReadAsset):
            self._open_segments += len(outcome.result.segments)

    def _close_block_if_due(self) -> None:
        block = self._block
        full = len(self._open) >= block.assets or self._open_segments >= block.segments
        due = bool(self._open) and time.monotonic() - self._open_since >= block.seconds
        idle = not self._waiting and not any(member.held for member in self._members.values())
        if full or due or idle:
            self._close_block()

    def _close_block(self) -> None:
        if self._open:
            block, self._open, self._open_segments = self._open, [], 0
            self._put(block)

    def _put(self, block: list[Outcome] | None) -> None:
        """Wait for the writer, which then sets the pace."""
        while self._failure is None:
            with suppress(queue.Full):
                self._blocks.put(block, timeout=_POLL_SECONDS)
                return
        raise _Failed

    # The thread that writes.

    def _write_all(self) -> None:
        while True:
            try:
                block = self._blocks.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if self._failure is not None:
                    return
                continue
            if block is None:
                return
            began = time.perf_counter()
            self._write(block)
            with self._lock:
                self._write_seconds += time.perf_counter() - began
                for outcome in block:
                    self._in_flight.pop(outcome.asset.id, None)
                self._lock.notify_all()

    def _guarded(self, target: object) -> None:
        assert callable(target)
        try:
            target()
        except _Failed:
            return
        except BaseException as error:  # noqa: BLE001 - raised again by the worker, which looks at `failure`
            with self._lock:
                self._failure = self._failure or error
                self._lock.notify_all()


class _Failed(Exception):
    """The other thread has failed: nothing may be sent any more."""
