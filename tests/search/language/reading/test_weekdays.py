"""Days of the week in lines and questions."""

from __future__ import annotations

import pytest

from search.language.reading.weekdays import days_asked, days_told, spelled_out


@pytest.mark.parametrize(
    ("words", "spelled"),
    [
        ("Mon - Wed 07:00 - 22:00", "Monday, Tuesday, Wednesday 07:00 - 22:00"),
        ("Mon\u00a0–\u00a0Wed", "Monday, Tuesday, Wednesday"),
        ("Mon thru Tue", "Monday, Tuesday"),
        ("Sat 09:00 - 20:00", "Saturday 09:00 - 20:00"),
        ("Sun closed", "Sunday closed"),
        ("Sun", "Sunday"),
        ("Sat and Sun 10-16", "Saturday and Sunday 10-16"),
        ("Mon & Wed 5pm", "Monday & Wednesday 5pm"),
        ("Mo-Mi 8-18", "Monday, Tuesday, Wednesday 8-18"),
        ("lunes a martes", "Monday, Tuesday"),
        ("lundi à mardi", "Monday, Tuesday"),
        ("sa\u0301bado 10:00", "Saturday 10:00"),
        ("Fri-Mon", "Friday, Saturday, Sunday, Monday"),
        ("We sat 3 hours in the sun.", "We sat 3 hours in the sun."),
        ("They wed in 2010", "They wed in 2010"),
        ("Mo geschlossen", "Monday geschlossen"),
        ("So 9 - 17 Uhr", "Sunday 9 - 17 Uhr"),
        ("Mar fermé", "Tuesday fermé"),
        ("Fr 14.50", "Fr 14.50"),
        ("So 3 - 4 eggs", "So 3 - 4 eggs"),
        ("Do not smoke", "Do not smoke"),
        ("Sun-dried tomatoes", "Sun-dried tomatoes"),
        ("I think so - do you?", "I think so - do you?"),
        ("He sat down in the sun. Mon chien!", "He sat down in the sun. Mon chien!"),
    ],
)
def test_days_are_spelled_out(words: str, spelled: str) -> None:
    assert spelled_out(words) == spelled


def test_days_between_are_told() -> None:
    assert days_told("Open Tue to Sun") == {1, 2, 3, 4, 5, 6}
    assert not days_told("Every day but Monday")
    assert not days_told("the sun is out")


def test_days_asked_about() -> None:
    assert days_asked("when does it open on sundays?") == {6}
    assert days_asked("wann offnet es am samstag?") == {5}
    assert not days_asked("when does it open?")
