"""An engine that answers without a language model, at once and always the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from search.engine import SearchEngine
from search.errors import LanguageModelError, NotFoundError
from search.language.answerer import AnswerEvent, Event, SourcesEvent, TextEvent
from search.results import Answer, Citation, Filters
from search.signals import Signal


class ScriptedEngine(SearchEngine):
    """An engine whose answers come at once, without a language model."""

    def ask(
        self,
        question: str,
        filters: Filters = Filters(),
        limit: int = 8,
        conversation: str | None = None,
        assets: Sequence[str] | None = None,
    ) -> Answer:
        if "broken" in question:
            raise LanguageModelError("the model is not there")
        if "bug" in question:
            raise RuntimeError("secret internals")
        citation = Citation(
            number=1, asset_id="1", path="/a.ogg", segment_id=1, signal=Signal.SPEECH,
            start_seconds=1.0, end_seconds=2.0, quote="at noon", support=0.9,
        )  # fmt: skip
        if assets:
            raise NotFoundError(f"there is no asset {assets[0]}")
        found = "noon" in question and assets is None
        return Answer(
            question=question,
            answer="At noon. [1]" if found else "",
            found=found,
            citations=(citation,) if found else (),
            hits=(),
            space="words",
            model="scripted",
            took_seconds=0.01,
        )

    def ask_stream(
        self,
        question: str,
        filters: Filters = Filters(),
        limit: int = 8,
        conversation: str | None = None,
        assets: Sequence[str] | None = None,
    ) -> Iterator[Event]:
        yield SourcesEvent(())
        answer = self.ask(question, filters, limit, conversation, assets)
        yield TextEvent(answer.answer)
        yield AnswerEvent(answer)

    def score_texts(self, query: str, texts: Sequence[str]) -> list[float]:
        return [float(query in text) for text in texts]
