"""Which questions a look at a picture, or listening to a sound, answers, and in which words the model is asked them.

Rules over questions in English: as people put them, and word by word as `search.language.reading.glosses` gives those
in other languages ("what wear the woman?"). The model is asked as it was trained: "What is the woman wearing?". Pure
text; knows no model and no source.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from enum import StrEnum

from msgspec import Struct

from search.signals import Sense


class LookKind(StrEnum):
    """Kinds of questions. The model is right about those of one kind about equally often."""

    COLOUR = "colour"
    COUNT = "count"
    DOING = "doing"  # also what somebody wears or holds
    YES_NO = "yes_no"
    WHOLE = "whole"  # what there is to see or hear: a caption tells
    OTHER = "other"


class Look(Struct, frozen=True):
    """What is to be looked at or listened to, and for what."""

    sense: Sense
    kind: LookKind
    asked: str  # of the model
    thing: str = ""  # whose colour is asked for


def look_for(question: str, given: Collection[Sense] = ()) -> Look | None:
    """What a look, or listening, may tell of a question in English; None where only words can.

    `given`: by which senses sources without words can be perceived, where the caller points at such. Then "this" means
    them, and whatever is asked is looked for; else only what is plainly a question about something seen or heard.
    """
    plain = _plain(question)
    if _HEARD.search(plain):
        return Look(Sense.HEARD, LookKind.OTHER, _sentence(plain))
    if (look := _first(_SEEN, plain)) or not given:
        return look
    look = _first(_OF_SOMETHING_GIVEN, plain)
    if look is None or Sense.SEEN in given:
        return look
    # Of sounds it answers half of the questions for yes or no rightly, and the search tells what is there.
    return None if look.kind is LookKind.YES_NO else Look(Sense.HEARD, look.kind, look.asked)


_THE = r"(?:the|this|that|these|those|my|our|your|an?|his|her|its|their)"
_PICTURE = r"(?:picture|photo|photograph|image|snapshot)s?"
_IN_PICTURE = rf"(?:in|on|of) (?:{_THE} )?{_PICTURE}"
_BE = r"(?:is|are|was|were)"
_ACTS = {
    "do": "doing",
    "wear": "wearing",
    "hold": "holding",
    "carry": "carrying",
    "ride": "riding",
    "eat": "eating",
    "drink": "drinking",
    "play": "playing",
    "watch": "watching",
    "throw": "throwing",
}
_DOING = "|".join(_ACTS.values())
_DOES = "|".join(act for act in _ACTS if act != "do")
_PEOPLE = r"(?:people|persons?|m[ae]n|wom[ae]n|boys?|girls?|child|children|kids?|bab(?:y|ies)|players?)"
_BEINGS = rf"(?:{_PEOPLE}|dogs?|cats?|horses?|birds?|cows?|sheep|animals?)"
_LIKE_PEOPLE = frozenset({"people", "men", "women", "children", "sheep"})  # plural as they stand
_HEAR = r"\b(?:hear|heard|hears)\b"
# What somebody plays or watches, or when, that no picture tells: "what time is the band playing?"
_NOT_SEEN = (
    r"(?:times?|days?|dates?|weeks?|months?|years?|songs?|tunes?|music|pieces?|albums?|films?|movies?|programmes?"
    r"|channels?|roles?|parts?)"
)
_AFTER_THE_THING = r"(?:of|in|on|at|by|with|from|under|near|behind|for|to|the|that|which|who)"

_Rules = tuple[tuple[LookKind, re.Pattern[str], str], ...]


def _rules(*rules: tuple[LookKind, str, str]) -> _Rules:
    return tuple((kind, re.compile(rule, re.IGNORECASE), asked) for kind, rule, asked in rules)


_HEARD = re.compile(
    rf"\b(?:what|which)\b.*\b(?:(?:can|could|do|did) (?:i|we|you|one)|to|be|is|are|one|we) {_HEAR}"
    r"(?! (?:about|her|him|them|anyone|someone))"
    rf"|\b(?:what|which) (?:animal|machine|instrument|vehicle|sound|noise)\b.*{_HEAR}"
    r"|\b(?:what|which) (?:kind|sort|type) of (?:sound|noise)\b"
    r"|\bwhat (?:does|do) .+ sound like\b"
    rf"|\bwhat (?:makes|is making|does) {_THE} (?:sound|noise)$",
    re.IGNORECASE,
)
# In these orders: the first rule that fits decides. Last, what the model is asked; "": the question as it is.
_SEEN = _rules(
    (
        LookKind.COLOUR,
        rf"\b(?:what|which) colou?rs? (?:{_BE}|do|does|did|has|have) (?P<thing>(?:{_THE}|they|it \() ?.+)",
        "What colour is the {thing}?",
    ),
    (LookKind.COLOUR, rf"(?:^|{_BE} )the colou?rs? of (?P<thing>{_THE} .+)", "What colour is the {thing}?"),
    (LookKind.OTHER, r"\b(?:what|which) colou?rs?\b", ""),
    (LookKind.DOING, rf"^what {_BE} (?P<act>{_DOING}) (?P<who>{_THE} .+)", "What is {who} {act}?"),
    (
        LookKind.DOING,
        rf"^what (?:{_BE} )?(?!(?:{_NOT_SEEN}|i|you|we|they)\b)(?P<who>(?!am\b|{_BE}\b)\w\S*(?: (?!{_BE}\b)\S+)*?)"
        rf" (?:{_BE} )?(?P<act>{_DOING})\b",
        "What is {who} {act}?",
    ),
    (LookKind.DOING, rf"^what (?P<act>{_DOES})s? (?P<who>{_THE} .+|{_BEINGS}\b.*)", "What is {who} {act}?"),
    (
        LookKind.DOING,
        rf"^what (?:does|do) (?P<who>{_THE} .+?|he|she|it|they) (?P<act>{_DOES})$",
        "What is {who} {act}?",
    ),
    (
        LookKind.DOING,
        rf"^what (?:does|do) (?P<who>(?:{_THE} )?(?:\w+ )?{_BEINGS})(?: {_IN_PICTURE})?$",
        "What is {who} doing?",
    ),
    (
        LookKind.DOING,
        rf"\bwhat (?!(?:\w+ of )?{_NOT_SEEN}\b|{_BE} (?:{_DOING})\b)\w.* (?:{_DOING})\b",
        "",
    ),
    (
        LookKind.COUNT,
        rf"\bhow (?:many|much) (?P<things>{_BEINGS})(?:\b.*(?:{_PICTURE}|\bsee|\bseen|\bvisible)| (?:are|is) there"
        r"| there (?:are|is))$",
        "How many {things} are there?",
    ),
    (
        LookKind.YES_NO,
        rf"(?:\b(?:is|are) there|\bthere (?:is|are)|^is(?= an? )) (?P<there>.+) (?:in|on) (?:{_THE} )?{_PICTURE}$",
        "Is there {there} in the picture?",
    ),
    (LookKind.YES_NO, rf"^{_BE} (?:{_THE} .+|he|she|it|they) (?!doing)(?:{_DOING})\b", ""),
    (LookKind.YES_NO, rf"^(?:does|do) (?:{_THE} .+|he|she|it|they) (?:{_DOES}) an?\b", ""),
    (
        LookKind.WHOLE,
        rf"^describe (?:{_THE} )?{_PICTURE}\b|^what (?:does |do )?(?:shows? )?(?:{_THE} )?{_PICTURE}(?: shows?)?$"
        rf"|^what (?:{_BE} |can |do |be |i |we |you |one |there |sees? |seen )+{_IN_PICTURE}(?: to see)?$",
        "",
    ),
    (LookKind.OTHER, rf"^(?:what|which) (?:\w+ )+{_BE} (?:there )?(?:in|on) (?:{_THE} )?{_PICTURE}$", ""),
    (LookKind.OTHER, rf"\bwhere {_BE} .+ (?:in|on) (?:{_THE} )?{_PICTURE}$|\b{_IN_PICTURE},? where {_BE}\b", ""),
)
_OF_SOMETHING_GIVEN = _rules(
    (
        LookKind.WHOLE,
        r"^describe\b|^(?:what|who) (?:is|are)(?: (?:this|that|it|these|those|here))*$|^what does (?:this|it) show$"
        r"|^what (?:is )?(?:happening|going on|happens)\b|^what (?:do|can|does) (?:i|we|you|one) see(?: here)?$",
        "",
    ),
    (
        LookKind.COUNT,
        rf"^how many (?P<things>\w+(?: \w+)??) (?:{_BE}|can|do|does|did|has|have|there)\b",
        "How many {things} are there?",
    ),
    (LookKind.YES_NO, rf"^(?P<who>{_THE} .+) is (?:it|he|she) (?P<how>.+)", "Is {who} {how}?"),
    (LookKind.YES_NO, r"^is (?P<how>(?!that|this|it|he|she|there)\w+) (?P<who>the \w+)$", "Is {who} {how}?"),
    (LookKind.YES_NO, rf"^(?:{_BE}|do|does|did|has|have|had|can|there is)\b", ""),
    (LookKind.OTHER, "", ""),
)


def _first(rules: _Rules, plain: str) -> Look | None:
    for kind, rule, asked in rules:
        if match := rule.search(plain):
            words = {name: _FORMS[name](words) for name, words in match.groupdict().items()}
            return Look(Sense.SEEN, kind, asked.format(**words) or _sentence(plain), words.get("thing", ""))
    return None


def _plain(question: str) -> str:
    """Contractions written out, courtesies and the marks at the end left out: "What's it?" is "What is it"."""
    text = re.sub(r"\b(what|where|who|which|there|it|that|he|she)['’]s\b", r"\1 is", question, flags=re.IGNORECASE)
    text = " ".join(text.strip(" ?!.¿¡").split())
    return re.sub(
        r"^(?:please )?(?:(?:can|could) you (?=please|tell|describe))?(?:please )?(?:tell me )?",
        "",
        text,
        flags=re.IGNORECASE,
    )


def _sentence(plain: str) -> str:
    return f"{plain[:1].upper()}{plain[1:]}?"


def _whose(words: str) -> str:
    """The thing itself: without its article, its owner, and what it is in or on."""
    words = re.sub(r"^it \((.+)\)$", r"\1", words)  # a follow-up, with what the turn before was about
    words = re.sub(rf" (?:have|has)$| {_IN_PICTURE}$", "", words, flags=re.IGNORECASE)
    words = re.sub(rf"^(?:{_THE}|they) ", "", words, flags=re.IGNORECASE)
    return re.sub(r"^.+['’]s? +", "", re.split(rf" {_AFTER_THE_THING}(?: |$)", words)[0])


def _who(words: str) -> str:
    words = re.sub(rf" (?:{_IN_PICTURE}|in (?:the|his|her|their) hands?)$", "", words, flags=re.IGNORECASE)
    # Glosses may lack the article; names and pronouns have none.
    return f"the {words}" if re.match(rf"{_BEINGS}\b", words, re.IGNORECASE) else words


def _any(words: str) -> str:
    return words if words.endswith("s") else f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _many(word: str) -> str:
    return word if word.endswith("s") or word.lower() in _LIKE_PEOPLE else f"{word}s"


_FORMS: dict[str, Callable[[str], str]] = {
    "thing": _whose,
    "there": lambda words: words if re.match(rf"{_THE} ", words) else _any(words),
    "things": _many,
    "who": _who,
    "how": str,
    "act": lambda word: _ACTS.get(word.lower(), word.lower()),
}
