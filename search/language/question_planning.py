"""What a question is after, and what to search for: the words that would be seen, heard or said.

Pure text, no model: "What did she say about the bridge?" -> search "the bridge", look at speech. The
retriever finds statements better by statements than by questions.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import StrEnum

from msgspec import Struct

from search.language.conversation import Conversation
from search.language.lexical import EMPTY, content, tokens
from search.language.reading.glosses import in_english
from search.language.reading.value_types import ValueType, expected
from search.multimodal.look_questions import Look, look_for
from search.results import Kind
from search.signals import Sense, Signal

MAX_FILES = 8  # named in one question
FEW, MANY = 8, 200  # hits wanted for an answer, and for a count


class AnswerType(StrEnum):
    """The kind of answer that would satisfy."""

    STATEMENT = "statement"  # something said, written or shown
    SPOKEN = "spoken"  # "what did she say about"
    WRITTEN = "written"  # "what does the sign say"
    SEEN = "seen"  # "what is the man holding", "which photo shows"
    HEARD = "heard"  # "is there a helicopter sound"
    MOMENT = "moment"  # "when does she mention": a time inside a recording
    COUNT = "count"  # "how many photos"
    TAKEN = "taken"  # when was it taken
    DURATION = "duration"
    SIZE = "size"
    CAMERA = "camera"
    PLACE = "place"  # where was it taken

    @property
    def is_fact(self) -> bool:
        """Answered by what the file says about itself."""
        return self in (AnswerType.TAKEN, AnswerType.DURATION, AnswerType.SIZE, AnswerType.CAMERA, AnswerType.PLACE)


class QuestionPlan(Struct, frozen=True, kw_only=True):
    """How to look for an answer."""

    asked: str  # as the person put it
    question: str  # stands alone: a follow-up has been completed
    searches: tuple[str, ...]  # best first, at least one
    want: AnswerType
    limit: int  # hits wanted
    signals: tuple[Signal, ...] = ()  # hints, not filters
    kinds: tuple[Kind, ...] = ()  # hints
    files: tuple[str, ...] = ()  # names of files that the question names: look only there
    only: tuple[Signal, ...] = ()  # a sound is asked for, or a photo: look among these alone
    expects: ValueType | None = None  # what words must hold to answer
    total: int | None = None  # files there are of what is counted, where that was asked of the catalogue
    given: bool = False  # nothing was searched for: the caller points at the sources

    def look(self, perceivable: Collection[Sense]) -> Look | None:
        """What a look, or listening, may tell of it. `perceivable`: by which senses sources without words can be."""
        wanted = {signal.sense for signal in self.only} or set(Sense)
        return look_for(in_english(self.question), wanted & set(perceivable) if self.given or self.files else ())

    def asks_all_of(self, path: str) -> bool:
        """Does it ask what this file says, and for nothing in particular?"""
        if self.want not in (AnswerType.SPOKEN, AnswerType.WRITTEN):
            return False
        stem, _, ending = path.rsplit("/", 1)[-1].rpartition(".")
        wanted = content(self.question) - _ANY - content(ending)
        return bool(wanted) and wanted == content(stem.replace("_", " ")) and "about" not in self.question.lower()

    @property
    def counts_all(self) -> bool:
        """Does it ask how many there are, of anything?"""
        return self.want is AnswerType.COUNT and not content(self.question) - _ANY


_MEDIA = r"(?:photos?|pictures?|images?|shots?|snapshots?|videos?|clips?|films?|movies?|recordings?|audios?|files?)"
_TOLD = (
    r"(?:talk|lecture|speech|song|interview|message|voicemail|podcast|episode|meeting|reading|documentary|movie|tour)s?"
)
# What a question holds that asks for nothing in particular.
_ANY = content(
    "photo picture image shot snapshot video clip film movie recording audio file text library collection many count"
)
_MADE = r"(?:taken|shot|filmed|photographed|recorded|captured)"
_SAYING = r"(?:say|says|said|mention\w*|talk\w*|speak\w*|spoken?|discuss\w*|tells?|told)"
# In this order: the first rule that fits decides. Written with free spacing (re.VERBOSE).
_RULES: tuple[tuple[AnswerType, str], ...] = (
    (
        AnswerType.COUNT,
        rf"\bhow\ many\ (?:\w+\ ){{0,2}}{_MEDIA}\b | \bhow\ many\ (?:do|did)\ (?:i|we)\ have\b | \bcount\b",
    ),
    (
        AnswerType.DURATION,
        # Of something that lasts: "how long is the bridge?" is about something that is said.
        rf"\b(?:how\ long\ (?:is|was|are|does)|length\ of)\b.*\b(?:{_MEDIA}|{_TOLD}|\w+\.\w{{3,4}})\b"
        r"| \b(?:duration|running\ time)\ of\b | \bhow\ many\ (?:seconds|minutes)\b",
    ),
    (
        AnswerType.SIZE,
        rf"\bresolution\b | \b(?:width|height|dimensions)\ of\ (?:the\ {_MEDIA}\b|\w+\.\w{{3,4}}) | \bpixels\b"
        rf"| \bhow\ (?:large|big|wide|high)\ is\ the\ {_MEDIA}\b",
    ),
    (AnswerType.CAMERA, rf"\bcamera\b | \bwhat\ (?:was|were)\ .*\ {_MADE}\ with\b | \b{_MADE}\ with\ which\b"),
    (AnswerType.PLACE, rf"\bwhere\ (?:was|were|did|is)\ .*\b{_MADE}\b | \bgps\b | \bcoordinates\b"),
    (
        AnswerType.TAKEN,
        rf"\b(?:when|(?:what|which)\ (?:date|day|year|month|time))\b.*\b{_MADE}\b"
        rf"| \bdate\ of\ the\ {_MEDIA} | \bhow\ old\ is\ the\ {_MEDIA}\b",
    ),
    (
        AnswerType.HEARD,
        r"\b(?:sounds?|noises?)\ of\b | \b(?:is|are)\ there\b.*\b(?:sounds?|noises?)\b"
        r"| ^(?!(?:when|how|where)\b)(?:.*\ )?(?:can|could|do|did)\ (?:i|we|you|one)\ hear\b"
        r"(?!\ (?:about|from|back|more|what|news|her|him|them|anyone|someone))"
        r"| \bcan\ (?:\w+\ ){0,3}be\ heard\b"
        rf"| \b(?:which|what)\ (?:{_MEDIA}|sounds?)\b.*\b(?:sounds?|noises?)\b",
    ),
    (
        AnswerType.MOMENT,
        rf"\b(?:when|where\ in|at\ what\ (?:time|point|second|minute|moment))\b.*\b(?:{_SAYING}|hear\w*|happen\w*)\b",
    ),
    (AnswerType.WRITTEN, r"\b(?:written|writing|sign|label|poster|slide|caption|text|headline|banner|printed\ on)\b"),
    (
        AnswerType.SPOKEN,
        rf"\b{_SAYING}\b"
        r"| \b(?:explain\w*|according\ to|speech|speaker|reader|narrator|lecture|interview)\b"
        # But "describe it" asks for anything that is known of it.
        r"| (?<!^)(?<!please\ )(?<!you\ )\bdescribe\w*",
    ),
    (
        AnswerType.SEEN,
        rf"\b{_MEDIA}\b | ^(?:is|are|was|were)\ there\b | ^(?:do|did)\ (?:i|we)\ have\b"
        r"| \b(?:see|seen|show\w*|wear\w*|hold\w*|colou?rs?|stand\w*|sit\w*|looks?\ like|appear\w*)\b"
        r"| \bin\ the\ (?:background|foreground)\b",
    ),
)
_SIGNALS = {
    AnswerType.SPOKEN: (Signal.SPEECH,),
    AnswerType.WRITTEN: (Signal.TEXT,),
    AnswerType.SEEN: (Signal.IMAGE, Signal.FRAME, Signal.PAGE),
    AnswerType.HEARD: (Signal.SOUND,),
}
_KINDS = (
    (Kind.IMAGE, r"\b(?:photos?|pictures?|images?|snapshots?)\b"),
    (Kind.VIDEO, r"\b(?:videos?|clips?|films?|movies?)\b"),
    (Kind.AUDIO, r"\b(?:recordings?|audios?|songs?|podcasts?)\b"),
    (Kind.DOCUMENT, r"\b(?:documents?|pdfs?)\b"),
)
# What pictures show, and what of it can be counted; nothing else is asked of a picture alone.
SHOWN = frozenset({None, ValueType.PERSON, ValueType.PLACE, ValueType.COLOUR})
_LOOKED_AT = SHOWN | {ValueType.COUNT}
# Photos, pictures and videos that are looked for, or in. Films and movies are also things that people rent.
_PICTURES = r"(?:photos?|pictures?|images?|snapshots?|videos?|clips?)"
_PICTURE = re.compile(
    rf"\b{_PICTURES}\b(?! (?:sessions?|booths?|frames?|calls?|albums?|books?|prints?|printing|shops?|papers?|studios?"
    r"|cards?|doors?|games?|conferences?|meetings?|sizes?|rights?|licen[cs]es?|competitions?|contests?|means)\b)"
)
# Those that somebody makes or hands in are none of the library's.
_PICTURE_MADE = re.compile(
    rf"\b(?:take|taking|make|bring|send|upload|hand in|pick up|collect|order|print) (?:\w+ ){{0,2}}{_PICTURES}\b"
    rf"|\b(?:passport|visa|wedding) {_PICTURES}\b"
)
# Phrases that talk about the library or the asking, not about what is sought.
_FRAME = re.compile(
    rf"""^(?:please\s+)?(?:can\ you\ |could\ you\ )?(?:(?:tell|show|find|describe)(?:\ me)?\ )?
    (?:(?:is|are|was|were)\ there\ (?:an?y?\ )? | do\ (?:i|we|you)\ have\ (?:an?y?\ )?
      | how\ many\ | which\ | what\ | who\ | whom\ | whose\ | where\ | when\ | why\ | how\ )?
    (?:in\ (?:the|this|which)\ {_MEDIA}\ )?
    (?:of\ )?(?:the\ |my\ |our\ )?(?:{_MEDIA}\s+)?(?:(?:in|of|with|from|that|which|who)\s+)?
    (?:(?:did|does|do|is|are|was|were|has|have|can|could|will|would)\s+(?:(?:i|we)\ have\ |there\ (?:of\ )?)?)?
    (?:(?:he|she|they|it|anyone|someone|people|the\ (?:speaker|reader|narrator|man|woman))\s+
      (?=say|talk|speak|mention|tell))?
    (?:(?:show(?:s|ing)?|contains?|depicts?|sa(?:y|ys|id)|mention(?:s|ed)?|talk(?:s|ed)?|spe?ake?|spoke|tell|told
      |seen?)\b\s*(?:about|of|that)?\s*)?""",
    re.IGNORECASE | re.VERBOSE,
)
_FILE = re.compile(
    r"[\w()+-][\w()+.-]*\.(?:jpe?g|png|gif|webp|heic|avif|tiff?|bmp|mp4|mov|mkv|webm|avi|mp3|m4a|wav|flac|ogg|opus)\b",
    re.IGNORECASE,
)
_REFERS = frozenset(tokens("it its he him his she her they them their this that these those there then one same"))


def plan_question(question: str, conversation: Conversation | None = None) -> QuestionPlan:
    """Decide what the question wants and what to search for."""
    asked = " ".join(question.split())
    whole = _completed(asked, conversation)
    english = in_english(whole)
    want = next((want for want, rule in _RULES if re.search(rule, english.lower(), re.VERBOSE)), AnswerType.STATEMENT)
    kinds = tuple(kind for kind, rule in _KINDS if re.search(rule, english.lower()))
    expects = None if want in (AnswerType.MOMENT, AnswerType.SPOKEN, AnswerType.WRITTEN) else expected(whole)
    searches = tuple(dict.fromkeys(text for text in (*_subjects(sought(whole)), whole, english) if text))
    return QuestionPlan(
        asked=question,
        question=whole,
        searches=searches or (whole,),
        want=want,
        limit=MANY if want is AnswerType.COUNT else FEW,
        signals=_SIGNALS.get(want, ()),
        only=_only(want, english, expects),
        expects=expects,
        kinds=kinds,
        files=tuple(dict.fromkeys(_FILE.findall(asked)))[:MAX_FILES],
    )


def _only(want: AnswerType, english: str, expects: ValueType | None) -> tuple[Signal, ...]:
    """A sound is answered by sounds; pictures, where the question says that it wants one, by pictures.

    Not by when the library's film is due.
    """
    words = english.lower()
    pictured = want is AnswerType.SEEN and bool(_PICTURE.search(words)) and not _PICTURE_MADE.search(words)
    shown = expects in _LOOKED_AT and (want is AnswerType.HEARD or pictured)
    return _SIGNALS[want] if shown else ()


def sought(question: str) -> str:
    """The part of a question that would be seen, heard or said."""
    text = question.strip().rstrip("?!. ")
    rest = _FRAME.sub("", text, count=1).strip()
    for rule in (
        r"^colou?rs?\s+(?:is|are|was|were)\s+",
        r"(?<=\w)\s+(?:doing\b|(?:wearing|holding|carrying|riding|eating|playing|watching)$)",
        r"^(?:long|old|big|large|wide|high|tall|camera|resolution|date|day|year|duration|length|size|dimensions)\s+"
        r"(?:(?:is|was|of|does|did)\b\s*)?",
        r"^(?:it|the)\s+(?=\w)",
        r"\b(?:was|were|is|are) (?:it )?(?:taken|shot|filmed|recorded|photographed|made)(?: with| on| at| in)?$",
        r"\b(?:taken|shot|filmed|recorded|photographed)(?: with| on| at| in)?$|\blast$",
        rf"\b(?:in|on|from|among) (?:my|the|our|this|any) (?:library|collection|archive|{_MEDIA})$",
        r"\b(?:do|did) (?:i|we) have$|\b(?:are|is) there$|\b(?:mentioned|said|spoken|shown|visible|seen)$",
    ):
        rest = re.sub(rule, "", rest, flags=re.IGNORECASE).strip()
    # What is left may be too little to search with ("What was said?").
    return rest if content(rest) else text


def _subjects(words: str) -> tuple[str, ...]:
    """What is sought, and whose it is: a collar is hard to see, the dog that wears it is not."""
    owner = re.match(r"(?:(?:the|my|our)\s+)?(.+?)['’]s\s+\w", words)
    return (words, owner[1]) if owner and owner[1].islower() else (words,)


def _completed(question: str, conversation: Conversation | None) -> str:
    """A follow-up, with the subject of the turn before: "And how long is it?" says nothing alone."""
    if conversation is None or not conversation.turns:
        return question
    words = tokens(question)
    own = [word for word in words if word not in EMPTY]
    if len(own) > 2 and not _REFERS & set(words) and words[:1] not in (["and"], ["but"]):
        return question
    before = sought(conversation.turns[-1].question)
    return f"{question.rstrip('?!. ')} ({before})?"
