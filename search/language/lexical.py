"""Words as both questions and evidence are compared by: sentences, content words, numbers, names.

Pure text. Knows no model; English, and harmless for other languages (they fall back to vectors).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

MAX_SENTENCE_CHARACTERS = 320  # longer ones (a transcript without full stops) are split at commas or spaces


def _list(words: str) -> list[str]:
    return words.split()


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Words that carry no content in a question or a passage.
EMPTY = _set(
    "a an the and or but if of on in at to for with by from as into onto than then so such no not nor only own same "
    "too very can will just should would could may might must shall do does did doing done have has had having am is "
    "are was were be been being i me my mine we us our you your he him his she her hers it its they them their this "
    "that these those there here what which who whom whose when where why how all any both each few more most other "
    "some about against between through during before after above below up down out off over under again further "
    "once please tell show give find get got me anyone anybody someone somebody something anything one ones "
    "say says said saying speak speaks spoken speaking talk talks talked talking mention mentions mentioned "
    "called named according"
)
_UNITS = {
    word: value
    for value, word in enumerate(
        _list(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
            "seventeen eighteen nineteen"
        )
    )
}
_TENS = {
    word: 10 * value
    for value, word in enumerate(_list("twenty thirty forty fifty sixty seventy eighty ninety"), start=2)
}
_SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_ENDINGS = ("ations", "ation", "ingly", "ings", "edly", "ing", "ied", "ies", "ers", "est", "ely", "ed", "es", "er")
_A_CLAUSE = 3  # words
_ASKS = re.compile(
    r"(?:who|whom|whose|what|which|where|when|why|how|if|do(?! not\b)|does|did|is|are|was|were|will|would|can|could"
    r"|shall|should|may(?! \d)|must|have|has|wer|wen|was|wo|wann|warum|wie|wenn|qui|que|quand|comment|si|est-ce|quien"
    r"|cuando|como|donde)\b",
    re.IGNORECASE,
)
_ORDERS = re.compile(
    r"\b(?:ignore|disregard|forget)\b.{0,40}\b(?:above|previous|prior|instructions?|rules|sources?|everything)\b"
    r"|\b(?:system prompt|you are now|as an ai|new instructions?)\b"
    r"|\byou (?:must|shall|should|will|have to) (?:now )?(?:answer|say|respond|reply|write|output|print)\b"
    r"|\b(?:respond|reply|answer|output|print|write|say)\s+(?:only\s+)?(?:with\b|exactly\b|[\"'“‘:])",
    re.IGNORECASE,
)
_LOOKED_BACK = 24  # characters before a point, and behind it, that tell whether it ends a sentence
_ABBREVIATIONS = _set(
    "mr mrs ms dr st vs etc i.e e.g no prof sr jr approx fr str tel nr incl excl dept ave blvd tbsp tsp "
    "ca inkl exkl zzgl bzw evtl ggf vgl z.b d.h u.a bhf hbf mme mlle env sra srta aprox núm pág"
)
# Also words or names of their own: short for something where a number or a small letter follows.
_SHORTENED = _set(
    "max min art abs fig vol ext ed inc co sec hrs mins p pp ref qty pos abt mind höchst tägl wöchentl av "
    "jan feb mar apr jun jul aug sep sept oct okt nov dec dez janv févr avr juil déc ene abr ago dic "
    "mon tue tues wed thu thur thurs fri sat sun mo di mi do sa so lun mar mer jeu ven sam dim mié jue vie sáb dom"
)
# What a German ordinal may stand before ("am 3. Mai", "2. Stock").
_ORDERED = re.compile(
    r"(?:Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember|Jan|Feb|Mär|Apr|Jun|Jul|Aug|Sep|Sept"
    r"|Okt|Nov|Dez|[OU]G)\b|(?:Stock|Etage|Klasse|Woche|Monat|Jahr|Tag|Mal|Platz|Rang|Halbzeit|Kapitel|Teil|Person|Geburtstag|Mahnung"
    r"|Rate|Schicht|Stunde|Quartal|Liga)(?:e?[sn]?|er)\b|[a-zäöü]"
)
# A single letter behind these is a name of its own, no initial.
_LETTERED = _set(
    "plan block vitamin room gate platform coach option part section level class type group building exit hall"
)


def sentences(text: str) -> list[str]:
    """Sentences of running text, trimmed; never longer than MAX_SENTENCE_CHARACTERS."""
    parts: list[str] = []
    start = 0
    for match in re.finditer(r"(?<![.!?…。！？])[.!?…。！？]++[\"'”’)\]]*+\s+|\n+", text):
        before = ["", "", *text[max(start, match.start() - _LOOKED_BACK) : match.start()].split()]
        after = text[match.end() : match.end() + _LOOKED_BACK]
        if match.group().startswith(".") and _goes_on(before[-2], before[-1].lstrip("(\"'"), after):
            continue
        parts.append(text[start : match.end()])
        start = match.end()
    parts.append(text[start:])
    return [piece for part in parts if part.strip() for piece in _bounded(part.strip())]


def _goes_on(before: str, word: str, after: str) -> bool:
    """Does a sentence go on behind a word with a point, that stands between others?"""
    small = word.lower()
    initial = len(word) == 1 and word.isupper() and word != "I" and before.lower() not in _LETTERED
    if small in _ABBREVIATIONS or initial:
        return True
    if small in _SHORTENED:
        return after[:1].isdigit() or after[:1].islower()
    return word.isdigit() and len(word) <= 2 and bool(_ORDERED.match(after))


def _bounded(sentence: str) -> Iterator[str]:
    while len(sentence) > MAX_SENTENCE_CHARACTERS:
        window = sentence[:MAX_SENTENCE_CHARACTERS]
        at = max(window.rfind(", "), window.rfind("; "))
        if at < MAX_SENTENCE_CHARACTERS // 3:
            at = window.rfind(" ")
        at = at + 1 if at > 0 else MAX_SENTENCE_CHARACTERS
        yield sentence[:at].strip()
        sentence = sentence[at:].strip()
    if sentence:
        yield sentence


def stem(word: str) -> str:
    """A crude common form, so that "printers" meets "printing"; wrong in the same way on both sides."""
    word = word.removesuffix("'s").removesuffix("’s")
    if len(word) <= 3 or not word.isascii():
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    else:
        word = word.removesuffix("s") if not word.endswith("ss") else word
    return word.removesuffix("e")


def tokens(text: str) -> list[str]:
    """Words in lower case, without accents."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)?", plain(text))


