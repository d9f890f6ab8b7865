"""What is asked for decides what may answer."""

from __future__ import annotations

import time

import pytest

from search.language.reading.value_types import ValueType, expected, first_value, holds


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How much does the hotel in Zermatt cost?", ValueType.PRICE),
        ("What did we pay for the tent?", ValueType.PRICE),
        ("How much flour do I need?", ValueType.NUMBER),
        ("How many guests come?", ValueType.COUNT),
        ("How long does it bake?", ValueType.DURATION),
        ("What is the number of the bill of Moreau SA?", ValueType.CODE),
        ("What is the alarm code of the garage?", ValueType.CODE),
        ("What number do I call at the bank?", ValueType.PHONE),
        ("At what time does the train leave?", ValueType.TIME),
        ("When does the train leave?", ValueType.WHEN),
        ("On which day do we arrive?", ValueType.DATE),
        ("Who repairs the bass?", ValueType.PERSON),
        ("Whom do I call when the heating fails?", ValueType.PERSON),
        ("Who helps when the heating fails?", ValueType.PERSON),
        ("Where did I park the car?", ValueType.PLACE),
        ("Why was she late?", ValueType.REASON),
        ("What colour is the garage?", ValueType.COLOUR),
        ("What is Anna's phone number?", ValueType.PHONE),
        ("What is the wifi password?", None),
        ("Wie viel kostet das Hotel?", ValueType.PRICE),
        ("Wann fährt der Zug?", ValueType.WHEN),
        ("Où est la voiture ?", ValueType.PLACE),
        ("¿Quién ganó la final?", ValueType.PERSON),
        ("¿Por qué llegó tarde?", ValueType.REASON),
        ("How much time do I have to pay the fine?", ValueType.DURATION),
        ("Wie viel Zeit habe ich zum Zahlen der Strafe?", ValueType.DURATION),
        ("Combien de kilomètres puis-je faire pour ce prix ?", ValueType.NUMBER),
        ("Was zahl ich monatlich fürs Telefon?", ValueType.PRICE),
        ("price of the concert when booking early", ValueType.PRICE),
        ("I got an e-mail from the bank, is it real?", None),
        ("What is the e-mail address of the bank?", ValueType.EMAIL),
        ("Le nom de mon abonnement de téléphone ?", None),
        ("number to call when nobody is at home", None),
        ("second chance for the exam when", ValueType.WHEN),
        ("since when has she lived there", ValueType.WHEN),
        ("¿Cuál es el teléfono del fontanero?", ValueType.PHONE),
        ("¿Cuál es su teléfono?", ValueType.PHONE),
        ("Any idea when school starts?", ValueType.WHEN),
        ("How much compensation was paid?", ValueType.PRICE),
    ],
)
def test_a_question_asks_for_a_kind_of_thing(question: str, kind: ValueType | None) -> None:
    assert expected(question) is kind


