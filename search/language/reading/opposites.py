"""Words that ask for the one of two and words that tell the other: "when does it leave?" and "Arrival 10:40".

A page often holds both in neighbouring rows, and a reader takes one for the other where only that one is left. Rules
over words in English, German, French and Spanish. Pure text; knows no model and no source.
"""

from __future__ import annotations

import re

from search.language.lexical import plain
from search.language.reading.glosses import in_english
from search.language.reading.value_types import ValueType, expected
from search.language.reading.weekdays import days_asked, days_told

_OPEN = (r"open(?:s|ed|ing)?|offnet|geoffnet|ouvre|abre", r"clos(?:es?|ed|ing)|shuts?|schliesst|ferme|cierra")
_TRADED = (r"bought|buy(?:s|ing)?|gekauft", r"sold|sell(?:s|ing)?|verkauft")
_ADULTS = (r"adults?|erwachsene\w*|adultes?|adultos?", r"child(?:ren)?|kids?|kinder?|enfants?|ninos?")
_PAIRS: tuple[tuple[str, str], ...] = (
    (
        r"arriv\w*|lands?|landing|get to|ankunft|ankomm\w*|arrivee|llega\w*|check(?:ed|ing)?[ -]?in|einchecken",
        r"depart\w*|leav(?:es?|ing)|left|takes? off|abfahrt|abflug|abreise|abfahren|salida|sale"
        r"|check(?:ed|ing)?[ -]?out|auschecken",
    ),
    (r"tomorrow|morgen|demain|manana", r"today|now|currently|heute|jetzt|aujourd'hui|hoy|ahora"),
    (
        r"pick(?:s|ed|ing)?[ -]?(?:\w+ ){0,3}up|collect(?:s|ed|ion)?|abhol\w*|holen",
        r"return(?:s|ed|ing)?|due back|back by|drop[ -]?off|give back|bring back|ruckgabe|zuruck\w*|rendre|devolver",
    ),
    _OPEN,
    (
        r"start(?:s|ed|ing)?|begin(?:s|ning)?|began|beginnt|anfang|commence|empieza|comienza",
        r"end(?:s|ed|ing)?|finish(?:es|ed)?|over|endet|ende|finit|termina",
    ),
    (r"sunrise|sun ris\w*|rises?|sonnenaufgang|se leve", r"sunset|sun sets?|sets|sonnenuntergang|se couche"),
    (r"min(?:imum)?\.?|lowest|coldest|tiefst\w*", r"max(?:imum)?\.?|highest|hottest|warmest|hochst\w*"),
    (r"born|birth\w*|geboren|ne|nacido", r"died|death|gestorben|mort|murio"),
    (r"entrance|entry|einfahrt|eingang|entree|entrada", r"exit|ausfahrt|ausgang|sortie"),
    _ADULTS,
    _TRADED,
    (
        r"grand(?:mother|ma)s?|grossmutter|oma|grand-mere|abuela",
        r"grand(?:father|pa)s?|grossvater|opa|grand-pere|abuelo",
    ),
    (r"mothers?|mum|mom|mutter|mere|madre", r"fathers?|dad|vater|pere|padre"),
    (r"aunts?|tante|tia", r"uncles?|onkel|oncle|tio"),
    (r"sisters?|schwester|soeur|hermana", r"brothers?|bruder|frere|hermano"),
    (r"daughters?|tochter|fille|hija", r"sons?|sohn|fils|hijo"),
    (
        r"landlord|landlady|lessor|vermieter\w*|bailleur|arrendador\w*",
        r"tenants?|lessee|mieter\w*|locataire|inquilin[oa]s?",
    ),
    (r"sender|absender\w*|expediteur|remitente", r"recipients?|addressee|empfanger\w*|destinataire|destinatari[oa]"),
    (r"employer|arbeitgeber\w*|employeur", r"employees?|arbeitnehmer\w*"),
    (r"deposit(?:s|ed)?|paid in|eingezahlt", r"withdr\w+|paid out|abgehoben"),
)
# Kinds of answers that one of a pair gives as well as the other: "closed" tells whether it is open, and not when; what
# is sold somewhere is bought there; adults look after children.
_SETTLED = {
    None: frozenset({_OPEN, _ADULTS}),
    ValueType.PLACE: frozenset({_TRADED}),
    ValueType.PERSON: frozenset({_ADULTS}),
}
_WHICH_DAY = re.compile(r"\b(?:what|which) (?:\w+ )?(?:days?|dates?)\b|\bmoved?\b")
_RULES = {pair: tuple(re.compile(rf"\b(?:{words})\b") for words in pair) for pair in _PAIRS}


def tells_the_other(question: str, words: str) -> bool:
    """Does the question ask for one of two opposites, and do the words tell only the other?"""
    asked, told = plain(in_english(question)), plain(words)
    settled = _SETTLED.get(expected(question), frozenset())
    for pair, (rule, opposite) in _RULES.items():
        if pair in settled:
            continue
        for wanted, other in ((rule, opposite), (opposite, rule)):
            if wanted.search(asked) and not other.search(asked) and other.search(told) and not wanted.search(told):
                return True
    return _on_another_day(f"{asked} {plain(question)}", words)


def _on_another_day(asked: str, words: str) -> bool:
    """Is something asked about a day of the week, and told of others alone?"""
    wanted = frozenset() if _WHICH_DAY.search(asked) else days_asked(asked)
    told = days_told(words) if wanted else frozenset()
    return bool(told) and not wanted & told
