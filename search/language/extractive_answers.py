"""Sentences of an answer, in the sources' own words, for models too small to be trusted with phrasing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from search.language import evidence
from search.language.evidence import Origin, Span
from search.language.lexical import content, overlap
from search.language.question_planning import AnswerType, QuestionPlan, sought
from search.language.span_scoring import ScoredSpan
from search.multimodal.look_questions import Look, LookKind
from search.results import Hit, Kind, Moment
from search.signals import Sense, Signal

MAX_SENTENCES = 3
# A further span is said too when it is nearly as likely as the best one.
NEARLY = 0.85
MENTIONED = 0.9  # probability that a statement with all words of a thing mentions it
SURE = 0.5  # relevance of what matches; with less it may match
NEARLY_SEEN = 0.95  # of the best picture's relevance: of pictures that only may match, these are shown
# Chance that a larger model is right about a picture. None could be measured, and each differs: as good as a coin.
LARGER_MODEL = 0.5
MAX_LISTED = 20  # of things that are counted
_NOUNS = {Kind.IMAGE: "photo", Kind.VIDEO: "video", Kind.AUDIO: "recording", Kind.DOCUMENT: "document"}


class Sentence(Struct, frozen=True):
    """One sentence of an answer with the span that it rests on."""

    words: str
    span: Span
    support: float


def from_words(plan: QuestionPlan, weighed: Sequence[ScoredSpan], threshold: float) -> list[Sentence]:
    """The spans that answer, each in a sentence of its own."""
    if not weighed or weighed[0].probability < threshold:
        return []
    best = weighed[0].probability
    chosen = [candidate for candidate in weighed if candidate.probability >= max(threshold, NEARLY * best)][
        :MAX_SENTENCES
    ]
    return [
        Sentence(_say(plan.want, candidate.span), candidate.span, candidate.probability)
        for candidate in likeliest(chosen)
    ]


def likeliest(scored: Sequence[ScoredSpan]) -> list[ScoredSpan]:
    """Likeliest first; of spans with the same words the first."""
    distinct = {candidate.span.words: candidate for candidate in reversed(scored)}
    return sorted(distinct.values(), key=lambda candidate: -candidate.probability)


def mentions_first(plan: QuestionPlan, scored: Sequence[ScoredSpan]) -> list[ScoredSpan]:
    """For questions about when something is mentioned: a passage that holds all of its words surely mentions it."""
    wanted = content(sought(plan.question))
    held = [
        ScoredSpan(candidate.span, max(candidate.probability, MENTIONED))
        if overlap(wanted, content(candidate.span.words)) == 1
        else candidate
        for candidate in scored
    ]
    return sorted(held, key=lambda candidate: -candidate.probability)


def from_facts(plan: QuestionPlan, hits: Sequence[Hit], least: float) -> list[Sentence]:
    """What the best-matching file says about itself."""
    for hit in _of_kind(plan, _named_first(plan, hits)):
        if hit.relevance < least:
            return []
        if span := evidence.fact_span(plan.want, hit):
            return [Sentence(span.words, span, hit.relevance)]
    return []


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


def from_reading(plan: QuestionPlan, hits: Sequence[Hit]) -> list[Sentence]:
    """How a file begins that the question names, where it asks for nothing in particular that it says."""
    for hit in hits:
        if plan.asks_all_of(hit.asset.path):
            spans = evidence.spoken_spans("", [hit])[:MAX_SENTENCES]
            return [Sentence(_say(plan.want, span), span, 1.0) for span in spans]
    return []


def from_count(plan: QuestionPlan, hits: Sequence[Hit], least: float) -> list[Sentence]:
    """How many hits match, each named and cited.

    Relevances are calibrated, so their sum is how many are to be expected; hits below `least` don't count.
    """
    counted = [hit for hit in _of_kind(plan, hits) if hit.moments]
    if not plan.counts_all:
        counted = [hit for hit in counted if hit.relevance >= least]
        sure = sum(hit.relevance >= SURE for hit in counted)
        counted = counted[: max(1, sure, round(sum(hit.relevance for hit in counted)))]
    if not counted:
        return []
    number = len(counted) if plan.total is None else plan.total
    several = number > 1
    many = f"{number:,} {_NOUNS[plan.kinds[0]] if len(plan.kinds) == 1 else 'file'}{'s' if several else ''}"
    if plan.counts_all:
        many = f"{many} in the library"
    else:
        many = f"{'About ' if counted[-1].relevance < SURE else ''}{many} {_match(counted[0], several)}"
    listed = list(_seen(counted[:MAX_LISTED]))
    return [
        Sentence(f"{many}: {span.name}." if index == 0 else f"{span.name}.", span, span.hit.relevance)
        for index, span in enumerate(listed)
    ]


def sure_or_near(hits: Sequence[Hit]) -> list[Hit]:
    """Of pictures that may match, best first: those that surely do, and those nearly as likely as the best."""
    return [hit for hit in hits if hit.relevance >= min(SURE, NEARLY_SEEN * hits[0].relevance)]


def from_sights(descriptions: Sequence[tuple[Hit, str]], asked_to_look: bool, hindrance: str = "") -> list[Sentence]:
    """Pictures that match, with the model's impression where it has one; or, where more is asked for, where to look.

    `hindrance`: what keeps the model that looks from doing so, a clause that the first sentence tells.
    """
    sentences: list[Sentence] = []
    for hit, impression in descriptions[:MAX_SENTENCES]:
        (span,) = _seen([hit])
        at = _place(span)
        heard = span.moment.signal.sense is Sense.HEARD
        match = ("may hold it" if heard else "may show it") if asked_to_look else _match(hit)
        seems = "it sounds like" if heard else "it seems to show"
        words = f"{span.name}{at} {match}{f'; {seems}: {impression}' if impression else ''}."
        if hindrance and not sentences:
            words = f"{words[:-1]}; the model that could tell {hindrance}."
        sentences.append(Sentence(words, span, hit.relevance))
    return sentences


def from_picture(words: str, hit: Hit, moment: Moment) -> Sentence:
    """What a larger model says about a picture, as an impression: only the model itself can check it."""
    span = Span(hit=hit, moment=moment, origin=Origin.PICTURE, words=hit.asset.path)
    support = LARGER_MODEL * hit.relevance
    return Sentence(f"{words.rstrip('. ')}, as {span.name}{_place(span)} seems to show.", span, support)


def from_looks(looks: Sequence[tuple[Hit, str]], look: Look, chance: float) -> list[Sentence]:
    """What a look at a picture, or listening to a sound, seems to answer; those that say nothing are left out.

    `chance`: that what is said is right, where the picture or sound is the one that was meant.
    """
    heard = look.sense is Sense.HEARD
    way = "Listening to" if heard else "Looking at"
    seems = "the answer seems to be"
    if look.kind is LookKind.WHOLE:
        seems = "it sounds like" if heard else "it seems to show"
    sentences = []
    for hit, words in looks[:MAX_SENTENCES]:
        if words:
            (span,) = _seen([hit])
            told = f"{way} {span.name}{_place(span)}, {seems}: {words}."
            sentences.append(Sentence(told, span, chance * hit.relevance))
    return sentences


def _match(hit: Hit, several: bool = False) -> str:
    if hit.relevance < SURE:
        return "may match"
    return "match" if several else "matches"


def _seen(hits: Sequence[Hit]) -> Iterator[Span]:
    for hit in hits:
        yield Span(hit=hit, moment=hit.moments[0], origin=Origin.PICTURE, words=hit.asset.path)


def _of_kind(plan: QuestionPlan, hits: Sequence[Hit]) -> list[Hit]:
    """Hits of the kinds asked for; all of them where none is asked for or found."""
    return [hit for hit in hits if hit.asset.kind in plan.kinds] or list(hits)


def _say(want: AnswerType, span: Span) -> str:
    words = span.words.strip().strip('"“”')
    start = span.moment.start_seconds if span.start_seconds is None else span.start_seconds
    if want is AnswerType.MOMENT and start is not None:
        return f"At {evidence.clock(start)} in {span.name}: “{words}”"
    if span.origin is Origin.WRITTEN:
        return f"{span.name}{_place(span)} reads: “{words}”"
    return f"“{words}”"


def _place(span: Span) -> str:
    if span.moment.page is not None:
        return f", page {span.moment.page}," if (span.hit.asset.pages or 0) > 1 else ""
    start = span.moment.start_seconds
    timed = start is not None and span.moment.signal is not Signal.IMAGE
    return f" at {evidence.clock(start)}" if timed and start is not None else ""