@pytest.mark.parametrize(
    ("kind", "holding", "lacking"),
    [
        (
            ValueType.PRICE,
            ("Total: CHF 642.00", "It cost forty francs.", "VAT 12.50", "Entry 15"),
            "Hotel Alpenblick, Zermatt",
        ),
        (ValueType.TIME, ("Departs 09:32", "We meet at half past seven.", "from 6 pm"), "Platform 7"),
        (ValueType.DATE, ("Saturday, 16 June", "12.05.2024", "in nineteen fifty-two"), "Gate B12"),
        (ValueType.WHEN, ("Tomorrow at noon", "after the concert", "in the fifteenth century"), "Gate B12"),
        (ValueType.DURATION, ("90 minutes", "until 12 May", "three weeks"), "Bake at 182 °C"),
        (ValueType.CODE, ("The code is 0994.", "Tracking VJ4677X"), "It cost 630 euros."),
        (ValueType.NUMBER, ("Seats 14", "There are twelve of us.", "every day"), "Served with bread"),
        (ValueType.COUNT, ("Seats 14",), "Adults CHF 175.41"),
        (ValueType.PERSON, ("Warden Anna Keller", "The woman next door"), "12.50"),
        (ValueType.PLACE, ("under the blue pot", "It is in Lugano."), "Very nice"),
        (ValueType.REASON, ("because it rained", "Closed: strong winds", "A lorry tore down the wires."), "Room 12"),
        (ValueType.COLOUR, ("dark green", "Tint: honey"), "The wall of the kitchen is high."),
        (ValueType.PHONE, ("+41 44 123 45 67",), "Anna Keller"),
        (ValueType.EMAIL, ("anna@example.org",), "example dot org"),
    ],
)
def test_a_line_without_such_a_thing_never_answers(kind: ValueType, holding: tuple[str, ...], lacking: str) -> None:
    assert all(holds(kind, words) for words in holding)
    assert not holds(kind, lacking)


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (ValueType.PRICE, "The shop sells it for |two hundred and forty pounds."),
        (ValueType.PRICE, "We paid |CHF 12.50 for it."),
        (ValueType.TIME, "It leaves from platform six |at nine."),
        (ValueType.TIME, "The concert begins later, at |quarter past eight."),
        (ValueType.TIME, "We meet in front of it |at seven on Monday."),
        (ValueType.DATE, "It has to be there by |the first of August."),
        (ValueType.DATE, "The meeting with both of them is on |23. Juni 2027."),
        (ValueType.WHEN, "The meeting with the bank is moved to |Wednesday."),
        (ValueType.DURATION, "The cake bakes for |twenty-five minutes."),
        (ValueType.DURATION, "Der Zug braucht |eine halbe Stunde."),
        (ValueType.NUMBER, "There are |twelve of us."),
        (ValueType.CODE, "The code of the garage is |0994."),
        (ValueType.PERSON, "I have lent the drill to |Sofia Berger."),
        (ValueType.PERSON, "|She repaired it."),
        (ValueType.PLACE, "I put the key |under the blue pot."),
        (ValueType.PLACE, "Remember that it is |under the blue pot."),
        (ValueType.PLACE, "|Lugano."),
        (ValueType.REASON, "We had to cancel it |because it rained."),
        (ValueType.REASON, "They closed |for repairs."),
        (ValueType.COLOUR, "The wall of the kitchen is |dark green."),
        (ValueType.PHONE, "Her number is |+41 44 123 45 67."),
        (ValueType.EMAIL, "Write to |anna@example.org."),
        (ValueType.PRICE, "|Nothing of the kind is said."),
    ],
)
def test_the_first_word_of_a_value_is_found(kind: ValueType, line: str) -> None:
    before, rest = line.split("|")
    assert first_value(kind, [*before.split(), *rest.split()]) == len(before.split())


def test_what_follows_may_say_that_a_number_is_no_count() -> None:
    words = ["It", "cost", "12", "francs", "and", "serves", "5", "guests."]
    assert words[first_value(ValueType.COUNT, words, "How many guests does it serve?")] == "5"


def test_what_the_question_says_itself_is_no_answer() -> None:
    assert not holds(ValueType.PERSON, "Biscuit", "Who gave us Biscuit?")
    assert holds(None, "anything")


@pytest.mark.parametrize(
    ("question", "words", "may"),
    [
        ("Who organises the meeting?", "Date 26/06/2027", False),
        ("Who organises the meeting?", "Organiser Clara Tanaka", True),
        ("How much sugar is in the soup?", "Carrot soup CHF 8.50", False),
        ("How much sugar is in the soup?", "Carrot soup 8.50", False),
        ("How much sugar is in the soup?", "Sugar 12.50 g", True),
        ("How much milk do I need?", "half a litre of milk, 2 eggs", True),
        ("How much is the soup?", "Carrot soup 8.50", True),
        ("How much for the soup?", "Carrot soup 8.50", True),
        ("How much tax is in it?", "VAT 2.10", True),
        ("Wie viel Zucker ist in der Suppe?", "Karottensuppe 8,50", False),
        ("Combien de sucre faut-il ?", "Soupe 8.50 EUR", False),
        ("How much for each?", "Carrot soup 8.50", True),
        ("How many eggs are in the soup?", "Carrot soup 8.50", False),
        ("How many eggs are in the soup?", "Eggs 8", True),
        ("How heavy is the parcel?", "It took Marco six hours.", False),
        ("How heavy is the parcel?", "Weight 12.5 kg", True),
        ("How old is the cat?", "Biscuit is two years old.", True),
        ("Who won?", "Elizabeth Smith, 12 points", True),
        ("What is the booking number of the hotel?", "+40 54 320 48 04", False),
        ("What is the booking number of the hotel?", "ZK5464R", True),
        ("In what time did Anna run the marathon?", "Date 2022-02-16", False),
        ("In what time did Anna run the marathon?", "Four hours and ten minutes", True),
        ("How long is the offer valid?", "until 12 May", True),
        ("What is the phone number of the shop?", "Order number 84730912", False),
        ("What is the phone number of the shop?", "IBAN CH20 4501 3477 2231", False),
        ("What is the phone number of the shop?", "Open 09:00 to 12:30, 13:30 to 18:00", False),
        ("What is the phone number of the shop?", "Customer service 044 123 45 67", True),
        ("What is the phone number of the shop?", "+41 44 123 45 67", True),
        ("What is the phone number of the shop?", "Lost property 555 2086", True),
        ("What is the phone number of the shop?", "Open 8 March 2026 to 9 May 2027", False),
        ("What is the phone number of the shop?", "Season 2026/27", False),
        ("What is the phone number of the shop?", "Open 2019-2024", False),
        ("What is the phone number of the shop?", "Exp 09/2028", False),
        ("What is the phone number of the shop?", "555–4321", True),
        ("What colour are the walls?", "We sat in the shade", False),
        ("Wie viele Tickets haben wir?", "Joined 12.02.2025", False),
        ("What colour are the walls?", "Shade: Morning Fog", True),
        ("Wie viel bekommen wir zurück?", "Guthaben 52,80 EUR", True),
        ("Whom do I ask for help with the order?", "+41 44 123 45 67", True),
        ("How many members does the club have?", "Joined 12.02.2025", False),
        ("How many members does the club have?", "Joined April 17, 2020", False),
        ("How many members does the club have?", "120 members since 12.02.2025", True),
        ("How old is the mine?", "Opened 12 May 1920", True),
        ("How long does the guarantee last?", "Guaranteed until 14 January", True),
        ("How long did Anna need?", "Date 14 January", False),
        ("How long does the visit take?", "Time: 15:30", False),
        ("How long does the visit take?", "15:30 - 16:45", True),
        ("How long does the visit take?", "Duration 1:45", True),
        ("Who wrote the letter?", "+41 44 123 45 67", False),
        ("When does the flight to Milan land?", "Date 12 May 2025", False),
        ("When does the flight to Milan land?", "Arrival 12 May 2025, 10:40", True),
        ("When does the flight to Milan land?", "Lands on Sunday evening", True),
        ("When is the concert?", "Date 12 May 2025", True),
    ],
)
def test_a_value_of_another_kind_does_not_answer(question: str, words: str, may: bool) -> None:
    assert holds(expected(question), words, question) is may


