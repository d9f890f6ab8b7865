"""Coverage: how many of a query's words a passage holds, whatever their endings."""

from __future__ import annotations

import pytest

from search.ranking.term_coverage import TermCoverage
from search.words import stem

VOICEMAIL = "Our train to Paris leaves at nine fifteen from platform four. Do not forget the parties' umbrellas."


@pytest.mark.parametrize(
    ("terms", "share"),
    [
        (["train", "leave"], 1.0),
        (["trains", "leaving", "Paris"], 1.0),
        (["train", "lisbon"], 0.5),
        (["umbrella", "party", "platforms", "berlin"], 0.75),
        (["rain", "form", "art"], 0.0),
        (["(", "[a-z]+"], 0.0),
        ([], 0.0),
    ],
)
def test_a_word_counts_in_all_its_english_forms_and_only_as_a_word(terms: list[str], share: float) -> None:
    assert TermCoverage(terms).of(VOICEMAIL) == pytest.approx(share)


@pytest.mark.parametrize(
    ("terms", "text", "share"),
    [
        (["図書", "書館"], "国立図書館で本を読む", 1.0),
        (["도서", "서관", "공항"], "도서관에서 만나요", 2 / 3),
        (["cafe"], "Das CAFÉ am Markt", 1.0),
        (["3.14", "don't"], "It is 3.14, so I don't know", 1.0),
        (["3.14"], "It is 3.15", 0.0),
    ],
)
def test_words_of_every_script_are_looked_for_as_they_are_written(terms: list[str], text: str, share: float) -> None:
    assert TermCoverage(terms).of(text) == pytest.approx(share)


def test_without_text_there_is_nothing_to_hold() -> None:
    assert TermCoverage(["train"]).of(None) == TermCoverage(["train"]).of("") == 0.0


def test_a_word_asked_twice_counts_once() -> None:
    assert TermCoverage(["train", "trains", "lisbon"]).of(VOICEMAIL) == 0.5


@pytest.mark.parametrize("word", ["zug", "buch", "bus", "東京"])
def test_what_has_no_english_ending_stays(word: str) -> None:
    assert stem(word) == word