def plain(text: str) -> str:
    """In lower case, without accents, apostrophes straight."""
    letters = unicodedata.normalize("NFKD", text.lower().replace("’", "'").replace("ß", "ss"))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def content(text: str) -> frozenset[str]:
    """Stems of the words that carry content."""
    return frozenset(stem(word) for word in tokens(text) if word not in EMPTY)


def claims(text: str) -> frozenset[str]:
    """Stems of the words that carry content, numbers aside: those are written in digits or in words."""
    said = (word for word in tokens(text) if not word.isdigit() and word not in {*_UNITS, *_TENS, *_SCALES})
    return content(" ".join(said))


def overlap(wanted: frozenset[str], held: frozenset[str]) -> float:
    """The share of `wanted` that `held` has; 0 when nothing is wanted."""
    return len(wanted & held) / len(wanted) if wanted else 0.0


def numbers(text: str) -> frozenset[str]:
    """Numbers, written in digits or in words, as digits: "fourteen sixty-five" and "1465" are equal."""
    values = {number.replace(",", "").rstrip(".") for number in re.findall(r"\d[\d,]*(?:\.\d+)?", text)}
    for run in _number_words(text.lower()):
        # "one" alone is more often a pronoun than a number.
        if run != ["one"]:
            values.add(str(_value(run)))
    return frozenset(values)


def _number_words(text: str) -> list[list[str]]:
    """Runs of words that spell one number each."""
    runs: list[list[str]] = []
    open_run: list[str] = []
    # A mark other than a hyphen ends a number.
    for word in [*re.findall(r"[a-z]+|[^\w\s-]", text), ""]:
        if word == "and" and open_run and open_run[-1] in _SCALES:
            continue
        if (word in _UNITS or word in _TENS or (open_run and word in _SCALES)) and _continues(open_run, word):
            open_run.append(word)
            continue
        if open_run:
            runs.append(open_run)
        open_run = [word] if word in _UNITS or word in _TENS else []
    return runs


def _continues(run: list[str], word: str) -> bool:
    if not run or word in _SCALES or run[-1] in _SCALES:
        return True
    if run[-1] in _TENS:
        return 0 < _UNITS.get(word, 99) < 10 or (word in _TENS and len(run) == 1)
    # A year: "fourteen sixty".
    return _UNITS.get(run[-1], 0) >= 10 and word in _TENS


def _value(words: list[str]) -> int:
    """The number that words spell, years such as "nineteen eighty four" included."""
    total = current = 0
    previous = ""
    for word in words:
        if word in _SCALES:
            current = max(current, 1) * _SCALES[word]
            if word != "hundred":
                total, current = total + current, 0
        else:
            # "fourteen sixty": the first part counts hundreds.
            if word in _TENS and 10 <= current < 100 and previous not in _SCALES:
                current *= 100
            current += _UNITS.get(word, _TENS.get(word, 0))
        previous = word
    return total + current


def names(text: str) -> frozenset[str]:
    """Capitalised words that don't merely begin a sentence, in lower case.

    German capitalises every noun: there, nouns that follow an article ("die Katze", "unser neues Auto") are not names.
    """
    german = language(text) == "de"
    named = set()
    for sentence in sentences(text):
        words = re.findall(r"[^\W\d_][\w'’-]*", sentence)
        nouns = _german_nouns(words) if german else frozenset()
        for at, word in enumerate(words[1:], start=1):
            if word[0].isupper() and word.lower() not in EMPTY and at not in nouns:
                named.add(word.lower().removesuffix("'s").removesuffix("’s"))
    return frozenset(named)