@pytest.mark.parametrize(
    ("question", "words", "may"),
    [
        ("What is the flight number?", "Flight LX 318", True),
        ("What is my locker number?", "Locker B17", True),
        ("What is the order number?", "Order 80-2231-7", True),
        ("What is the flight number?", "Boarding 17:35", False),
        ("Wie lautet die Flugnummer?", "Boarding 17:35", True),  # no rule reads such compounds
        ("What is the room number?", "Total CHF 63.00", False),
        ("What is the invoice number?", "Due on 2026-05-01", False),
        ("What is the wifi password?", "Password plum-kettle", True),
    ],
)
def test_a_number_of_something_is_no_time_date_or_price(question: str, words: str, may: bool) -> None:
    assert holds(expected(question), words, question) is may


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("What do I do when F28 appears?", None),
        ("What happens when I lose my card?", None),
        ("Can I come when it rains?", None),
        ("What did the woman who called want?", None),
        ("How do I get to the place where we met?", None),
        ("Do you know when the bus leaves?", ValueType.WHEN),
        ("Can you tell me who called?", ValueType.PERSON),
        ("By when must I pay?", ValueType.WHEN),
        ("Since when does she live there?", ValueType.WHEN),
        ("In the end, who won?", ValueType.PERSON),
        ("Was machen wir, wenn es regnet?", None),
        ("And where did they go?", ValueType.PLACE),
        ("mileage when it was at the garage", None),
        ("tell me when it leaves", ValueType.WHEN),
    ],
)
def test_a_clause_asks_for_nothing_of_its_own(question: str, kind: ValueType | None) -> None:
    assert expected(question) is kind


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("By when must I pay?", "Payable within 21 days"),
        ("Bis wann muss ich zahlen?", "zahlbar innert 30 Tagen"),
        ("When is it closed?", "public holidays"),
        ("When should I take the pill?", "with breakfast"),
        ("Wann fährt der Zug?", "ab 18.05"),
        ("¿Cuándo sale el tren?", "Salida 18.05"),
        ("What time is breakfast?", "7-10"),
        ("How long is the hike?", "12 km"),
        ("How long is the table?", "2.40 m"),
        ("How long is the warranty?", "2 yrs"),
        ("How long is the course?", "8 evenings"),
        ("Why is it closed?", "Renovation works"),
        ("Why is the train late?", "signal failure"),
        ("Who pays for the damage?", "the tenant"),
        ("Who do I call?", "Emergencies: 144"),
        ("What is the clinic's email?", "info at clinic dot com"),
        ("What time is breakfast?", "7–10"),
        ("When does it open?", "9-17"),
        ("Wann fährt der Zug?", "Abfahrt 18.05."),
        ("When was she born?", "on the second of May"),
        ("When is the party?", "on the twenty-first"),
        ("How often does the bus go?", "every half hour"),
        ("When may I water the lawn?", "Not before sunset"),
        ("When is it due?", "tous les mois"),
        ("At what time is the flight?", "13 minutes before sunrise"),
        ("What does it cost?", "Eintritt frei"),
        ("What does it cost?", "Kaltmiete 491,- EUR"),
        ("What does the visit cost?", "Paid by your employer"),
        ("How much is the deposit for the flat?", "Deposit: three months' rent"),
        ("What does a stand cost?", "Table hire 12 each"),
        ("What is the fine, how much do I pay?", "Reduced to 35 if paid within 14 days"),
        ("What does it cost to be late?", "Retard : 15 centimes par jour"),
        ("How many times must I go?", "Dix séances prescrites"),
        ("How long is the notice?", "Kündigungsfrist: 9 Monate"),
        ("How long does it simmer?", "a fuego lento 49 minutos"),
        ("How long is the trial?", "Période d'essai aucune"),
        ("How much went on furniture?", "HABITAT 19.25"),
        ("How much cheaper was it?", "RCD -39.50"),
        ("Why is there no tram?", "A lorry tore down the wires."),
        ("What colour are her eyes?", "Eyes hazel"),
        ("Whom do I call if a swimmer drifts out?", "Rescue Clara Martin"),
        ("Who gave me the voucher?", "With love from grandfather"),
    ],
)
def test_values_as_people_write_them(question: str, words: str) -> None:
    assert holds(expected(question), words, question)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("How long does it take?", "12 km"),
        ("What time is breakfast?", "Room 7"),
        ("When does it start?", "Room 12"),
        ("Who pays for the damage?", "up to 300"),
        ("Why is it closed?", "Room 12"),
        ("When is it due?", "Total CHF 12.50"),
        ("When does it start?", "First name: Anna"),
        ("When does it start?", "First aid kit"),
        ("When does it start?", "a seat with both of them"),
        ("How many rooms?", "Breakfast included"),
        ("How tall is it?", "before breakfast"),
        ("What time do we eat?", "Serves 4-6 people"),
        ("What time do we eat?", "12-15 kg"),
        ("Who do I call?", "CHF 145.00"),
        ("Who do I call?", "Room 112"),
        ("What is the email?", "look at the red dot"),
        ("How long is the course?", "Good morning"),
        ("When does the concert begin?", "Do not smoke"),
        ("When is it due?", "Fr. 12.50"),
        ("On which day is it?", "Fr. 250.–"),
        ("On which day is it?", "So, we decided"),
        ("On which day is it?", "I am Sam"),
        ("On which day is it?", "ask Sam"),
        ("On which day is it?", "C'est la vie."),
        ("On which day is it?", "au bord de la mer."),
        ("On which day is it?", "I am 34 years old"),
        ("On which day is it?", "Das kostet 12.50."),
        ("On which day is it?", "open 24/7"),
        ("What time do we eat?", "Eintritt 12.50 €"),
        ("What time do we eat?", "Reign 1914-1918"),
        ("What does it cost?", "+41 (0)44 123 45 67"),
        ("What does it cost?", "The flat comprises three rooms"),
        ("What is Anna's phone number?", "please call 24 hours before"),
        ("When does the concert begin?", "Do Anna and Peter come along"),
        ("When does the concert begin?", "So we bought it"),
        ("When does the concert begin?", "le 30 % de remise"),
        ("When does the concert begin?", "Mer noire"),
        ("When does the concert begin?", "Version 1.2.3"),
        ("When does the concert begin?", "Ratio 3/4"),
        ("What time do we eat?", "Room 16.30 m2"),
        ("What time do we eat?", "CHF 16.30"),
        ("What does lunch cost?", "1.812 kg"),
        ("What does lunch cost?", "+41 44 123 45 67"),
        ("What does lunch cost?", "None of us"),
        ("What is Anna's phone number?", "Call me"),
        ("When does the concert begin?", "Never mind"),
        ("When does the concert begin?", "Des pommes et des poires"),
        ("When does the concert begin?", "La facture a été payée"),
        ("When does the concert begin?", "Bei Frau Keller klingeln"),
        ("When does the concert begin?", "Starters: soup"),
        ("What time does the concert begin?", "She is at school"),
        ("What time does the concert begin?", "Wine with dinner"),
        ("What time does the concert begin?", "Photos on the night table"),
        ("What does lunch cost?", "Fish and chips with peas"),
        ("What does lunch cost?", "Feel free to call"),
        ("What does lunch cost?", "Sugar free"),
        ("What does lunch cost?", "Nothing to declare"),
        ("What does lunch cost?", "Rent is paid by bank transfer"),
        ("What does lunch cost?", "I have 5 friends"),
        ("What did the sofa cover cost?", "Cotton 100 %"),
        ("How much did the tax return cost?", "Battery 40 %"),
        ("How long does the repair take?", "Keine Haustiere"),
        ("How long does the repair take?", "5 d'oeufs"),
        ("How long does the repair take?", "Written by Anna, May 2020"),
        ("How long does it take to walk to the station?", "Station 2 km"),
        ("How many rooms are there?", "All doors are white"),
        ("How many rooms are there?", "Parking is free"),
        ("How much water do I need?", "CHF 12.50"),
        ("What does colour printing cost?", "Honey brown"),
    ],
)
def test_what_is_no_such_value_still_does_not_answer(question: str, words: str) -> None:
    assert not holds(expected(question), words, question)


