"""An answer on the terminal; where there is none, what comes closest."""

from __future__ import annotations

import pytest
from support.language_world import pictured

from api.cli.output import print_answer
from search.results import Answer, Citation, Hit
from search.signals import Signal


def answer(hits: tuple[Hit, ...], closest: tuple[Citation, ...] = ()) -> Answer:
    return Answer(
        question="Who?",
        answer="",
        found=False,
        citations=(),
        closest=closest,
        hits=hits,
        space="words",
        model="embedded",
        took_seconds=0.1,
    )


def test_where_there_is_no_answer_the_best_hits_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    print_answer(answer(tuple(pictured(f"{name}.jpg", number) for number, name in enumerate("abcd", 1))))
    told = capsys.readouterr().out
    assert told.startswith("Your library does not hold the answer.\nThese files come closest:\n")
    assert "c.jpg" in told
    assert "d.jpg" not in told


def test_an_empty_library_has_nothing_that_comes_close(capsys: pytest.CaptureFixture[str]) -> None:
    print_answer(answer(()))
    assert capsys.readouterr().out == "Your library does not hold the answer.\n"


def test_lines_that_come_closest_are_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    line = Citation(
        number=1,
        asset_id="1",
        path="gym.png",
        segment_id=1,
        signal=Signal.TEXT,
        start_seconds=None,
        end_seconds=None,
        quote="Valid until 31 Oct 2027",
        support=0.3,
    )
    print_answer(answer((pictured("gym.png", 1),), (line,)))
    told = capsys.readouterr().out
    assert told.startswith(
        "Your library holds no sure answer. These lines come closest:\n  [1] gym.png: “Valid until 31 Oct 2027”\n"
        "These files come closest:\n"
    )
