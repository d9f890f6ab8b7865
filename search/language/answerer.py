"""An answer from the library, every sentence with a citation that was checked, or "not found".

The embedded model is too small to be trusted with phrasing: it weighs which sentences of the sources
answer, and those are quoted. Larger models phrase freely, and each of their sentences passes the grounding
check or is dropped. Knows hits and models; searches nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np
from msgspec import Struct

from search.language import composing, embedded, evidence, prompts
from search.language.citations import EmbedTexts, Grounding, gives_orders, without_marks
from search.language.composing import Sentence
from search.language.conversation import Conversation
from search.language.evidence import Origin, Span
from search.language.llm import LanguageModel, Limits
from search.language.pictures import PictureReader
from search.language.rewriting import QuestionPlan, Want, plan_question
from search.language.weighing import Weighing
from search.language.wording import content, overlap, sentences
from search.results import Answer, Citation, Hit, Signal

MIN_RELEVANCE = 0.5  # of a hit whose file facts are told
# Of a picture that is shown to who asks for pictures. Fitted on the validation questions of benchmarks/answers.py: with
# 0.1 a tenth of what is there is denied, with 0.2 more than a quarter; of what is not there 0.90 and 0.94.
FAINTLY_SEEN = 0.1
SURELY_SEEN = 0.8  # relevance of a picture that answers a question which may be about something else than pictures
MIN_IMPRESSION = 0.35  # nats a token that a picture must add to its own description
MAX_DESCRIBED = 2
FAINTEST = 0.2  # share of the threshold that a span needs to be shown to a larger model
MAX_SOURCES = 8  # in the prompt of a larger model
MAX_ANSWER_TOKENS = 200
_SIGHTS = (Signal.IMAGE, Signal.FRAME, Signal.SOUND)


class SourcesEvent(Struct, frozen=True, tag="sources"):
    """What the answer will be drawn from; comes first."""

    hits: tuple[Hit, ...]


class TextEvent(Struct, frozen=True, tag="text"):
    """A further sentence, already checked, with its mark."""

    text: str


class AnswerEvent(Struct, frozen=True, tag="answer"):
    """The whole answer with its citations; comes last."""

    answer: Answer


Event = SourcesEvent | TextEvent | AnswerEvent


class Answerer:
    """Thread-safe; the language model loads at the first question."""

    def __init__(
        self,
        model: LanguageModel,
        embed: EmbedTexts,
        space: str,
        reader: PictureReader | None = None,
        weighing: Weighing | None = None,
        grounding: Grounding | None = None,
    ) -> None:
        self._model = model
        self._space = space
        self._weighing = weighing or Weighing(model, embed)
        self._grounding = grounding or Grounding(model, embed)
        self._reader = reader

    def answer(
        self,
        question: str,
        hits: Sequence[Hit],
        vectors: Mapping[int, np.ndarray],
        conversation: Conversation | None = None,
    ) -> Answer:
        """The answer from `hits`. `vectors`: `(d,) float32` by segment id, where known."""
        for event in self.stream(question, hits, vectors, conversation):
            if isinstance(event, AnswerEvent):
                return event.answer
        raise AssertionError("a stream ends with its answer")

    def stream(
        self,
        question: str,
        hits: Sequence[Hit],
        vectors: Mapping[int, np.ndarray],
        conversation: Conversation | None = None,
    ) -> Iterator[Event]:
        """Sources, then sentences as they pass the check, then the whole answer."""
        started = time.perf_counter()
        plan = plan_question(question, conversation)
        yield SourcesEvent(tuple(hits))
        citations: list[Citation] = []
        texts: list[str] = []
        for sentence in self._sentences(plan, hits, vectors):
            citation = _cited(sentence, citations)
            texts.append(f"{sentence.words} [{citation.number}]")
            yield TextEvent(texts[-1])
        answer = " ".join(texts)
        turns = conversation or Conversation()
        segments = tuple(dict.fromkeys(citation.segment_id for citation in citations))
        yield AnswerEvent(
            Answer(
                question=question,
                answer=answer,
                found=bool(citations),
                citations=tuple(citations),
                hits=tuple(hits),
                space=self._space,
                model=self._model.name,
                took_seconds=round(time.perf_counter() - started, 6),
                conversation=turns.with_turn(plan.question, answer, segments).encode(),
            )
        )

    def _sentences(
        self, plan: QuestionPlan, hits: Sequence[Hit], vectors: Mapping[int, np.ndarray]
    ) -> Iterator[Sentence]:
        if not hits:
            return
        if plan.want.is_fact:
            yield from composing.from_facts(plan, _named_first(plan, hits), MIN_RELEVANCE)
        elif plan.want is Want.COUNT:
            yield from composing.from_count(plan, hits, FAINTLY_SEEN)
        elif self._model.name == embedded.NAME:
            yield from self._quoted(plan, hits, vectors)
        else:
            yield from self._written(plan, hits, vectors)

    def _quoted(self, plan: QuestionPlan, hits: Sequence[Hit], vectors: Mapping[int, np.ndarray]) -> Iterator[Sentence]:
        if begun := composing.from_reading(plan, hits):
            yield from begun
            return
        spans = evidence.spoken_spans(plan.question, hits)
        weighed = self._weighing.weigh(plan.question, spans)
        threshold = self._weighing.weights.threshold
        if plan.want is not Want.SEEN and (said := composing.from_words(plan, weighed, threshold)):
            yield from said
            return
        if sights := self._sights(plan, hits, vectors):
            yield from sights
        else:
            yield from composing.from_words(plan, weighed, threshold)

    def _sights(self, plan: QuestionPlan, hits: Sequence[Hit], vectors: Mapping[int, np.ndarray]) -> list[Sentence]:
        """Pictures and sounds that match. Not for questions about words: those a picture can't answer."""
        if plan.want in (Want.SPOKEN, Want.WRITTEN, Want.MOMENT):
            return []
        least = FAINTLY_SEEN if plan.want is Want.SEEN else SURELY_SEEN
        seen = [hit for hit in hits if hit.relevance >= least and _sight(hit)]
        shown = composing.sure_or_near(seen)[: composing.MAX_SENTENCES]
        return composing.from_sights(list(zip(shown, self._impressions(shown, vectors), strict=True)))

    def _impressions(self, hits: Sequence[Hit], vectors: Mapping[int, np.ndarray]) -> list[str]:
        """What each hit's picture seems to show; "" where the model can't tell."""
        known = [i for i, hit in enumerate(hits) if hit.moments[0].segment_id in vectors][:MAX_DESCRIBED]
        impressions = [""] * len(hits)
        if not self._reader or not known:
            return impressions
        stacked = np.stack([vectors[hits[i].moments[0].segment_id] for i in known])
        for i, described in zip(known, self._reader.describe(stacked), strict=True):
            if described.gain >= MIN_IMPRESSION:
                impressions[i] = described.words[:1].lower() + described.words[1:]
        return impressions

    def _written(
        self, plan: QuestionPlan, hits: Sequence[Hit], vectors: Mapping[int, np.ndarray]
    ) -> Iterator[Sentence]:
        """Sentences of a larger model, each as soon as it is whole and has passed the check."""
        spans = self._spans(plan, hits, vectors)
        if not spans:
            return
        prompt = self._prompt(plan, spans)
        written, told = "", 0
        limits = Limits(tokens=MAX_ANSWER_TOKENS, stop=("\nQuestion:",), chat=True)
        for piece in self._model.stream(prompt, limits):
            written += piece
            whole = sentences(written)
            for sentence in whole[told:-1]:
                yield from self._checked(sentence, spans, plan)
            told = max(told, len(whole) - 1)
        for sentence in sentences(written)[told:]:
            yield from self._checked(sentence, spans, plan)

    def _spans(self, plan: QuestionPlan, hits: Sequence[Hit], vectors: Mapping[int, np.ndarray]) -> list[Span]:
        # A claim must rest on words that could answer: otherwise a transcript could put its own into a model's mouth.
        least = self._weighing.weights.threshold * FAINTEST
        weighed = self._weighing.weigh(plan.question, evidence.spoken_spans(plan.question, hits))
        spans = [one.span for one in weighed if one.probability >= least]
        for hit in hits[:MAX_SOURCES]:
            # When a file that merely came closest was made is no answer, but a small model takes it for one.
            if hit.moments and hit.relevance >= MIN_RELEVANCE:
                spans += [
                    Span(hit=hit, moment=hit.moments[0], origin=Origin.FILE, words=fact) for fact in evidence.facts(hit)
                ]
        seen = [hit for hit in hits if hit.relevance >= MIN_RELEVANCE and _sight(hit)]
        for hit, impression in zip(seen, self._impressions(seen, vectors), strict=True):
            if impression:
                spans.append(Span(hit=hit, moment=hit.moments[0], origin=Origin.PICTURE, words=impression))
        return spans

    def _prompt(self, plan: QuestionPlan, spans: Sequence[Span]) -> tuple[str, ...]:
        by_source: dict[str, list[Span]] = {}
        for span in spans:
            by_source.setdefault(span.name, []).append(span)
        lines = [
            prompts.source_line(number, name, " ".join(span.words for span in held))
            for number, (name, held) in enumerate(list(by_source.items())[:MAX_SOURCES], start=1)
        ]
        return (prompts.answer_start(lines), prompts.answer_end(plan.question))

    def _checked(self, sentence: str, spans: Sequence[Span], plan: QuestionPlan) -> Iterator[Sentence]:
        words = without_marks(sentence)
        if not words or prompts.NOT_FOUND.lower() in words.lower() or gives_orders(words):
            return
        if support := self._grounding.check(words, spans, plan.question):
            yield Sentence(words, support.span, support.support)