@pytest.mark.parametrize("text", ["at " * 8000, "8" * 8000, "1." * 8000, "the first " * 2000, "7-" * 6000])
def test_hostile_text_takes_no_longer_than_its_length(text: str) -> None:
    began = time.process_time()
    for kind in ValueType:
        holds(kind, text, "How long is it?")
    assert time.process_time() - began < 3


def test_the_first_value_of_a_line_without_end_is_looked_for_in_its_first_words() -> None:
    words = ["so", "then", "the", "band"] * 500
    assert first_value(ValueType.PRICE, [*words, "CHF", "20"]) == 0
    assert first_value(ValueType.PRICE, ["it", "costs", "CHF", "20", *words]) == 2


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("When must I cancel?", "Kündigung bis 31.12."),
        ("When is the kindergarten closed?", "zu 24.12.–6.1."),
        ("On which day do they fetch the compost?", "Biotonne jeden Fr"),
        ("On which day is there fish?", "Fr Zanderfilet"),
        ("When is the judo?", "Judo L y V 17:15"),
        ("On which day are they closed?", "Fermé dim. et lun. soir."),
        ("When are they on holiday?", "Vacaciones del 10 al 24."),
        ("On which day do I get my money?", "Versement le 5 de chaque mois"),
        ("When did they catch me?", "Le 04/07"),
        ("When should I stop taking it?", "If you get a rash"),
        ("When must I go to the hospital?", "Fever above 38"),
        ("How long must he wear the cone?", "until the stitches are out"),
        ("What do I pay for a repaired radio?", "Costs: donation, parts extra"),
        ("How many people fit in?", "Get married up to 13, $141.90"),
        ("How long is the break?", "10.45 Break 25'"),
        ("How long does it take?", "Dauer 5–7 Werktage"),
        ("How long may I keep the books?", "4 sem., renouv. 1 fois"),
        ("How long must the password be?", "at least 17 characters"),
        ("What time do they close?", "Closes 16.30"),
        ("What time does it leave?", "Abfahrt 8.30 Gleis 4"),
        ("What time is the party?", "19.30 mit Apéro"),
        ("What number do I call at the surgery?", "Praxis 0721-1234"),
        ("How much exactly does it cost?", "CHF 450"),
        ("How much school fees do we pay?", "CHF 450"),
        ("What did the car cost?", "24'000"),
        ("What time does the flight leave?", "SY 536 Leipzig-Krakow 1340-1610"),
        ("What does a litre of petrol cost?", "Unleaded 95 1.812"),
        ("What does the smallest car cost?", "VW up! 21 a day"),
        ("What does the cloakroom cost?", "incl. in ticket"),
        ("How much do I owe the library?", "Fines nil"),
        ("Was zahl ich fürs Zelt?", "Eintritt freie Spende"),
        ("Wie viel kostet's beim Friseur?", "Bart stutzen 8,50 €"),
        ("How much did the material come to?", "Ersatzteile € 791,40"),
        ("How much less do I pay?", "5% off with the badge"),
        ("How many chairs did we order?", "Spindle-back x8 £99.50"),
        ("How tall may a vehicle be?", "Height 1.90"),
        ("Who gave the money for the research?", "It was paid for by a mattress maker."),
        ("Where is the kiosk?", "Kiosk Central gd fl. W"),
        ("I have a fever, what number do I call?", "For a doctor dial 44"),
    ],
)
def test_terse_and_foreign_lines_hold_values_too(question: str, words: str) -> None:
    assert holds(expected(question), words, question)
