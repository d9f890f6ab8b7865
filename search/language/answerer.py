"""An answer from the library, every sentence with a citation that was checked, or "not found".

The embedded model is too small to be trusted with phrasing: it weighs which sentences of the sources
answer, and those are quoted. Larger models phrase freely, and each of their sentences passes the grounding
check or is dropped. Knows hits and models; searches nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from msgspec import Struct

from search.language import embedded_model, evidence, extractive_answers, prompts
from search.language.citations import EmbedTexts, Grounding, told_by_words, without_marks
from search.language.conversation import Conversation
from search.language.evidence import Origin, Span
from search.language.extractive_answers import Sentence
from search.language.lexical import gives_orders, sentences
from search.language.llm import LanguageModel, Limits, Piece, Prompt
from search.language.looking import Looker
from search.language.picture_captions import PictureReader
from search.language.prompt_pictures import PromptPicture, PromptPictures
from search.language.question_planning import SHOWN, AnswerType, QuestionPlan
from search.language.reading.value_types import ValueType
from search.language.span_scoring import ScoredSpan, SpanScorer
from search.multimodal.look_questions import Look, LookKind
from search.results import Answer, Citation, Hit, Kind
from search.runtime import tracing
from search.signals import Sense, Signal

MIN_RELEVANCE = 0.5  # of a hit whose file facts are told
FAINTLY_SEEN = 0.06  # of a picture that is counted, and shown to a larger model
# Of a picture or sound that answers a question about such; a fainter one is shown among what comes closest. Chosen on
# development questions of benchmarks/answer_lines.py: from 0.06 on 23 of 28 about what is not there had an answer, from
# here on 15, and of 156 about what is there 125 have a right one instead of 129.
POSSIBLY_SEEN = 0.15
SURELY_SEEN = 0.8  # relevance of a picture that answers a question which may be about something else than pictures
LEAST_RIGHT = 0.3  # share of looks of a kind, below which the model is not asked: it would mislead
MIN_IMPRESSION = 0.35  # nats a token that a picture must add to its own description
MAX_DESCRIBED = 2
MAY_ANSWER = 0.1  # probability that a line answers, from which it is shown where nothing does surely
MAX_CLOSEST = 3
FAINTEST = 0.2  # share of the threshold that a span needs to be shown to a larger model
MAX_SOURCES = 8  # in the prompt of a larger model
MAX_ANSWER_TOKENS = 200

_OF_WORDS = frozenset(
    {AnswerType.SPOKEN, AnswerType.WRITTEN, AnswerType.MOMENT}
    | {want for want in AnswerType if want.is_fact and want is not AnswerType.PLACE}
)
_SENSES = frozenset({Sense.SEEN, Sense.HEARD})
_LOOKED_FOR = SHOWN | {ValueType.COUNT, ValueType.WHEN}  # kinds of things that a look at a picture may tell


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
        scorer: SpanScorer,
        reader: PictureReader | None = None,
        grounding: Grounding | None = None,
        looker: Looker | None = None,
        pictures: PromptPictures | None = None,
    ) -> None:
        """`pictures`: those that a model that sees is shown."""
        self._model = model
        self._pictures = pictures
        self._space = space
        self._scorer = scorer
        self._grounding = grounding or Grounding(model, embed)
        self._reader = reader
        self._looker = looker

    def answer(
        self,
        plan: QuestionPlan,
        hits: Sequence[Hit],
        vectors: Mapping[int, np.ndarray],
        conversation: Conversation | None = None,
        details: Mapping[int, bytes] | None = None,
    ) -> Answer:
        """The answer from `hits`. By segment id, where known: `vectors`, `(d,) float32`; `details` of the catalogue."""
        for event in self.stream(plan, hits, vectors, conversation, details):
            if isinstance(event, AnswerEvent):
                return event.answer
        raise AssertionError("a stream ends with its answer")

    def stream(
        self,
        plan: QuestionPlan,
        hits: Sequence[Hit],
        vectors: Mapping[int, np.ndarray],
        conversation: Conversation | None = None,
        details: Mapping[int, bytes] | None = None,
    ) -> Iterator[Event]:
        """Sources, then sentences as they pass the check, then the whole answer. As `answer` otherwise."""
        started = time.perf_counter()
        yield SourcesEvent(tuple(hits))
        citations: list[Citation] = []
        texts: list[str] = []
        told = self._told_by_files(plan, hits)
        scored = [] if told is not None else self._weigh(plan, hits, details or {})
        for sentence in self._sentences(plan, hits, vectors, scored) if told is None else told:
            citation = _cited(plan, sentence, citations)
            texts.append(f"{sentence.words} [{citation.number}]")
            yield TextEvent(texts[-1])
        answer = " ".join(texts)
        turns = conversation or Conversation()
        segments = tuple(dict.fromkeys(citation.segment_id for citation in citations))
        yield AnswerEvent(
            Answer(
                question=plan.asked,
                answer=answer,
                found=bool(citations),
                citations=tuple(citations),
                closest=() if citations or plan.only else _closest(plan, scored),
                hits=tuple(hits),
                space=self._space,
                model=self._model.name,
                took_seconds=round(time.perf_counter() - started, 6),
                conversation=turns.with_turn(plan.question, answer, segments).encode(),
            )
        )

    def _told_by_files(self, plan: QuestionPlan, hits: Sequence[Hit]) -> list[Sentence] | None:
        """What counting files or reading their dates and places says; None where words or pictures must tell."""
        if plan.want is AnswerType.COUNT:
            return extractive_answers.from_count(plan, hits, FAINTLY_SEEN)
        if plan.want.is_fact:
            return extractive_answers.from_facts(plan, hits, MIN_RELEVANCE) or None
        return None

    def _weigh(self, plan: QuestionPlan, hits: Sequence[Hit], details: Mapping[int, bytes]) -> list[ScoredSpan]:
        """What the hits say, statement by statement, likeliest first."""
        spans = evidence.spoken_spans(plan.question, hits, details)
        with tracing.span("weigh sentences", sentences=len(spans)):
            scored = self._scorer.weigh(plan.question, spans, plan.expects)
        return extractive_answers.mentions_first(plan, scored) if plan.want is AnswerType.MOMENT else scored

    def _sentences(
        self,
        plan: QuestionPlan,
        hits: Sequence[Hit],
        vectors: Mapping[int, np.ndarray],
        scored: Sequence[ScoredSpan],
    ) -> Iterator[Sentence]:
        if not hits:
            return
        said = False
        if self._model.name != embedded_model.NAME:
            for sentence in self._written(plan, hits, vectors, scored):
                said = True
                yield sentence
        if not said:
            yield from self._quoted(plan, hits, vectors, scored)

    def _quoted(
        self,
        plan: QuestionPlan,
        hits: Sequence[Hit],
        vectors: Mapping[int, np.ndarray],
        scored: Sequence[ScoredSpan],
    ) -> list[Sentence]:
        """The sources' own words, or the pictures or sounds that match: what was asked for comes first."""
        if begun := extractive_answers.from_reading(plan, hits):
            return begun
        said = extractive_answers.from_words(plan, scored, self._scorer.threshold)
        look, sources = _look(plan, hits)
        if plan.only or (look and look.kind is LookKind.WHOLE):
            return self._perceived(plan, look, sources, vectors) or said
        return said or self._perceived(plan, look, sources, vectors)

    def _perceived(
        self, plan: QuestionPlan, look: Look | None, hits: Sequence[Hit], vectors: Mapping[int, np.ndarray]
    ) -> list[Sentence]:
        """What pictures or sounds tell, or which match. Not for questions about words: those they can't answer."""
        if plan.given and not look:
            return []  # they match whatever is asked
        looker = self._looker if look else None
        of_words = plan.want in _OF_WORDS and not (look and look.thing)  # "what colour is the sign?" is not
        if of_words or (plan.want.is_fact and not looker) or plan.expects not in (_LOOKED_FOR if looker else SHOWN):
            return []
        least = POSSIBLY_SEEN if looker or plan.want in (AnswerType.SEEN, AnswerType.HEARD) else SURELY_SEEN
        if look:
            whole = look.kind is LookKind.WHOLE
            possible = [evidence.looked_at(hit, look.sense) for hit in hits if not (whole and _told_in_words(hit))]
        else:
            senses = {signal.sense for signal in plan.only} or _SENSES
            possible = [evidence.perceived(hit, senses) for hit in hits]
        likely = sorted((hit for hit in possible if hit and hit.relevance >= least), key=lambda hit: -hit.relevance)
        shown = extractive_answers.sure_or_near(likely)[: extractive_answers.MAX_SENTENCES]
        hindrance = ""
        if look and looker and shown:
            chance = looker.chance(look)
            if chance >= LEAST_RIGHT:
                hindrance = looker.hindrance()
                with tracing.span("look or listen", items=len(shown)):
                    looked = self._looked(None if hindrance else looker, look, shown)
                if any(looked):
                    return extractive_answers.from_looks(list(zip(shown, looked, strict=True)), look, chance)
            if plan.given and not hindrance:
                return []  # that it may be there is no news to who points at it
        # What a picture shows besides is no answer to what a look at it could not tell.
        seeming = [""] * len(shown) if looker else self._impressions(shown, vectors)
        return extractive_answers.from_sights(list(zip(shown, seeming, strict=True)), look is not None, hindrance)

    def _looked(self, looker: Looker | None, look: Look, hits: Sequence[Hit]) -> list[str]:
        """What a look seems to tell about each hit. What it shows as a whole may be known from indexing."""
        known = [_in_a_sentence(hit.asset.caption or "") for hit in hits] if look.kind is LookKind.WHOLE else []
        if any(known):
            return known
        return looker.impressions(look, hits) if looker else [""] * len(hits)

    def _impressions(self, hits: Sequence[Hit], vectors: Mapping[int, np.ndarray]) -> list[str]:
        """What each hit's picture seems to show; "" where the model can't tell."""
        impressions = [_in_a_sentence(hit.asset.caption) if hit.asset.caption else "" for hit in hits]
        pictured = [i for i, hit in enumerate(hits) if hit.moments[0].signal.sense is Sense.SEEN]
        known = [i for i in pictured if hits[i].moments[0].segment_id in vectors and not impressions[i]]
        known = known[: max(0, MAX_DESCRIBED - sum(map(bool, impressions)))]
        if not self._reader or not known:
            return impressions
        stacked = np.stack([vectors[hits[i].moments[0].segment_id] for i in known])
        with tracing.span("describe pictures", pictures=len(known)):
            told = self._reader.describe(stacked)
        for i, described in zip(known, told, strict=True):
            if described.gain >= MIN_IMPRESSION:
                impressions[i] = _in_a_sentence(described.words)
        return impressions

    def _written(
        self,
        plan: QuestionPlan,
        hits: Sequence[Hit],
        vectors: Mapping[int, np.ndarray],
        scored: Sequence[ScoredSpan],
    ) -> Iterator[Sentence]:
        """Sentences of a larger model, each as soon as it is whole and has passed the check."""
        spans = self._spans(hits, vectors, scored)
        pictures = self._shown(plan, hits)
        if not spans and not pictures:
            return
        prompt = self._prompt(plan, spans, pictures)
        written, told, began_ns = "", 0, tracing.now_ns()
        limits = Limits(tokens=MAX_ANSWER_TOKENS, stop=("\nQuestion:",), chat=True)
        for piece in self._model.stream(prompt, limits):
            written += piece
            whole = sentences(written)
            for sentence in whole[told:-1]:
                yield from self._checked(sentence, spans, pictures, plan)
            told = max(told, len(whole) - 1)
        tracing.add("write answer", began_ns, sources=len(spans), pictures=len(pictures), characters=len(written))
        for sentence in sentences(written)[told:]:
            yield from self._checked(sentence, spans, pictures, plan)

    def _shown(self, plan: QuestionPlan, hits: Sequence[Hit]) -> list[PromptPicture]:
        """Pictures of the best sources, for a model that may be shown some; none where words alone can answer."""
        if self._pictures is None or plan.want in (AnswerType.SPOKEN, AnswerType.MOMENT, AnswerType.HEARD):
            return []
        likely = [hit for hit in hits[:MAX_SOURCES] if hit.relevance >= FAINTLY_SEEN]
        return self._pictures.of(likely) if likely and self._model.sees else []

    def _spans(
        self,
        hits: Sequence[Hit],
        vectors: Mapping[int, np.ndarray],
        scored: Sequence[ScoredSpan],
    ) -> list[Span]:
        # A claim must rest on words that could answer: otherwise a transcript could put its own into a model's mouth.
        least = self._scorer.threshold * FAINTEST
        spans = [candidate.span for candidate in scored if candidate.probability >= least]
        for hit in hits[:MAX_SOURCES]:
            # The date of a file that merely came closest answers nothing, but a small model takes it for an answer.
            if hit.moments and hit.relevance >= MIN_RELEVANCE:
                spans += [
                    Span(hit=hit, moment=hit.moments[0], origin=Origin.FILE, words=fact) for fact in evidence.facts(hit)
                ]
        possible = (evidence.perceived(hit, _SENSES) for hit in hits)
        seen = [hit for hit in possible if hit and hit.relevance >= MIN_RELEVANCE]
        for hit, impression in zip(seen, self._impressions(seen, vectors), strict=True):
            if impression:
                spans.append(Span(hit=hit, moment=hit.moments[0], origin=Origin.PICTURE, words=impression))
        return spans

    def _prompt(self, plan: QuestionPlan, spans: Sequence[Span], pictures: Sequence[PromptPicture]) -> Prompt:
        by_source: dict[str, list[Span]] = {}
        for span in spans:
            by_source.setdefault(span.name, []).append(span)
        lines = [
            prompts.source_line(number, name, " ".join(span.words for span in held))
            for number, (name, held) in enumerate(list(by_source.items())[:MAX_SOURCES], start=1)
        ]
        shown: list[Piece] = []
        for number, picture in enumerate(pictures, start=len(lines) + 1):
            shown += [prompts.picture_line(number, picture.name), picture.image]
        start = prompts.answer_start(lines, pictures=bool(shown))
        return (start, *shown, prompts.answer_end(plan.question))

    def _checked(
        self, sentence: str, spans: Sequence[Span], pictures: Sequence[PromptPicture], plan: QuestionPlan
    ) -> Iterator[Sentence]:
        words = without_marks(sentence)
        if not words or prompts.NOT_FOUND.lower() in words.lower() or gives_orders(words):
            return
        with tracing.span("check sentence", spans=len(spans), pictures=len(pictures)):
            support = self._grounding.check(words, spans, plan.question)
            picture = None if support else self._carrying(words, pictures, plan.question)
        if support:
            yield Sentence(words, support.span, support.support)
        elif picture:
            yield extractive_answers.from_picture(words, picture.hit, picture.moment)

    def _carrying(self, words: str, pictures: Sequence[PromptPicture], question: str) -> PromptPicture | None:
        """The picture that carries a sentence: the model, shown it alone, says that it does.

        Names and numbers of more than one digit come from words: they must stand in those that the library holds.
        """
        for picture in pictures:
            read = " ".join(moment.text or "" for moment in picture.hit.moments)
            setting = f"{read} {picture.name} {picture.hit.asset.title or ''} {question}"
            if not told_by_words(words) <= told_by_words(setting):
                continue
            asked = (picture.image, prompts.picture_check(words))
            (said,) = self._model.write([asked], Limits(tokens=4, stop=(), chat=True))
            if said.strip().lower().startswith("yes"):
                return picture
        return None


