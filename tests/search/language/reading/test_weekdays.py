"""Days of the week in lines and questions."""

from __future__ import annotations

import pytest

from search.language.reading.weekdays import days_asked, days_told, spelled_out


@pytest.mark.parametrize(
    ("words", "spelled"),
    [
        ("Mon - Wed 07:00 - 22:00", "Monday, Tuesday, Wednesday 07:00 - 22:00"),
        ("Sat 09:00 - 20:00", "Saturday 09:00 - 20:00"),
        ("Sun closed", "Sunday closed"),
        ("Mon & Wed 5pm", "Monday & Wednesday 5pm"),
        ("Mo-Mi 8-18", "Monday, Tuesday, Wednesday 8-18"),
        ("lunes a martes", "Monday, Tuesday"),
        ("Fri-Mon", "Friday, Saturday, Sunday, Monday"),
        ("He sat down in the sun. Mon chien!", "He sat down in the sun. Mon chien!"),
        ("so do mi", "so do mi"),
    ],
)
def test_days_are_spelled_out(words: str, spelled: str) -> None:
    assert spelled_out(words) == spelled


def test_days_between_are_told() -> None:
    assert days_told("Open Tue to Sun") == {1, 2, 3, 4, 5, 6}
    assert days_told("Every day but Monday") == {0}
    assert not days_told("the sun is out")


def test_days_asked_about() -> None:
    assert days_asked("when does it open on sundays?") == {6}
    assert days_asked("wann offnet es am samstag?") == {5}
    assert not days_asked("when does it open?")
