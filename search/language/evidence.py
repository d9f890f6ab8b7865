"""From hits to what an answer may rest on: numbered sources and their spans.

A span is a sentence that was said or is written, a fact that a file states about itself, or a
description of a picture. Knows hits; knows no model and no prompt.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import PurePosixPath

import msgspec
from msgspec import Struct

from search.language.lexical import content, gives_orders, overlap
from search.language.question_planning import AnswerType
from search.language.reading.reading_order import Box
from search.language.reading.statements import statements
from search.language.reading.value_types import ValueType, first_value
from search.results import AssetView, Hit, Kind, Moment
from search.signals import Sense, Signal

_MADE = {Kind.IMAGE: "taken", Kind.VIDEO: "recorded", Kind.AUDIO: "recorded", Kind.DOCUMENT: "written"}
MAX_PASSAGES = 12  # read for one question, of the best hits
MAX_SPANS = 240
MAX_SPANS_PER_PASSAGE = 60


class Origin(StrEnum):
    """Where a span's words come from."""

    SAID = "said"
    WRITTEN = "written"
    FILE = "file"
    PICTURE = "picture"


class Span(Struct, frozen=True, kw_only=True):
    """Words that can support a sentence, and where they stand."""

    hit: Hit
    moment: Moment
    origin: Origin
    words: str
    reading: str = ""  # the words with what they need to be understood, such as the heads of their table
    question: str = ""  # that stands before the words
    context: str = ""  # the whole passage that the words stand in
    box: Box | None = None  # of the words in the picture
    start_seconds: float | None = None  # of the words' first; None: as the moment
    end_seconds: float | None = None
    word_starts: tuple[float, ...] = ()  # in seconds, of each of the words between spaces; () where not known
    lines: tuple[int, int] | None = None  # of a text file; None: as the moment

    @property
    def name(self) -> str:
        """The file's name, for people."""
        return PurePosixPath(self.hit.asset.path).name

    @property
    def setting(self) -> str:
        """What the words are about besides themselves: their passage, the file's name and title."""
        return f"{self.context or self.words} {self.name} {self.hit.asset.title or ''}"

    def answers_from(self, expects: ValueType | None, question: str) -> float | None:
        """When the word is said that begins what `question` asks for, a value that it `expects`, in seconds.

        The start of the words where any of them may answer, or their times are not known.
        """
        if expects is not None and self.word_starts:
            return self.word_starts[first_value(expects, self.words.split(), question)]
        return self.moment.start_seconds if self.start_seconds is None else self.start_seconds


def holds_words(hit: Hit) -> bool:
    """Whether words are what it tells: of a lease or a receipt, a small model that sees its page only guesses."""
    return hit.asset.kind is Kind.DOCUMENT or any(moment.signal.holds_words for moment in hit.moments)


def perceived(hit: Hit, senses: Collection[Sense]) -> Hit | None:
    """The hit by its best moment of these senses, with that one's relevance; None where it has none."""
    best = next((moment for moment in hit.moments if moment.signal.sense in senses), None)
    return None if best is None else _by(hit, best)


def looked_at(hit: Hit, sense: Sense) -> Hit | None:
    """The same for a question that the picture or sound itself is to answer, however the hit was found.

    A photo's words stand in it, as those seen in a frame or on a page do.
    """
    seen = perceived(hit, {sense})
    if sense is not Sense.SEEN or hit.asset.kind is Kind.AUDIO:
        return seen
    if seen is None:
        pictured = hit.asset.kind is not Kind.DOCUMENT or bool(hit.asset.pages)
        words = next((moment for moment in hit.moments if pictured and moment.signal is Signal.TEXT), None)
        return None if words is None else _by(hit, words)
    return msgspec.structs.replace(seen, relevance=hit.relevance) if hit.asset.kind is Kind.IMAGE else seen


def _by(hit: Hit, moment: Moment) -> Hit:
    if moment is hit.moments[0]:
        return hit
    others = (other for other in hit.moments if other is not moment)
    return msgspec.structs.replace(hit, relevance=moment.relevance, moments=(moment, *others))