def _cited(plan: QuestionPlan, sentence: Sentence, citations: list[Citation]) -> Citation:
    """The citation of a sentence: a new one, or the one that already quotes the same words."""
    span, moment, quote = sentence.span, sentence.span.moment, sentence.span.words
    for citation in citations:
        if citation.segment_id == moment.segment_id and citation.quote == quote:
            return citation
    citation = Citation(
        number=len(citations) + 1,
        asset_id=span.hit.asset.id,
        path=span.hit.asset.path,
        segment_id=moment.segment_id,
        signal=moment.signal,
        start_seconds=span.answers_from(plan.expects, plan.question),
        end_seconds=moment.end_seconds if span.end_seconds is None else span.end_seconds,
        quote=quote,
        support=round(min(1.0, max(0.0, sentence.support)), 4),
        box=span.box,
        page=moment.page,
        lines=span.lines or moment.lines,
    )
    citations.append(citation)
    return citation


def _closest(plan: QuestionPlan, scored: Sequence[ScoredSpan]) -> tuple[Citation, ...]:
    """The lines that come closest to an answer, where there is none."""
    lines: list[Citation] = []
    for candidate in extractive_answers.likeliest(scored)[:MAX_CLOSEST]:
        if candidate.probability >= MAY_ANSWER:
            _cited(plan, Sentence(candidate.span.words, candidate.span, candidate.probability), lines)
    return tuple(lines)


def _look(plan: QuestionPlan, hits: Sequence[Hit]) -> tuple[Look | None, Sequence[Hit]]:
    """What a look may tell, and of which hits: of a source that holds words, only what is plainly seen or heard."""
    if look := plan.look(()):
        return look, hits
    wordless = [hit for hit in hits if not evidence.holds_words(hit)]
    look = plan.look({sense for sense in _SENSES if any(evidence.looked_at(hit, sense) for hit in wordless)})
    return look, wordless if look else hits


def _in_a_sentence(caption: str) -> str:
    return caption[:1].lower() + caption[1:].rstrip(". ")


def _told_in_words(hit: Hit) -> bool:
    """Whether its words say what it is: of a document, and of a recording in which somebody speaks."""
    spoken = any(moment.signal is Signal.SPEECH for moment in hit.moments)
    return hit.asset.kind is Kind.DOCUMENT or (hit.asset.kind is Kind.AUDIO and spoken)
