"""Rows that tell the opposite of what is asked for."""

from __future__ import annotations

import pytest

from search.language.reading.opposites import tells_the_other


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("When must the rental car in Tampere be returned?", "Pick-up Mon 3 May 09:00"),
        ("When does the train to Milan leave?", "Arrival 10:40"),
        ("When do I get to Lugo by train?", "Departs 09:40"),
        ("When do I have to check out?", "Check-in Fri 12 Feb, from 15:00"),
        ("Wann kommt der Zug in Bern an, die Ankunft?", "Abfahrt 8:15"),
        ("À quelle heure ferme le musée ?", "Opens at nine"),
        ("How many children come?", "Adults 2"),
        ("Where do the adults sleep?", "The children sleep upstairs"),
        ("When does the sun set in Oslo?", "Sunrise 05:12"),
        ("When do we have to leave the hotel?", "Check-in 3 May"),
        ("How hot will it be tomorrow?", "Today: 26 °C"),
        ("When is the shop open on Friday?", "Saturday 08:10 - 21:30"),
        ("When is the shop open on Friday?", "Sat 08:10 - 21:30"),
        ("Who is the landlord?", "Tenant Marta Lindqvist"),
        ("Who is the sender?", "Recipient: Blue Post"),
        ("Wann treffen wir uns am Montag?", "Let's meet on Tuesday at nine."),
        ("In what year was my grandfather born?", "My grandmother was born in 1915 in Salzburg."),
        ("Can you tell me when the shop opens?", "Closes 18:00"),
        ("Do you know when check-out is?", "Check-in 15:00"),
        ("Does the train arrive at 10:40?", "Departure 10:40"),
    ],
)
def test_the_other_of_two_is_no_answer(question: str, told: str) -> None:
    assert tells_the_other(question, told)


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("When does the train to Milan leave?", "Departs 09:40"),
        ("When does the train to Milan leave?", "It leaves at 8:15 and arrives at 9."),
        ("When does the shop close?", "Open from 9, closed on Sundays"),
        ("When is the museum open?", "Daily 13:00 to 17:00"),
        ("When is the shop open on Friday?", "Mon - Sat 08:10 - 21:30"),
        ("When is the shop open on Friday?", "Thursday, Friday 08:10 - 21:30"),
        ("Where did the cat sleep on Monday?", "The cat sat in the sun all day."),
        ("Que mange le chat le vendredi ?", "Mon chat mange du poisson."),
        ("When is the shop open on Sunday?", "Sun 10:00 - 12:00, Mon 08:10 - 21:30"),
        ("To which day is the meeting on Friday moved?", "We meet on Monday instead."),
        ("When do I arrive and when do I leave?", "Arrival 10:40"),
        ("What is the wifi password?", "Password: otter-lamp-42"),
        ("Who returned the ladder?", "Borrowed by Anna"),
        ("Is the surgery open on Saturdays?", "Sat closed"),
        ("Can children go in alone?", "Only with an adult"),
        ("Where do I buy a ticket for the concert?", "Tickets sold at the kiosk"),
        ("Who looks after the children on the trip?", "Adults travelling with the class: Felix Rossi"),
        ("When was my mother born?", "My father was born in 1950, my mother in 1952."),
    ],
)
def test_what_tells_the_same_or_both_or_neither_may_answer(question: str, told: str) -> None:
    assert not tells_the_other(question, told)
