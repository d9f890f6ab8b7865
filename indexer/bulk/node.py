"""One machine's part of a bulk job: the worker's own pipeline, fed and emptied by exchanges with a coordinator.

Needs no catalogue: what only the catalogue knows is asked of the coordinator, and outcomes go to it. Knows no
network; whoever runs it hands messages in and out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence

from indexer.bulk import messages
from indexer.bulk.messages import Order, Question, Report, Result
from indexer.ingest.intake import Settled
from indexer.ingest.pipeline import Stages, Write
from indexer.ingest.task import Outcome
from indexer.sources.files import SourceFiles
from indexer.sources.places import files_of
from search.catalog.records import AssetRecord, FoundFile, SourceRecord
from search.errors import TransientMediaError
from search.settings import Settings

QUIET_SECONDS = 0.5  # without news, a report is sent all the same: the coordinator may have more work
LOOK_SECONDS = 5.0  # a mount that comes back is noticed this late
SMALL_REPORT = 16  # this many results are worth a report at once


class _News:
    """What waits for the next report. Thread-safe."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.results: list[Result] = []
        self.questions: list[Question] = []

    def gather(self, seconds: float) -> tuple[list[Result], list[Question]]:
        """Wait for news, then for company of theirs; a question never waits for company: somebody waits for it."""
        with self.changed:
            self.changed.wait_for(lambda: self.results or self.questions, QUIET_SECONDS)
            self.changed.wait_for(lambda: self.questions or len(self.results) >= SMALL_REPORT, seconds)
            results, self.results = self.results, []
            questions, self.questions = self.questions, []
        return results, questions


class AskingLedger:
    """The ledger of a node: every question goes to the coordinator. Thread-safe."""

    def __init__(self, news: _News) -> None:
        self._news = news
        self._answers: dict[int, bool] = {}
        self._answered = threading.Condition()
        self._stopped = False

    def gone(self, asset: AssetRecord) -> Settled:
        """Only the coordinator sees whether the whole source is away."""
        return self._ask(Question(asset_id=asset.id, about="gone")) or Settled()

    def changed(self, asset: AssetRecord, file: FoundFile) -> Settled:
        """The coordinator writes it down."""
        return self._ask(Question(asset_id=asset.id, about="changed", found=file)) or Settled()

    def told_hash(self, asset: AssetRecord) -> str | None:  # noqa: ARG002 - as every ledger
        """Not asked for: the file is fetched, and its contents tell."""
        return None

    def known(
        self, asset: AssetRecord, file: FoundFile, content_hash: str, space_ids: Collection[int]
    ) -> Settled | None:
        """Whether the catalogue holds these contents."""
        question = Question(
            asset_id=asset.id, about="known", found=file, content_hash=content_hash, space_ids=list(space_ids)
        )
        return self._ask(question)

    def answer(self, answers: dict[int, bool]) -> None:
        """What the coordinator said, by asset id."""
        with self._answered:
            self._answers |= answers
            self._answered.notify_all()

    def stop(self) -> None:
        """No more answers will come."""
        with self._answered:
            self._stopped = True
            self._answered.notify_all()

    def _ask(self, question: Question) -> Settled | None:
        """Settled by the coordinator, or None: to be decoded."""
        with self._news.changed:
            self._news.questions.append(question)
            self._news.changed.notify_all()
        with self._answered:
            self._answered.wait_for(lambda: self._stopped or question.asset_id in self._answers)
            if question.asset_id not in self._answers:
                raise TransientMediaError("the job was stopped")
            return None if self._answers.pop(question.asset_id) else Settled()


class ToldPlaces:
    """The files of the sources that the coordinator has announced. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._files: dict[int, SourceFiles] = {}
        self._looked_at = 0.0
        self._looked: set[int] = set()
        self._unseen: set[int] = set()

    def tell(self, sources: Sequence[SourceRecord]) -> None:
        """These sources have files."""
        self._files |= {source.id: files_of(source, self._settings) for source in sources}

    def unseen(self) -> set[int]:
        """Ids of the sources that this machine can't see now: a mount is away, a store refuses it."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_SECONDS or not self._files.keys() <= self._looked:
            self._looked_at, self._looked = now, set(self._files)
            self._unseen = {source_id for source_id, files in self._files.items() if not files.answers()}
        return self._unseen

    def of(self, asset: AssetRecord) -> SourceFiles:
        """The files of the source that an asset is in."""
        return self._files[asset.source_id]


class Node:
    """Exchanges orders for reports, from one thread."""

    def __init__(
        self,
        open_stages: Callable[[AskingLedger, Write], Stages],
        release: Callable[[], None],
        places: ToldPlaces,
    ) -> None:
        """`release` lets go of what the stages work with, which look for files in `places`."""
        self._news = _News()
        self.places = places
        self._ledger = AskingLedger(self._news)
        self._stages = open_stages(self._ledger, self._collect)
        self._release = release
        self._stopped = False

    def exchange(self, data: bytes) -> bytes:
        """Take an order, wait for news, and report them."""
        order: Order = messages.decode(data, Order)
        self.places.tell(order.sources)
        self._ledger.answer(order.answers)
        unseen = self.places.unseen()
        back = [asset.id for asset in order.assets if asset.source_id in unseen]
        for asset in order.assets:
            if asset.source_id not in unseen:
                self._stages.submit(asset)
        if order.stop and not self._stopped:
            self.close()
        results, questions = self._news.gather(0.0 if self._stopped or back else order.gather_seconds)
        failure = self._stages.failure
        if failure is not None and not results:
            time.sleep(order.gather_seconds)  # a caller that asks again and again is slowed down
        report = Report(
            results=results,
            questions=questions,
            back=back,
            unseen=sorted(unseen),
            stages=self._stages.seconds(),
            failure=None if failure is None else str(failure) or type(failure).__name__,
        )
        return messages.encode(report)

    def close(self) -> None:
        """Stop the stages, end decoders, release models."""
        if not self._stopped:
            self._stopped = True
            self._ledger.stop()
            self._stages.stop()
            self._release()

    def _collect(self, outcomes: Sequence[Outcome]) -> None:
        # Packed here, by the thread that writes, so that an exchange only hands over.
        results = [messages.result_of(outcome) for outcome in outcomes]
        with self._news.changed:
            self._news.results += results
            self._news.changed.notify_all()
