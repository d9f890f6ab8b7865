"""Questions: what to search for, and the answer with its citations from what was found.

Joins the search with the language model. Knows hits and the language package; knows no ranking.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from search.active_space import ActiveSpace
from search.catalog import assets as catalog_assets
from search.catalog import segments, timeline
from search.catalog.database import Database
from search.catalog.records import AssetRecord, SegmentRecord
from search.errors import UsageError
from search.language.answerer import AnswerEvent, Event, SourcesEvent
from search.language.conversation import Conversation
from search.language.question_planning import AnswerType, QuestionPlan, plan_question
from search.query.parse import Reference, check_length, condition_of, parse_reference
from search.ranking.hits import asset_view, moment_of
from search.readers import Readers
from search.results import Answer, Filters, Hit, Part, Query
from search.runtime import tracing
from search.searcher import Searcher
from search.signals import Signal

MAX_PASSAGES = 10  # that are read beside the best hits
_WORDS = tuple(signal for signal in Signal if signal.holds_words)
MAX_GIVEN_SEGMENTS = 10_000  # read of an asset that the caller points at
# What a conversation has cited before is read again as if it had matched this well.
CARRIED_RELEVANCE = 0.5


class QuestionAnswerer:
    """Answers questions from the library. Thread-safe."""

    def __init__(self, database: Database, searcher: Searcher, readers: Readers, max_characters: int) -> None:
        self._database = database
        self._max_characters = max_characters  # of a question
        self._searcher = searcher
        self._readers = readers

    def stream(
        self,
        active: ActiveSpace,
        question: str,
        filters: Filters,
        limit: int,
        conversation: str | None,
        assets: Sequence[str] | None = None,
    ) -> Iterator[Event]:
        """Sources, then sentences as they pass the check, then the whole answer.

        With `assets` nothing is searched for: these are the sources. What makes no sense raises at once (UsageError),
        before the first event is asked for; whatever else fails, MedleyError then.
        """
        if not question.strip():
            raise UsageError("the question is empty")
        check_length(question, self._max_characters, "question")
        condition_of(filters)
        for reference in assets or ():
            parse_reference(reference)
        return self._events(active, question, filters, limit, Conversation.decode(conversation), assets)

    def _events(
        self,
        active: ActiveSpace,
        question: str,
        filters: Filters,
        limit: int,
        turns: Conversation,
        assets: Sequence[str] | None,
    ) -> Iterator[Event]:
        plan = msgspec.structs.replace(plan_question(question, turns), given=assets is not None)
        with tracing.span("find sources") as span:
            if plan.counts_all and assets is None:
                plan, hits = self._counted(active, plan, _narrowed(filters, plan))
            else:
                hits = self._sources(active, plan, filters, limit, turns) if assets is None else self._given(assets)
            # A count quotes no words and describes no picture: its many hits need nothing but their relevance.
            read = () if plan.want is AnswerType.COUNT else hits
            vectors, details = self._readers.vectors(active, read), self._readers.details(read)
            span.set(hits=len(hits))
        most = max(limit, plan.limit) if assets is None else len(hits)
        for event in self._readers.answerer(active).stream(plan, hits, vectors, turns, details):
            yield _bounded(event, most)

    def answer(
        self,
        active: ActiveSpace,
        question: str,
        filters: Filters,
        limit: int,
        conversation: str | None,
        assets: Sequence[str] | None = None,
    ) -> Answer:
        """The whole answer at once. Raises as `stream` does."""
        with tracing.span("ask"):
            for event in self.stream(active, question, filters, limit, conversation, assets):
                if isinstance(event, AnswerEvent):
                    return event.answer
        raise AssertionError("a stream ends with its answer")

    def sources(
        self, active: ActiveSpace, question: str, filters: Filters, limit: int
    ) -> tuple[QuestionPlan, list[Hit]]:
        """How a question is understood, and all that its answer is read from: more hits than an answer tells.

        For questions that begin a conversation.
        """
        plan = plan_question(question, None)
        return plan, self._sources(active, plan, filters, limit, Conversation())

    def _sources(
        self, active: ActiveSpace, plan: QuestionPlan, filters: Filters, limit: int, turns: Conversation
    ) -> list[Hit]:
        """What the searches find, and what the conversation has cited before."""
        wanted = max(limit, plan.limit)
        narrowed = _narrowed(filters, plan)
        hits = self._found(active, plan, narrowed, wanted)
        hits = [*hits, *self._carried(turns, hits)][:wanted]
        if narrowed.signal or plan.want is AnswerType.COUNT:
            return hits
        # In another language than its source, a passage matches no better than any photo does.
        words = msgspec.structs.replace(narrowed, signal=_WORDS)
        return _with_passages(hits, self._found(active, plan, words, MAX_PASSAGES))

    def _counted(self, active: ActiveSpace, plan: QuestionPlan, filters: Filters) -> tuple[QuestionPlan, list[Hit]]:
        """How many files the filters let pass, copies included, and the newest of them."""
        with self._database.read() as connection:
            total = timeline.total(connection, condition_of(filters))
        hits = self._searcher.search(active, Query(filters=filters, limit=plan.limit)).hits
        return msgspec.structs.replace(plan, total=total), list(hits)

    def _given(self, assets: Sequence[str]) -> list[Hit]:
        """The assets or stretches of them that the caller points at, with all that is known of them."""
        references = [parse_reference(reference) for reference in dict.fromkeys(assets)]
        with self._database.read() as connection:
            given = [
                (
                    reference,
                    catalog_assets.get_asset(connection, reference.asset_id),
                    segments.segments_of(connection, reference.asset_id, limit=MAX_GIVEN_SEGMENTS),
                )
                for reference in references
            ]
        return [_given_hit(reference, asset, held) for reference, asset, held in given]

    def _found(self, active: ActiveSpace, plan: QuestionPlan, filters: Filters, limit: int) -> list[Hit]:
        queries = (
            Query(parts=(Part(text=text),), filters=filters, limit=limit, rerank=False, text=text)
            for text in plan.searches
        )
        return _joined(hit for query in queries for hit in self._searcher.search(active, query).hits)

    def _carried(self, turns: Conversation, hits: Sequence[Hit]) -> list[Hit]:
        """The hits cited by earlier answers that the searches did not find again."""
        shown = {moment.segment_id for hit in hits for moment in hit.moments}
        wanted = [segment_id for segment_id in turns.segment_ids if segment_id not in shown]
        if not wanted:
            return []
        with self._database.read() as connection:
            return [_carried_hit(segment) for segment in segments.hydrate(connection, wanted) if segment.asset]


def _narrowed(filters: Filters, plan: QuestionPlan) -> Filters:
    """The filters with what the question itself says about where to look, unless the caller has set it."""
    if plan.files and not filters.path:
        filters = msgspec.structs.replace(filters, path=tuple(f"*{name}" for name in plan.files))
    if plan.only and not filters.signal:
        filters = msgspec.structs.replace(filters, signal=plan.only)
    if plan.counts_all and plan.kinds and not filters.kind:
        filters = msgspec.structs.replace(filters, kind=plan.kinds)
    return filters


def _with_passages(hits: Sequence[Hit], passages: Sequence[Hit]) -> list[Hit]:
    """The hits, with what passages add to them, and then the passages of other assets."""
    order = {hit.asset.id: rank for rank, hit in enumerate(hits)}
    return sorted(_joined((*hits, *passages)), key=lambda hit: order.get(hit.asset.id, len(order)))


def _bounded(event: Event, most: int) -> Event:
    """With at most that many hits; those that an answer cites come first where the others would crowd them out."""
    if isinstance(event, SourcesEvent):
        return SourcesEvent(event.hits[:most])
    if not isinstance(event, AnswerEvent):
        return event
    cited = {citation.asset_id for citation in (*event.answer.citations, *event.answer.closest)}
    beyond = tuple(hit for hit in event.answer.hits[most:] if hit.asset.id in cited)
    hits = (*beyond, *event.answer.hits)[:most]
    return AnswerEvent(msgspec.structs.replace(event.answer, hits=hits))


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
    moment = moment_of(segment, CARRIED_RELEVANCE)
    return Hit(asset=asset_view(segment.asset), relevance=CARRIED_RELEVANCE, moments=(moment,))


def _given_hit(reference: Reference, asset: AssetRecord, held: Sequence[SegmentRecord]) -> Hit:
    touched = [segment for segment in held if reference.touches(segment.start_seconds, segment.end_seconds)]
    return Hit(asset=asset_view(asset), relevance=1.0, moments=tuple(moment_of(segment, 1.0) for segment in touched))