def spoken_spans(question: str, hits: Sequence[Hit], details: Mapping[int, bytes] | None = None) -> list[Span]:
    """What is said or written in the hits, statement by statement. `details`: of segments, by their id.

    Long passages are cut by what they share with the question, not by position. Statements that give orders to a
    model are left out: they answer nobody.
    """
    wanted = content(question)
    spans: list[Span] = []
    passages = [(hit, moment) for hit in hits for moment in hit.moments if moment.text and moment.signal.holds_words]
    for hit, moment in passages[:MAX_PASSAGES]:
        held = _statements(hit, moment, (details or {}).get(moment.segment_id))
        spans += _best(wanted, [span for span in held if not gives_orders(span.words)])
    return spans[:MAX_SPANS]


def _statements(hit: Hit, moment: Moment, details: bytes | None) -> Iterator[Span]:
    origin = Origin.SAID if moment.signal is Signal.SPEECH else Origin.WRITTEN
    for held in statements(moment, details):
        yield Span(
            hit=hit,
            moment=moment,
            origin=origin,
            words=held.words,
            reading=held.reading,
            question=held.question,
            context=moment.text or "",
            box=held.box,
            start_seconds=held.start_seconds,
            end_seconds=held.end_seconds,
            word_starts=held.word_starts,
            lines=held.lines,
        )


def _best(wanted: frozenset[str], spans: list[Span]) -> list[Span]:
    if len(spans) <= MAX_SPANS_PER_PASSAGE:
        return spans
    # Stable: among equals the earlier one, where titles stand, stays.
    ranked = sorted(range(len(spans)), key=lambda i: -overlap(wanted, content(spans[i].words)))
    return [spans[i] for i in sorted(ranked[:MAX_SPANS_PER_PASSAGE])]


def fact_span(want: AnswerType, hit: Hit) -> Span | None:
    """What the file says about itself, where it says it."""
    statement = _fact(want, hit.asset)
    if statement is None or gives_orders(statement) or not hit.moments:
        return None
    return Span(hit=hit, moment=hit.moments[0], origin=Origin.FILE, words=statement)


def facts(hit: Hit) -> list[str]:
    """Everything that the file says about itself."""
    wants = (AnswerType.TAKEN, AnswerType.DURATION, AnswerType.SIZE, AnswerType.CAMERA, AnswerType.PLACE)
    told = (_fact(want, hit.asset) for want in wants)
    return [statement for statement in told if statement and not gives_orders(statement)]


def _fact(want: AnswerType, asset: AssetView) -> str | None:
    name = PurePosixPath(asset.path).name
    match want:
        case AnswerType.TAKEN if asset.captured_at:
            return f"{name} was {_MADE[asset.kind]} {_date(asset.captured_at)}."
        case AnswerType.DURATION if asset.duration_seconds is not None:
            return f"{name} is {_duration(asset.duration_seconds)} long."
        case AnswerType.SIZE if asset.pages:
            return f"{name} has {asset.pages} {'page' if asset.pages == 1 else 'pages'}."
        case AnswerType.SIZE if asset.width and asset.height:
            return f"{name} is {asset.width} x {asset.height} pixels."
        case AnswerType.CAMERA if asset.camera:
            return f"{name} was taken with {asset.camera}."
        case AnswerType.PLACE if asset.latitude is not None and asset.longitude is not None:
            at = f"{_angle(asset.latitude, 'NS')}, {_angle(asset.longitude, 'EW')}"
            return f"{name} was taken in {asset.place}, at {at}." if asset.place else f"{name} was taken at {at}."
    return None


def _date(moment: str) -> str:
    try:
        when = datetime.fromisoformat(moment)
    except ValueError:
        return f"at {moment}"
    return f"on {when.day} {when:%B %Y} at {when:%H:%M}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g} seconds"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "hour"), (minutes, "minute"), (rest, "second")]
    return " ".join(f"{count} {unit}{'' if count == 1 else 's'}" for count, unit in parts if count)


def _angle(degrees: float, sides: str) -> str:
    return f"{abs(degrees):.4f}° {sides[degrees < 0]}"


def clock(seconds: float) -> str:
    """A place in a recording, as players show it."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