def _cited(sentence: Sentence, citations: list[Citation]) -> Citation:
    """The citation of a sentence: a new one, or the one that already quotes the same words."""
    moment, quote = sentence.span.moment, sentence.span.words
    for citation in citations:
        if citation.segment_id == moment.segment_id and citation.quote == quote:
            return citation
    citation = Citation(
        number=len(citations) + 1,
        asset_id=sentence.span.hit.asset.id,
        path=sentence.span.hit.asset.path,
        segment_id=moment.segment_id,
        signal=moment.signal,
        start_seconds=moment.start_seconds,
        end_seconds=moment.end_seconds,
        quote=quote,
        support=round(min(1.0, max(0.0, sentence.support)), 4),
    )
    citations.append(citation)
    return citation


def _named_first(plan: QuestionPlan, hits: Sequence[Hit]) -> list[Hit]:
    """A file that the question names comes before one that merely matches, and is surely meant."""
    wanted = content(plan.question)
    meant: list[Hit] = []
    other: list[Hit] = []
    for hit in hits:
        name = hit.asset.path.rsplit("/", 1)[-1]
        stem = content(name.rsplit(".", 1)[0].replace("_", " ").replace("-", " "))
        named = name in plan.files or (not plan.files and overlap(stem, wanted) >= 1.0)
        (meant if named else other).append(msgspec.structs.replace(hit, relevance=1.0) if named else hit)
    return [*meant, *other]


def _sight(hit: Hit) -> bool:
    return bool(hit.moments) and hit.moments[0].signal in _SIGHTS
