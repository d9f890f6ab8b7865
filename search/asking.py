"""Questions: what to search for, what to read, and the answer with its citations; and a second look at rankings.

Joins the search with the language model. Knows hits, vectors and the language package; knows no ranking.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec
import numpy as np

from search.catalog import embeddings, segments
from search.catalog.database import Database
from search.catalog.records import SegmentRecord
from search.errors import UsageError
from search.language.answerer import Answerer, AnswerEvent, Event
from search.language.backends import open_language_model
from search.language.conversation import Conversation
from search.language.pictures import open_reader
from search.language.reranker import Reranker
from search.language.rewriting import plan_question
from search.results import Answer, Filters, Hit, Moment, Part, Query, SearchResult, Signal
from search.serving import Serving
from search.settings import Settings
from search.views import asset_view, thumbnail_of

MAX_QUESTION_CHARACTERS = 2000
# What a conversation has cited before is read again as if it had matched this well.
CARRIED_RELEVANCE = 0.5

Search = Callable[[Query], SearchResult]


class Asker:
    """Answers questions and reranks hits with the language model of the settings. Thread-safe."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._model = open_language_model(settings)
        self._lock = threading.Lock()
        self._readers: dict[int, tuple[Answerer, Reranker]] = {}  # by space id

    def stream(
        self, serving: Serving, search: Search, question: str, filters: Filters, limit: int, conversation: str | None
    ) -> Iterator[Event]:
        """Sources, then sentences as they pass the check, then the whole answer. Raises UsageError, MedleyError."""
        if not question.strip():
            raise UsageError("the question is empty")
        if len(question) > MAX_QUESTION_CHARACTERS:
            raise UsageError(f"the question has {len(question)} characters; {MAX_QUESTION_CHARACTERS} are allowed")
        turns = Conversation.decode(conversation)
        plan = plan_question(question, turns)
        wanted = max(limit, plan.limit)
        if plan.files and not filters.path:
            filters = msgspec.structs.replace(filters, path=tuple(f"*{name}" for name in plan.files))
        if plan.counts_all and plan.kinds and not filters.kind:
            filters = msgspec.structs.replace(filters, kind=plan.kinds)
        found = [
            search(Query(parts=(Part(text=text),), filters=filters, limit=wanted, rerank=False, text=text))
            for text in plan.searches
        ]
        hits = _joined([hit for result in found for hit in result.hits])
        hits = [*hits, *self._carried(turns, hits)][:wanted]
        answerer, _ = self._of(serving)
        yield from answerer.stream(question, hits, self._vectors(serving, hits), turns)

    def answer(
        self, serving: Serving, search: Search, question: str, filters: Filters, limit: int, conversation: str | None
    ) -> Answer:
        """The whole answer at once."""
        for event in self.stream(serving, search, question, filters, limit, conversation):
            if isinstance(event, AnswerEvent):
                return event.answer
        raise AssertionError("a stream ends with its answer")

    def rerank(self, serving: Serving, question: str, hits: Sequence[Hit], *, only_wins: bool) -> tuple[Hit, ...]:
        """The hits in the order that the language model's second look gives them."""
        _, reranker = self._of(serving)
        return reranker.rerank(question, hits, self._vectors(serving, hits), only_wins=only_wins)

    def score_texts(self, serving: Serving, query: str, texts: Sequence[str]) -> list[float]:
        """How relevant each text is for the query, in [0, 1]."""
        _, reranker = self._of(serving)
        return reranker.score_texts(query, texts)

    def release(self) -> None:
        """Let go of the language model; it loads again when needed."""
        self._model.release()

    def _of(self, serving: Serving) -> tuple[Answerer, Reranker]:
        with self._lock:
            if serving.record.id not in self._readers:

                def embed(texts: Sequence[str]) -> np.ndarray:
                    return serving.space.embed(Signal.SPEECH, texts)

                reader = open_reader(self._model, serving.space.fingerprint)
                self._readers[serving.record.id] = (
                    Answerer(self._model, embed, serving.record.name, reader),
                    Reranker(self._model, embed, reader),
                )
            return self._readers[serving.record.id]

    def _vectors(self, serving: Serving, hits: Iterable[Hit]) -> Mapping[int, np.ndarray]:
        """Stored vectors `(d,) float32` of the hits' moments, by segment id."""
        ids = [moment.segment_id for hit in hits for moment in hit.moments]
        if not ids:
            return {}
        with self._database.read() as connection:
            held, rows = embeddings.vectors_of(connection, serving.record.id, ids)
        return dict(zip(held.tolist(), rows.astype(np.float32), strict=True))

    def _carried(self, turns: Conversation, hits: Sequence[Hit]) -> list[Hit]:
        """What earlier answers cited, where the searches did not find it again."""
        shown = {moment.segment_id for hit in hits for moment in hit.moments}
        wanted = [segment_id for segment_id in turns.segment_ids if segment_id not in shown]
        if not wanted:
            return []
        with self._database.read() as connection:
            return [_carried_hit(segment) for segment in segments.hydrate(connection, wanted) if segment.asset]


def _joined(hits: Iterable[Hit]) -> list[Hit]:
    """One hit per asset: the best relevance, and all moments, best first."""
    assets: dict[str, Hit] = {}
    for hit in hits:
        known = assets.setdefault(hit.asset.id, hit)
        if known is not hit:
            moments = {moment.segment_id: moment for moment in (*hit.moments, *known.moments)}
            assets[hit.asset.id] = msgspec.structs.replace(
                known,
                relevance=max(known.relevance, hit.relevance),
                moments=tuple(sorted(moments.values(), key=lambda moment: -moment.relevance)),
            )
    return sorted(assets.values(), key=lambda hit: -hit.relevance)


def _carried_hit(segment: SegmentRecord) -> Hit:
    assert segment.asset is not None
    moment = Moment(
        segment_id=segment.id,
        signal=Signal(segment.signal),
        start_seconds=segment.start_seconds,
        end_seconds=segment.end_seconds,
        text=segment.text,
        score=0.0,
        relevance=CARRIED_RELEVANCE,
        thumbnail=thumbnail_of(segment.id),
    )
    return Hit(asset=asset_view(segment.asset), relevance=CARRIED_RELEVANCE, moments=(moment,))