def _german_nouns(words: Sequence[str]) -> frozenset[int]:
    """Places of the capitalised words that an article, its like, or an owner's name announces."""
    nouns: set[int] = set()
    announced = False
    for at, word in enumerate(words):
        plain = word.lower()
        if plain in _GERMAN_ARTICLES:
            announced = True
        elif word[0].isupper():
            if announced or plain in _GERMAN_BARE_NOUNS:
                nouns.add(at)
            # "Annas Fahrrad": the owner stands where an article would.
            announced = at > 0 and at not in nouns and plain.endswith("s")
        # Adjectives and numbers may stand between: "das alte Haus", "die zwei Hunde".
        elif not (announced and re.fullmatch(r"\w+(?:e|er|en|es|em)|zwei|drei|vier|fünf|sechs", plain)):
            announced = False
    return frozenset(nouns)


def is_question(text: str) -> bool:
    """Does it ask instead of telling?"""
    return text.rstrip(" \"'”’»)").endswith(("?", "？"))


def told_before_asking(text: str) -> str:
    """What a text tells before it ends with a question ("Viewing Thursday, at 8, ok?"); "" where it only asks."""
    *before, last = sentences(text) or [""]
    told = [sentence for sentence in before if not is_question(sentence)]
    *clauses, end = re.split(r"(?<=[,;:–—-])\s+", last)
    if clauses and not _ASKS.match(last) and not re.match(r"(?:or|oder|ou|o)\b", end, re.IGNORECASE):
        told += [clause for clause in clauses if not _ASKS.match(clause)]
    return " ".join(told) if any(len(part.split()) >= _A_CLAUSE for part in told) else ""


def gives_orders(text: str) -> bool:
    """Does it read like orders to a language model? Such words may be found and shown, but support nothing."""
    return bool(_ORDERS.search(text))


def negated(text: str) -> bool:
    """Does it deny something?"""
    return bool(re.search(r"\b(?:not|never|no|none|nobody|nothing|without|cannot|\w+n['’]t)\b", text.lower()))


# English first: of languages with equally many words the first counts.
_FUNCTION_WORDS = {
    "en": _set(
        "the is what who where when why how many much of does did do an and at in to on for my i we a you can are "
        "there this that it with"
    ),
    "de": _set(
        "der die das und ist wie was wer wo wann warum ein eine im am bei von zu mit hat wird viel muss ich wir "
        "welche welcher welches welchem welchen woher wohin kommt heisst zum zur fur den dem nach einen einem einer "
        "diese dieser dieses diesem diesen er sie auf sind kann"
    ),
    "fr": _set(
        "le la les l et est que qui ou quand pourquoi combien un une du de des au chez dans quel quelle a s il comment "
        "mon ma pour sur ce cet cette ces"
    ),
    "es": _set(
        "el la los las y es que quien quienes donde cuando por cuanto cuanta cuantos cuantas cual un una del de al en "
        "se a mi como para con este esta estos estas"
    ),
}
_GERMAN_ARTICLES = _set(
    "der die das den dem des ein eine einen einem einer eines kein keine keinen keinem keiner mein meine meinen "
    "meinem meiner dein deine deinen deinem deiner sein seine seinen seinem seiner ihr ihre ihren ihrem ihrer "
    "unser unsere unseren unserem unserer euer eure euren eurem eurer dieser diese dieses diesen diesem jeder jede "
    "jedes jeden jedem welcher welche welches welchen welchem viel viele vielen wieviel wieviele alle allen beide "
    "beiden im am zum zur vom beim ins ans für"
)
_GERMAN_BARE_NOUNS = _set("uhr euro franken geld nacht tag tage stunden minuten jahr jahre frühstück")


def language(text: str) -> str:
    """`en`, `de`, `fr` or `es`, by its function words; what has none of any language counts as English."""
    if "¿" in text:
        return "es"
    # French turns verbs around: "entend-on", "porte-t-il". Its "on" is not the English one, and "hands-on" no verb; nor
    # is its "à" the English "a".
    french = r"-(?:t-)?(?:ils?|elles?|je|tu|nous|vous|ce)\b|(?:-t|(?<=[aeo][iu]t)|(?<=end))-on\b|\bà\b"
    text, marks = re.subn(french, " ", text, flags=re.IGNORECASE)
    # French leaves letters out before an apostrophe: "d'ou", "s'appelle".
    words = [part for word in tokens(text) for part in (re.sub(r"^([cdjlmnst]|qu)['’]", "le ", word).split())]
    counts = {name: sum(word in known for word in words) for name, known in _FUNCTION_WORDS.items()}
    counts["fr"] += marks
    return max(counts, key=lambda name: counts[name])


def is_english(text: str) -> bool:
    """See `language`."""
    return language(text) == "en"
