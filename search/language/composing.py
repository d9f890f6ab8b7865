"""Sentences of an answer, in the sources' own words, for models too small to be trusted with phrasing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from search.language import evidence
from search.language.evidence import Origin, Span
from search.language.rewriting import MANY, QuestionPlan, Want
from search.language.weighing import Weighed
from search.results import Hit, Kind, Signal

MAX_SENTENCES = 3
# A further span is said too when it is nearly as likely as the best one.
NEARLY = 0.85
SURE = 0.5  # relevance of what matches; with less it may match
NEARLY_SEEN = 0.95  # of the best picture's relevance: of pictures that only may match, these are shown
MAX_LISTED = 20  # of things that are counted
_NOUNS = {Kind.IMAGE: "photo", Kind.VIDEO: "video", Kind.AUDIO: "recording"}


class Sentence(Struct, frozen=True):
    """One sentence of an answer with the span that it rests on."""

    words: str
    span: Span
    support: float


def from_words(plan: QuestionPlan, weighed: Sequence[Weighed], threshold: float) -> list[Sentence]:
    """The spans that answer, each in a sentence of its own."""
    if not weighed or weighed[0].probability < threshold:
        return []
    best = weighed[0].probability
    chosen = [one for one in weighed if one.probability >= max(threshold, NEARLY * best)][:MAX_SENTENCES]
    distinct = {one.span.words: one for one in reversed(chosen)}
    ordered = sorted(distinct.values(), key=lambda one: -one.probability)
    return [Sentence(_say(plan.want, one.span), one.span, one.probability) for one in ordered]


def from_facts(plan: QuestionPlan, hits: Sequence[Hit], least: float) -> list[Sentence]:
    """What the best-matching file says about itself."""
    for hit in _of_kind(plan, hits):
        if hit.relevance < least:
            return []
        if span := evidence.fact_span(plan.want, hit):
            return [Sentence(span.words, span, hit.relevance)]
    return []


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
    found = [hit for hit in _of_kind(plan, hits) if hit.moments]
    if not plan.counts_all:
        found = [hit for hit in found if hit.relevance >= least]
        sure = sum(hit.relevance >= SURE for hit in found)
        found = found[: max(1, sure, round(sum(hit.relevance for hit in found)))]
    if not found:
        return []
    several = len(found) > 1
    many = f"{len(found)} {_NOUNS[plan.kinds[0]] if len(plan.kinds) == 1 else 'file'}{'s' if several else ''}"
    if plan.counts_all:
        many = f"{'At least ' if len(hits) >= MANY else ''}{many} in the library"
    else:
        many = f"{'About ' if found[-1].relevance < SURE else ''}{many} {_match(found[0], several)}"
    listed = list(_seen(found[:MAX_LISTED]))
    return [
        Sentence(f"{many}: {span.name}." if index == 0 else f"{span.name}.", span, span.hit.relevance)
        for index, span in enumerate(listed)
    ]


def sure_or_near(hits: Sequence[Hit]) -> list[Hit]:
    """Of pictures that may match, best first: those that surely do, and those nearly as likely as the best."""
    return [hit for hit in hits if hit.relevance >= min(SURE, NEARLY_SEEN * hits[0].relevance)]


def from_sights(descriptions: Sequence[tuple[Hit, str]]) -> list[Sentence]:
    """Pictures that match, with the model's impression where it has one."""
    sentences = []
    for hit, impression in descriptions[:MAX_SENTENCES]:
        (span,) = _seen([hit])
        at = _place(span)
        words = f"{span.name}{at} {_match(hit)}{f'; it seems to show {impression}' if impression else ''}."
        sentences.append(Sentence(words, span, hit.relevance))
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


def _say(want: Want, span: Span) -> str:
    words = span.words.strip().strip('"“”')
    if want is Want.MOMENT and span.moment.start_seconds is not None:
        return f"At {evidence.clock(span.moment.start_seconds)} in {span.name}: “{words}”"
    if span.origin is Origin.WRITTEN:
        return f"{span.name}{_place(span)} reads: “{words}”"
    return f"“{words}”"


def _place(span: Span) -> str:
    start = span.moment.start_seconds
    timed = start is not None and span.moment.signal is not Signal.IMAGE
    return f" at {evidence.clock(start)}" if timed and start is not None else ""
