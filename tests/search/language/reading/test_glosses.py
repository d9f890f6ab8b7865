"""Questions in German, French and Spanish are read word by word in English."""

from __future__ import annotations

import pytest

from search.language.reading.glosses import in_english, with_gloss, written_in
from search.language.reading.value_types import ValueType, counted, expected


@pytest.mark.parametrize(
    ("question", "gloss"),
    [
        ("Wie viel kostet das Hotel in Zermatt?", "how much cost the hotel in Zermatt?"),
        ("Um wie viel Uhr beginnt das Konzert?", "what time begin the concert?"),
        ("À quelle heure part le train pour Lyon ?", "what time leave the train for Lyon?"),
        ("Où habite Clara ?", "where live Clara?"),
        ("D’où vient mon oncle ?", "where from come my uncle?"),
        ("¿Dónde está la llave?", "where is the key?"),
        ("¿Quién ganó el partido?", "who win the match?"),
        ("¿Lleva sombrero?", "bring hat?"),
        ("¿Qué asiento tengo?", "what seat have?"),
        ("Peut-on chauffer la tente ?", "can one heat the tent?"),
        ("Porte-t-il un chapeau ?", "does he wear a hat?"),
        ("Trägt er einen Hut?", "does he wear a hat?"),
    ],
)
def test_what_is_asked_for_becomes_english_and_names_stay(question: str, gloss: str) -> None:
    assert in_english(question) == gloss


def test_a_german_compound_is_read_by_its_parts() -> None:
    assert in_english("Wie lautet die Kundennummer bei Huber?") == "how is the customer number at Huber?"


def test_capitals_inside_a_french_or_spanish_question_are_names() -> None:
    assert in_english("Combien coûte le menu au Petit Jardin ?").endswith("Petit Jardin?")


@pytest.mark.parametrize(
    "question",
    [
        "Where is the key?",
        "What time is it in Die?",
        "Can they remove a tattoo?",
        "Which branch was it?",
        "Add-ons, hands-on?",
        "Kde je klíč?",
        "",
    ],
)
def test_questions_in_english_and_in_unknown_languages_stay_as_they_are(question: str) -> None:
    assert in_english(question) == question


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("An welchem Tag kommt die Bahn?", ValueType.DATE),
        ("Wie lautet die Seriennummer vom Drucker?", ValueType.CODE),
        ("Comment s'appelle le chat ?", None),
        ("Quel est le numéro de téléphone de Luc ?", ValueType.PHONE),
        ("¿Hasta cuándo es válido el abono?", ValueType.WHEN),
        ("¿Cuántos invitados vienen a la fiesta?", ValueType.COUNT),
    ],
)
def test_what_a_question_asks_for_is_known_in_every_one_of_these_languages(
    question: str, kind: ValueType | None
) -> None:
    assert expected(question) is kind


def test_what_is_measured_is_known_whatever_the_language() -> None:
    assert counted("Wie viel Zucker ist in der Suppe?") == counted("Combien de sucre faut-il ?") == {"sugar"}
    assert (
        counted("How much each?") == counted("How much tax is in it?") == counted("Wie viel kostet es?") == frozenset()
    )


BILL = "Stadtwerke Jahresrechnung Kundennummer 77120465 Verbrauch 2.460 kWh Gesamtbetrag 871,20 EUR"


@pytest.mark.parametrize(
    ("passage", "language"),
    [
        (BILL, "de"),
        ("Pharmacie du Centre Montant total 12,40 EUR Merci de votre visite", "fr"),
        ("Factura Fecha de vencimiento Importe total 40,00 EUR Gracias por su compra", "es"),
        ("Boarding pass Passenger Okafor Gate A72 Seat 14C", "en"),
        ("Hotel Restaurant Total Menu", "en"),
        ("", "en"),
        ("Please note: pages 3 and 4, large tables, photos", "en"),
        ("a" * 100_000, "en"),
    ],
)
def test_papers_have_a_language(passage: str, language: str) -> None:
    assert written_in(passage) == language


def test_lines_of_foreign_papers_are_followed_by_their_meaning() -> None:
    assert with_gloss("Gesamtbetrag 871,20 EUR", BILL) == "Gesamtbetrag 871,20 EUR (total)"
    assert with_gloss("77120465", BILL) == "77120465"
    assert with_gloss("Total amount 12.40", "Receipt Total amount 12.40") == "Total amount 12.40"
